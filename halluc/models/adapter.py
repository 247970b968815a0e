"""One face for every vision-language model: its layers, its image columns, its prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from halluc.environment import fingerprint
from halluc.errors import UserError
from halluc.images import padded
from halluc.interventions.site import Prompted
from halluc.models.calibrate import measured
from halluc.models.constants import Constants, published

if TYPE_CHECKING:
    from PIL.Image import Image

_YES_NO = {"yes": ("Yes", "yes", "YES"), "no": ("No", "no", "NO")}


@dataclass(frozen=True, eq=False)
class VisionLanguageModel:
    """A loaded model and its processor.

    Attributes:
        name: As the user gave it.
        model: A transformers `...ForConditionalGeneration`.
        processor: Its processor, with tokenizer, image processor and chat template.
        revision: The hub revision asked for, if any.
        image_aspect: "pad" makes images square before the processor sees them.
    """

    name: str
    model: Any
    processor: Any
    revision: str | None = None
    image_aspect: str = "native"

    # -- where things are ---------------------------------------------------------------------

    @cached_property
    def decoder(self) -> nn.Module:
        """The language model's stack of layers."""
        decoder = self.model.get_decoder()
        while not hasattr(decoder, "layers"):
            decoder = decoder.get_decoder()
        found: nn.Module = decoder
        return found

    @property
    def layers(self) -> list[nn.Module]:
        """The language model's layers, in order."""
        return list(self.decoder.layers)  # type: ignore[arg-type]

    @property
    def n_layers(self) -> int:
        """How many layers the language model has."""
        return len(self.layers)

    @property
    def n_heads(self) -> int:
        """How many query heads each of them has."""
        count: int = self.model.config.get_text_config().num_attention_heads
        return count

    @cached_property
    def attention_modules(self) -> list[nn.Module]:
        """Each layer's self-attention, in order."""
        return [layer.self_attn for layer in self.layers]  # type: ignore[misc]

    @cached_property
    def vision_attention_modules(self) -> list[nn.Module]:
        """Each vision-tower layer's self-attention, in order."""
        tower = self.model.base_model.vision_tower
        return [module for name, module in tower.named_modules() if name.endswith("self_attn")]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights where they are local files, the hub's commit where they are not."""
        folder = Path(self.model.name_or_path)
        if folder.is_dir():
            return fingerprint(folder)
        return str(getattr(self.model.config, "_commit_hash", None) or self.revision or "unknown")

    @property
    def loaded_as(self) -> dict[str, str]:
        """The dtype, the kind of device and the attention it really runs with."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        attention = self.text_attention
        return {"dtype": dtype, "device": self.device.type, "attn_implementation": attention}

    @cached_property
    def vision_layers(self) -> list[nn.Module]:
        """Each layer of the vision tower, in order."""
        tower = self.model.base_model.vision_tower
        attention = (name for name, _ in tower.named_modules() if name.endswith(".self_attn"))
        return [tower.get_submodule(name.rpartition(".")[0]) for name in attention]

    @property
    def vision_feature_layer(self) -> int:
        """Index of the vision layer whose output the language model reads, 0-based.

        `vision_feature_layer` counts hidden states, of which the first is the embedding.
        """
        layer: int = self.model.config.vision_feature_layer
        count = len(self.vision_layers)
        return layer + count if layer < 0 else layer - 1

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        device: torch.device = self.model.device
        return device

    def attention_key(self, part: str) -> str:
        """The sub-config whose attention implementation serves the "text" or "vision" part."""
        return f"{part}_config"

    def attention_of(self, part: str) -> str:
        """The name of the attention implementation now serving that part."""
        name: str = getattr(self.model.config, self.attention_key(part))._attn_implementation
        return name

    @property
    def text_attention(self) -> str:
        """The language model's attention implementation."""
        return self.attention_of("text")

    def image_columns(self, layer: int, n_keys: int, image_mask: Tensor) -> Tensor:
        """Which keys of a layer are image tokens.

        Args:
            layer: 0-based layer index; families differ from layer to layer.
            n_keys: K, keys the layer sees in this pass.
            image_mask: Image tokens of the prompt, bool [B, L].

        Returns:
            bool [B, K]; generated tokens are never image tokens.
        """
        return nn.functional.pad(image_mask, (0, n_keys - image_mask.shape[1]))

    @cached_property
    def constants(self) -> Constants:
        """What papers hard-code for a model: published where known, else measured."""
        return published(self) or measured(self)

    # -- prompts ------------------------------------------------------------------------------

    def render(self, prompt: str, history: Sequence[tuple[str, str]] = ()) -> str:
        """The user's turn in the model's chat template, image first.

        Args:
            history: Earlier turns of the conversation, prompt and answer each; the image then
                stands in the first of them.

        Raises:
            UserError: If the processor has no chat template.
        """
        if getattr(self.processor, "chat_template", None) is None:
            raise UserError(f"model {self.name!r}: its processor has no chat template")
        turns = [("user", prompt)]
        for asked, answered in reversed(history):
            turns = [("user", asked), ("assistant", answered), *turns]
        contents = [[{"type": "text", "text": said}] for _, said in turns]
        contents[0].insert(0, {"type": "image"})
        messages = [
            {"role": role, "content": content}
            for (role, _), content in zip(turns, contents, strict=True)
        ]
        text: str = self.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        return text

    def encode(self, prompts: Sequence[str], images: Sequence[Image]) -> dict[str, Any]:
        """Tokenize rendered prompts and preprocess their images, left-padded, on the device."""
        self.processor.tokenizer.padding_side = "left"
        if self.image_aspect == "pad":
            mean = self.processor.image_processor.image_mean or (0, 0, 0)
            images = [padded(image, mean) for image in images]
        inputs = self.processor(
            images=list(images), text=list(prompts), padding=True, return_tensors="pt"
        )
        return {key: self._place(value) for key, value in inputs.items()}

    def _place(self, value: Tensor) -> Tensor:
        value = value.to(self.device)
        return value.to(self.model.dtype) if value.is_floating_point() else value

    def prompted(self, inputs: Mapping[str, Tensor]) -> Prompted:
        """The batch as the engine needs it."""
        ids = inputs["input_ids"]
        return Prompted(
            input_ids=ids,
            attention_mask=inputs["attention_mask"],
            image_mask=ids == self.model.config.image_token_id,
        )

    def without_image(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same prompts with their image tokens removed (not blanked), left-padded."""
        mask = inputs["attention_mask"].bool()
        return self._kept(inputs, mask & (inputs["input_ids"] != self.model.config.image_token_id))

    def _kept(self, inputs: Mapping[str, Tensor], keep: Tensor) -> dict[str, Tensor]:
        """Token ids and mask of the tokens to keep, bool [B, L], left-padded anew."""
        order = keep.int().argsort(dim=1, stable=True)  # what is dropped moves to the left
        kept = keep.gather(1, order)
        start = keep.shape[1] - int(keep.sum(1).max())
        pad = self.processor.tokenizer.pad_token_id or 0
        ids = inputs["input_ids"].gather(1, order).masked_fill(~kept, pad)
        mask = kept.to(inputs["attention_mask"].dtype)
        return {"input_ids": ids[:, start:], "attention_mask": mask[:, start:]}

    def stacked(self, *batches: Mapping[str, Any]) -> dict[str, Any]:
        """Batches of prompts below each other, left-padded to one length; images in that order."""
        length = max(batch["input_ids"].shape[1] for batch in batches)
        pad = self.processor.tokenizer.pad_token_id or 0
        stacks: dict[str, list[Tensor]] = {}
        rest: dict[str, Any] = {}
        for batch in batches:
            short = length - batch["input_ids"].shape[1]
            for key, value in batch.items():
                if not isinstance(value, Tensor):
                    rest[key] = value
                    continue
                if value.shape == batch["input_ids"].shape:
                    fill = pad if key == "input_ids" else 0
                    value = nn.functional.pad(value, (short, 0), value=fill)
                stacks.setdefault(key, []).append(value)
        return {key: torch.cat(values) for key, values in stacks.items()} | rest

    def image_inputs(self, inputs: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """The vision tower's inputs of each image alone, in the order of their rows."""
        text = ("input_ids", "attention_mask")
        rest = {key: value for key, value in inputs.items() if key not in text}
        count = len(inputs["pixel_values"])
        return [{key: value[i : i + 1] for key, value in rest.items()} for i in range(count)]

    def encode_images(self, inputs: Mapping[str, Tensor]) -> Any:
        """The vision tower's and projector's output; `pooler_output` holds [n, D] an image."""
        text = ("input_ids", "attention_mask")
        rest = {key: value for key, value in inputs.items() if key not in text}
        return self.model.get_image_features(**rest, return_dict=True)

    def shrunk(self, inputs: Mapping[str, Tensor], counts: Sequence[int]) -> dict[str, Tensor]:
        """Prompts whose images have fewer tokens: the first placeholders of each image stay.

        Args:
            inputs: As encoded, at most one image a row.
            counts: Tokens that are left of each image, in the order of the rows that have one.
        """
        image = inputs["input_ids"] == self.model.config.image_token_id
        limit = torch.zeros(len(image), dtype=torch.long, device=image.device)
        limit[image.any(1)] = torch.tensor(counts, device=image.device)
        limit = limit[:, None]
        keep = inputs["attention_mask"].bool() & (~image | (image.cumsum(1) <= limit))
        return self._kept(inputs, keep)

    @cached_property
    def yes_no_tokens(self) -> tuple[list[int], list[int]] | None:
        """One-token spellings of "yes" and of "no"; None if the tokenizer has not both."""
        tokenizer = self.processor.tokenizer
        found: dict[str, list[int]] = {}
        for word, spellings in _YES_NO.items():
            ids = set()
            for spelling in (*spellings, *(f" {s}" for s in spellings)):
                tokens = tokenizer.encode(spelling, add_special_tokens=False)
                if len(tokens) == 1 and tokens[0] != tokenizer.unk_token_id:
                    ids.add(tokens[0])
            found[word] = sorted(ids)
        if not found["yes"] or not found["no"]:
            return None
        return found["yes"], found["no"]
