"""A loaded model that can be asked: `halluc.load`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from halluc.config import BASELINE, DecodingConfig, ModelConfig, RunConfig
from halluc.errors import UserError
from halluc.evaluation import Model, open_model
from halluc.interventions import Method
from halluc.models.names import endpoint_name
from halluc.python_api.images_given import opened
from halluc.python_api.method_given import Given, choose_one
from halluc.remote.model import EndpointModel
from halluc.types import Answer, Sample
from halluc.validation import checked

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.decoding.chosen_tokens import Written
    from halluc.models import VisionLanguageModel


@dataclass(frozen=True)
class Reply:
    """What a model said to a prompt.

    Attributes:
        text: The answer.
        tokens: Its T tokens as text, the end token included where it was chosen; none from an
            endpoint. Where a method revised the answer they are those of the first draft.
        log_probabilities: Of each token when it was chosen [T], of the logits that the method
            made, before tokens are ruled out and before temperature, top-k and top-p. None under
            beams, of methods that search, and from an endpoint.
        yes, no: Log-probabilities of "yes" and of "no", all spellings summed, as the first token;
            None where the tokenizer has no one-token spelling of both.
        passes: Forward passes of the language model that the answer took.
        drafts: What the text was before a method revised it.
        confidence: How far the method trusts the answer, 0 to 1; None of most methods.
        withheld: Whether the method would not give this answer.

    Examples:
        >>> import halluc
        >>> from halluc.world import render, scene
        >>> m = halluc.load("glyph")
        >>> reply = m.ask(render(scene("test", 0)), "Is there a dog in the image?")
        >>> len(reply.tokens) == len(reply.log_probabilities) == reply.passes
        True
    """

    text: str
    tokens: tuple[str, ...] = ()
    log_probabilities: tuple[float, ...] | None = None
    yes: float | None = None
    no: float | None = None
    passes: int = 0
    drafts: tuple[str, ...] = ()
    confidence: float | None = None
    withheld: bool = False

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class LoadedModel:
    """A model that is loaded, with its processor.

    Attributes:
        config: How it was loaded.
        adapter: It, as methods and the engine see it; an `EndpointModel` where it is not here.

    Examples:
        >>> import halluc
        >>> m = halluc.load("glyph")
        >>> m
        LoadedModel('glyph', LlavaForConditionalGeneration)
    """

    config: ModelConfig
    adapter: Model
    _prepared: dict[Any, Method] = field(default_factory=dict, compare=False)
    _acting: list[Method] = field(default_factory=list, compare=False)

    def __repr__(self) -> str:
        kind = "endpoint" if isinstance(self.adapter, EndpointModel) else type(self.model).__name__
        return f"LoadedModel({self.config.name!r}, {kind})"

    @property
    def here(self) -> VisionLanguageModel:
        """The model as methods see it: its layers, heads and image columns.

        Raises:
            UserError: If it is behind an endpoint.
        """
        if isinstance(self.adapter, EndpointModel):
            raise UserError(f"model {self.config.name!r} is behind an endpoint: only m.ask works")
        return self.adapter

    @property
    def model(self) -> Any:
        """The model of transformers, a `...ForConditionalGeneration`."""
        return self.here.model

    @property
    def processor(self) -> Any:
        """Its processor, with tokenizer, image processor and chat template."""
        return self.here.processor

    def encode(self, image: Any, prompt: str | Sequence[str]) -> dict[str, Tensor]:
        """Make what `m.model.generate` takes of prompts about an image, in the chat template.

        Args:
            image: As for `ask`.
            prompt: One or several; they are padded on the left.

        Raises:
            UserError: If the image cannot be read, or a prompt cannot be encoded.
        """
        model, picture = self.here, opened(image)
        prompts = [prompt] if isinstance(prompt, str) else [*prompt]
        try:
            for text in prompts:
                model.refuse_image_token(text)
            inputs = model.encode(
                [model.render(text) for text in prompts], [picture] * len(prompts)
            )
            model.refuse_too_long(inputs)
        except ValueError as error:
            raise UserError(f"{self.config.name}: {error}") from error
        return inputs

    @overload
    def ask(
        self,
        image: Any,
        prompt: str,
        method: Given = BASELINE,
        *,
        max_new_tokens: int = 64,
        decoding: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Reply: ...

    @overload
    def ask(
        self,
        image: Any,
        prompt: Sequence[str],
        method: Given = BASELINE,
        *,
        max_new_tokens: int = 64,
        decoding: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> list[Reply]: ...

    def ask(
        self,
        image: Any,
        prompt: str | Sequence[str],
        method: Given = BASELINE,
        *,
        max_new_tokens: int = 64,
        decoding: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Reply | list[Reply]:
        """Ask about an image, with a method or without one; greedily if not told.

        Args:
            image: A file, an image of Pillow, or an array [H, W, 3] of whole numbers 0 to 255.
            prompt: The user's turn; of several each gets a reply, and what they have in common is
                computed once.
            method: A name, names joined by "+", or a class made from `halluc.Method`; parameters
                that are called like an argument of this function go into a dictionary:
                {"opera": {"num_beams": 3}}.
            max_new_tokens: Where an answer is cut.
            decoding: Fields of `halluc.config.DecodingConfig`: do_sample, temperature, top_p,
                top_k, num_beams, seed.
            parameters: Of the method; those of parts of a composite in a dictionary:
                {"vhr+var": {"vhr.gain": 1.5}}.

        Raises:
            UserError: If the image or a prompt cannot be read, the method does not fit the model,
                or an option is wrong.

        Examples:
            >>> import halluc
            >>> from halluc.world import render, scene
            >>> image = render(scene("test", 0))
            >>> m = halluc.load("glyph")
            >>> m.ask(image, "Is there a dog in the image?", "var", keep=0.4).text
            'No'
        """
        picture = opened(image)
        acts = self._asked_with(method, parameters)
        limit = {"max_new_tokens": max_new_tokens}
        how = checked(DecodingConfig, {**limit, **(decoding or {})}, "decoding")
        if self._acting:
            raise UserError("m.ask inside halluc.intervene: name the method in m.ask itself")
        if isinstance(self.adapter, EndpointModel):
            self.adapter.check(RunConfig(model=self.config, decoding=how))
        prompts = [prompt] if isinstance(prompt, str) else [*prompt]
        replies = self._answered(picture, prompts, acts, how)
        return replies[0] if isinstance(prompt, str) else replies

    def _asked_with(self, method: Given, parameters: Mapping[str, Any]) -> Method:
        try:
            return self.prepared(method, parameters)
        except UserError as error:
            for name in parameters.keys() & DecodingConfig.model_fields.keys():
                if f"unknown parameter {name!r}" in str(error):
                    how = f"decoding={{{name!r}: ...}} says how tokens are chosen"
                    raise UserError(f"{error} ({how})") from None
            raise

    def prepared(self, method: Given, parameters: Mapping[str, Any]) -> Method:
        """Make a method for the model, once.

        Raises:
            UserError: If it does not fit the model, or a parameter is wrong.
        """
        cls, values = choose_one(method, parameters)
        if isinstance(self.adapter, EndpointModel):
            self.adapter.check(RunConfig(method={"name": cls.name}, model=self.config))
            return cls(cls.parameters(values))
        params = cls.parameters(values)
        key = getattr(cls, "parts", (cls,)), params.model_dump_json()
        if key not in self._prepared:
            self._prepared[key] = cls.for_model(self.adapter, params)
        return self._prepared[key]

    def _answered(
        self, picture: Any, prompts: list[str], acts: Method, how: DecodingConfig
    ) -> list[Reply]:
        from halluc.decoding import answer_batches
        from halluc.decoding.chosen_tokens import ChosenTokens

        samples = [
            # What is drawn at random depends on the prompt, not on those that are asked with it.
            Sample(
                id=f"{text} {prompts[:number].count(text)}",
                image_id="image",
                prompt=text,
                load_image=lambda: picture,
                max_new_tokens=how.max_new_tokens or 1,
            )
            for number, text in enumerate(prompts)
        ]
        chosen = ChosenTokens()
        batches = answer_batches(self.adapter, acts, samples, how, workers=0, chosen=chosen)
        answers = {answer.id: answer for batch in batches for answer in batch}
        return [
            self._reply(
                answers[sample.id], chosen.found.get(answers[sample.id].same_as or sample.id)
            )
            for sample in samples
        ]

    def _reply(self, answer: Answer, written: Written | None) -> Reply:
        if answer.status == "failed":
            raise UserError(f"{self.config.name}: {answer.prompt!r} failed: {answer.error}")
        tokens: tuple[str, ...] = ()
        if written is not None:
            tokens = tuple(self.processor.tokenizer.decode([token]) for token in written.tokens)
        log_p = written.log_probabilities if written is not None else None
        yes, no = answer.yes_no or (None, None)
        return Reply(
            text=answer.text,
            tokens=tokens,
            log_probabilities=None if log_p is None else tuple(log_p),
            yes=yes,
            no=no,
            passes=answer.forward_passes,
            drafts=answer.drafts,
            confidence=answer.confidence,
            withheld=answer.status == "withheld",
        )


def load(name: str = "glyph", **options: Any) -> LoadedModel:
    """Load a model to ask, to evaluate, or to look into.

    Args:
        name: An embedded model ("glyph", "glyph-qwen", "glyph-smol"), a hub id, a local folder, or
            "openai:NAME" behind an endpoint.
        options: Fields of `halluc.config.ModelConfig`: revision, dtype, device, device_map,
            quantization, attn_implementation, image_aspect, system_prompt, trust_remote_code,
            pickled_weights.

    Raises:
        UserError: If there is no such model, or an option is wrong.

    Examples:
        >>> import halluc
        >>> halluc.load("glyph", dtype="float32").config.dtype
        'float32'
    """
    config = checked(ModelConfig, {"name": name, **options}, "model")
    if endpoint_name(config.name) is not None:
        EndpointModel.named(config.name).check(RunConfig(model=config))
    return LoadedModel(config, open_model(RunConfig(model=config)))
