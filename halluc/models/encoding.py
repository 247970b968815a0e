"""The inputs of a model: prompts in its chat template, images, and both as tensors."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from halluc.errors import UserError
from halluc.images import padded
from halluc.models.families import Family, family_of
from halluc.models.inputs import (
    Inputs,
    apart,
    continued,
    kept,
    of_images,
    stacked,
    with_queries_right_padded,
)
from halluc.models.tokens import PromptTokens, first_token

if TYPE_CHECKING:
    from PIL.Image import Image

_YES_NO = {"yes": ("Yes", "yes", "YES"), "no": ("No", "no", "NO")}


@dataclass(frozen=True, eq=False)
class PromptEncoder:
    """A model and its processor, as far as inputs go.

    Attributes:
        name: As the user gave it.
        model: A transformers `...ForConditionalGeneration`.
        processor: Its processor, with tokenizer, image processor and chat template.
        revision: The hub revision asked for, if any.
        image_aspect: "pad" makes images square before the processor sees them.
        system_prompt: What the chat template is given as the system's turn; None for none.
    """

    name: str
    model: Any
    processor: Any
    revision: str | None = None
    image_aspect: str = "native"
    system_prompt: str | None = None

    @cached_property
    def family(self) -> Family:
        """The entry of the model's family: what transformers does not tell."""
        return family_of(self.model.config)

    @property
    def device(self) -> torch.device:
        """The device that inputs are moved to."""
        device: torch.device = self.model.device
        return device

    @property
    def image_token(self) -> int:
        """The id of an image token in the prompt."""
        token: int = self.model.config.image_token_id
        return token

    @property
    def pad_token(self) -> int:
        """The id of the token that prompts are padded with."""
        return self.processor.tokenizer.pad_token_id or 0

    def render(self, prompt: str, history: Sequence[tuple[str, str]] = ()) -> str:
        """Put the user's turn into the model's chat template, image first.

        Where the checkpoint has none, the prompt published for its family is used.

        Args:
            history: Earlier turns of the conversation, prompt and answer each; the image then
                stands in the first of them.

        Raises:
            UserError: If there is neither, or earlier turns and no chat template, or a system
                prompt that the template leaves out.
        """
        if getattr(self.processor, "chat_template", None) is None:
            return self._published(prompt, history)
        turns = [("user", prompt)]
        for earlier, answer in reversed(history):
            turns = [("user", earlier), ("assistant", answer), *turns]
        contents = [[{"type": "text", "text": text}] for _, text in turns]
        contents[0].insert(0, {"type": "image"})
        messages = [
            {"role": role, "content": content}
            for (role, _), content in zip(turns, contents, strict=True)
        ]
        if self.system_prompt is not None:
            text = [{"type": "text", "text": self.system_prompt}]
            messages.insert(0, {"role": "system", "content": text})
        rendered: str = self.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        if self.system_prompt is not None and self.system_prompt not in rendered:
            raise UserError(
                f"model {self.name!r}: its chat template leaves the system prompt out; "
                "leave out system_prompt"
            )
        return rendered

    def _published(self, prompt: str, history: Sequence[tuple[str, str]]) -> str:
        """Fill the prompt published for the model's family, which is for one turn."""
        if self.family.template is None or history or self.system_prompt is not None:
            lacks = "is for a single turn" if self.family.template else "does not exist"
            raise UserError(
                f"model {self.name!r}: its processor has no chat template, and a prompt published "
                f"for its family {lacks}; put a chat_template.jinja into its folder"
            )
        image = getattr(self.processor, "image_token", "")
        return self.family.template.format(image=image, prompt=prompt)

    def encode(
        self, prompts: Sequence[str], images: Sequence[Image], device: torch.device | None = None
    ) -> dict[str, Tensor]:
        """Tokenize rendered prompts and preprocess their images, left-padded.

        Args:
            prompts: B of them, each with one image.
            images: One for each prompt.
            device: Where they go; None for the model's.

        Returns:
            As `Inputs` describes: `input_ids` and `attention_mask` int [B, L], `pixel_values` and
            the like by image, in the model's dtype.
        """
        self.processor.tokenizer.padding_side = "left"
        if self.image_aspect == "pad":
            mean = self.processor.image_processor.image_mean or (0, 0, 0)
            images = [padded(image, mean) for image in images]
        inputs = self.processor(
            images=[[image] for image in images],
            text=list(prompts),
            padding=True,
            return_tensors="pt",
            **self._special_tokens(prompts),
        )
        device = device or self.device
        placed = {
            key: self._place(value, device) for key, value in inputs.items() if key != "labels"
        }
        # BLIP's processors pad between image and text.
        tokens = kept(placed, placed["attention_mask"].bool(), self.pad_token)
        return with_queries_right_padded(placed | tokens)

    def tokenize(self, rendered: Sequence[str]) -> list[list[int]]:
        """Tokenize rendered prompts as text alone, image tokens as they stand."""
        tokenizer = self.processor.tokenizer
        ids: list[list[int]] = tokenizer(list(rendered), **self._special_tokens(rendered))[
            "input_ids"
        ]
        return ids

    def _special_tokens(self, rendered: Sequence[str]) -> dict[str, bool]:
        """Add no second BOS where the chat template writes one, as transformers itself does."""
        start = self.processor.tokenizer.bos_token
        written = start is not None and bool(rendered) and rendered[0].startswith(start)
        return {"add_special_tokens": False} if written else {}

    def refuse_image_token(self, prompt: str) -> None:
        """Refuse a prompt that holds the text of the model's image token.

        Raises:
            ValueError: If it does: the processor would look for one more image.
        """
        mark = self.processor.tokenizer.convert_ids_to_tokens(self.image_token)
        if isinstance(mark, str) and mark in prompt:
            raise ValueError(f"the prompt holds {mark!r}, which stands for an image in this model")

    def refuse_too_long(self, inputs: Inputs) -> None:
        """Refuse prompts that are longer than the model has positions.

        Raises:
            ValueError: Naming both numbers.
        """
        most = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        longest = int(inputs["attention_mask"].sum(1).max())
        if most is not None and longest > most:
            raise ValueError(f"the prompt has {longest} tokens, the model {most} positions")

    def _place(self, value: Tensor, device: torch.device) -> Tensor:
        value = value.to(device)
        return value.to(self.model.dtype) if value.is_floating_point() else value

    def prompt_tokens(self, inputs: Inputs) -> PromptTokens:
        """Describe prompts, [B, L] each, as the language model reads them."""
        ids = inputs["input_ids"]
        return PromptTokens(
            input_ids=ids,
            attention_mask=inputs["attention_mask"],
            image_mask=ids == self.image_token,
            images=of_images(inputs),
        )

    def without_image(self, inputs: Inputs) -> dict[str, Tensor]:
        """Remove the image tokens of prompts (they are not blanked), and left-pad the rest.

        Where layers of their own hold the image, no token may attend to it; the engine silences
        those layers then, as transformers skips them in a batch without images.

        Args:
            inputs: Of B prompts, [B, L, ...] each by token.

        Returns:
            [B, L', ...] each by token, L' the most tokens that a prompt keeps; nothing by image,
            but where layers of their own hold it.
        """
        # Ovis2 embeds the marks around an image by its vision tower, too.
        marks = getattr(self.model.config, "visual_indicator_token_ids", ())
        ids = inputs["input_ids"]
        image = torch.isin(ids, ids.new_tensor([self.image_token, *marks]))
        text = kept(inputs, inputs["attention_mask"].bool() & ~image, self.pad_token)
        if self.family.token != "keys":
            return text
        blind = torch.zeros_like(text["cross_attention_mask"])
        return text | of_images(inputs) | {"cross_attention_mask": blind}

    def stacked(self, *batches: Inputs) -> dict[str, Tensor]:
        """Stack batches of prompts, left-padded to one length; images stand in that order.

        Args:
            batches: [B, L, ...] each by token; B and L may differ.

        Returns:
            [sum of B, longest L, ...] each by token, [sum of N, ...] by image.
        """
        return stacked(batches, self.pad_token)

    def continued(self, inputs: Inputs, tokens: Tensor) -> dict[str, Tensor]:
        """Append tokens of an answer to each prompt; image tokens in it become blank.

        Args:
            inputs: [B, L, ...] each by token.
            tokens: int [T].

        Returns:
            [B, L + T, ...] each by token; inputs by image are the same.
        """
        blank = tokens.masked_fill(tokens == self.image_token, self.pad_token)
        longer = continued(inputs, blank.expand(len(inputs["input_ids"]), -1))
        if self.model.config.model_type == "paligemma":  # there tokens of type 0 see each other
            longer["token_type_ids"][:, inputs["input_ids"].shape[1] :] = 1
        return longer

    def image_inputs(self, inputs: Inputs) -> list[dict[str, Tensor]]:
        """Return the inputs of each image alone, in the order of their rows, at most one a row.

        Args:
            inputs: Of B prompts with N images.

        Returns:
            N mappings of inputs by image: [1, ...], or the tiles or patches of that image.
        """
        tokens = self.n_image_tokens(inputs)
        return apart(inputs, tokens[tokens > 0].tolist())

    def encode_images(self, inputs: Inputs) -> Any:
        """Run vision tower and projector; `pooler_output` of the result holds [n, D] an image.

        Families that cut images into tiles may hold [n, D] a tile.
        """
        if self.family.token == "keys":
            base, images = self.model.base_model, of_images(inputs)
            output = base.vision_model(**images)
            tokens = base.multi_modal_projector(output.last_hidden_state)
            output.pooler_output = tokens.flatten(1, -2)
            return output
        encode = self.model.get_image_features
        taken = inspect.signature(encode).parameters
        images = {key: value for key, value in of_images(inputs).items() if key in taken}
        return encode(**images, return_dict=True)

    def shrunk(self, inputs: Inputs, counts: Sequence[int]) -> dict[str, Tensor]:
        """Shorten the images in prompts: the first placeholders of each image stay.

        Args:
            inputs: As encoded, [B, L, ...] each by token, at most one image a row.
            counts: Tokens that are left of each image, in the order of the rows that have one.

        Returns:
            [B, L', ...] each by token, L' the most tokens that a prompt keeps; nothing by image.
        """
        image = inputs["input_ids"] == self.image_token
        limit = torch.zeros(len(image), dtype=torch.long, device=image.device)
        limit[image.any(1)] = torch.tensor(counts, device=image.device)
        limit = limit[:, None]
        keep = inputs["attention_mask"].bool() & (~image | (image.cumsum(1) <= limit))
        return kept(inputs, keep, self.pad_token)

    def n_image_tokens(self, inputs: Inputs) -> Tensor:
        """Count each prompt's image tokens, or keys of the layers made for them, int [B]."""
        marks = (inputs["input_ids"] == self.image_token).sum(1)
        if self.family.token == "keys":
            tiles = inputs["cross_attention_mask"].shape[3]
            return marks * tiles * int(self.model.base_model.vision_model.num_patches)
        return marks

    def first_token(self, inputs: Inputs) -> Tensor:
        """Mark where each prompt starts, bool [B, L]."""
        return first_token(inputs["attention_mask"].bool())

    def grid(self, image: Image) -> tuple[int, int] | None:
        """Find out how the tokens of an image are laid out over it.

        Returns:
            Rows and columns; None where tokens have no place in the image (queries), where tiles
            and new lines make more than one grid, or where no token stands for the image.
        """
        if self.family.token in ("query", "keys"):
            return None
        inputs = self.encode([self.render("?")], [image])
        config, count = self.model.config, int(self.n_image_tokens(inputs))
        if "image_grid_thw" in inputs:
            sides = inputs["image_grid_thw"][0, 1:] // config.vision_config.spatial_merge_size
        elif "spatial_shapes" in inputs and len(inputs["spatial_shapes"]) == 1:
            sides = inputs["spatial_shapes"][0] // config.downsample_factor
        elif hasattr(config, "spatial_merge_size"):
            patch = config.vision_config.patch_size * config.spatial_merge_size
            sides = inputs["image_sizes"][0] // patch
        elif inputs["pixel_values"].shape[:-3].numel() == 1:
            sides = torch.tensor([isqrt(count), isqrt(count)])
        else:
            return None
        rows, columns = sides.tolist()
        return (rows, columns) if rows * columns == count else None

    @cached_property
    def yes_no_tokens(self) -> tuple[list[int], list[int]] | None:
        """One-token spellings of "yes" and of "no"; None unless the tokenizer has both."""
        yes, no = (self._one_token(spellings) for spellings in _YES_NO.values())
        return (yes, no) if yes and no else None

    def letter_tokens(self, letters: Sequence[str]) -> dict[str, list[int]]:
        """One-token spellings of letters of options, in their case; without letters of none."""
        known = {letter: self._one_token([letter]) for letter in letters}
        return {letter: ids for letter, ids in known.items() if ids}

    def _one_token(self, spellings: Sequence[str]) -> list[int]:
        """Ids of spellings that are one token, at the start of a text or within it."""
        tokenizer, ids = self.processor.tokenizer, set()
        for spelling in (*spellings, *(f" {s}" for s in spellings)):
            tokens = tokenizer.encode(spelling, add_special_tokens=False)
            if len(tokens) == 1 and tokens[0] != tokenizer.unk_token_id:
                ids.add(tokens[0])
        return sorted(ids)
