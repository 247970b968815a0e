"""What training needs to know of an architecture, and how a trained model is saved."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedTokenizerFast

from halluc.world.backgrounds import SIDE
from halluc.world.training.tokenizer import build_tokenizer

COLUMNS = 8
"""Image tokens in a row of the picture; each stands for 16 by 16 pixels."""
IMAGE_TOKENS = COLUMNS**2
"""Image tokens of a picture."""
MEAN = (0.6, 0.6, 0.6)
SPREAD = (0.25, 0.25, 0.25)

TEXT = {
    "hidden_size": 192,
    "intermediate_size": 448,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}
"""The language model's shape, the same in every architecture: six layers of four heads of 48."""


class Architecture(ABC):
    """An untrained model with its processor, and how training runs its parts.

    Attributes:
        specials: Tokens beyond the common vocabulary.
        starts_with_bos: The tokenizer puts BOS in front of a prompt.
        before, after: Tokens in front of and behind the image's tokens.
        turn: A question as the model reads it, behind the image.
        model, tokenizer: The model and the tokenizer.
    """

    specials: ClassVar[tuple[str, ...]] = ()
    starts_with_bos: ClassVar[bool] = True
    before: ClassVar[tuple[str, ...]]
    after: ClassVar[tuple[str, ...]] = ()
    turn: ClassVar[str] = "{question} ASSISTANT:"

    def __init__(self) -> None:
        self.tokenizer = build_tokenizer(self.specials, self.starts_with_bos)
        self.model: Any = self.build()

    @abstractmethod
    def build(self) -> Any:
        """Build the untrained model; seed torch before calling."""

    @abstractmethod
    def processor(self) -> Any:
        """Build the processor, which needs no torchvision."""

    @abstractmethod
    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pictures as the model itself does.

        Args:
            pixels: float [B, 3, 128, 128], normalised.

        Returns:
            Image tokens [B, 64, width] as the language model gets them, and one vector a picture
            [B, vision width].
        """

    @property
    @abstractmethod
    def decoder(self) -> Any:
        """The language model without its output layer."""

    @property
    @abstractmethod
    def projector(self) -> tuple[nn.Linear, nn.Linear] | None:
        """The two matrices, GELU between them, that make image tokens; None if it has another."""

    @property
    @abstractmethod
    def vision_width(self) -> int:
        """The width of the vector that `see` returns for a picture."""

    def positions(self, later: Tensor) -> Tensor:
        """Return positions of a whole sequence.

        Args:
            later: int [B, L], places of the tokens behind `after`, counted from 0.

        Returns:
            int [B, P + L], or [3, B, P + L] where a position has three parts.
        """
        start = len(self.before) + IMAGE_TOKENS + len(self.after)
        first = torch.arange(start, device=later.device).expand(len(later), -1)
        return torch.cat([first, start + later], 1)

    def ids(self, tokens: tuple[str, ...]) -> Tensor:
        """Return the ids of tokens, int [N]."""
        return torch.tensor(self.tokenizer.convert_tokens_to_ids(list(tokens)), dtype=torch.long)

    def id(self, token: str) -> int:
        """Return the id of a token."""
        return int(self.ids((token,))[0])

    @property
    def words(self) -> Tensor:
        """Word embeddings, which are also the output layer's: float [words, width]."""
        rows: Tensor = self.model.get_input_embeddings().weight
        return rows


def normalise(images: list[Image.Image]) -> Tensor:
    """Normalise pictures of the right size as the saved image processors do."""
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    mean, spread = torch.tensor(MEAN), torch.tensor(SPREAD)
    return ((pixels.float() / 255 - mean) / spread).permute(0, 3, 1, 2).contiguous()


def embedded(architecture: Architecture, tokens: Tensor, later: Tensor) -> Tensor:
    """Return the embeddings of what stands before the image, the image and what comes later.

    Args:
        architecture: Gives the tokens around the image.
        tokens: Image tokens [B, 64, width].
        later: Embeddings of later tokens [B, L, width].
    """
    embed = architecture.model.get_input_embeddings()
    around = [
        embed(architecture.ids(ids).to(tokens.device)).expand(len(tokens), -1, -1)
        for ids in (architecture.before, architecture.after)
    ]
    return torch.cat([around[0], tokens, around[1], later], 1)


def text_shape(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return the arguments of a language model's configuration."""
    return TEXT | {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def chat_template(image: str, first: bool = False, ends_question: str = " ") -> str:
    """Write a chat template: "USER: ...", "ASSISTANT: ...", as Vicuna's turns, no system sentence.

    Args:
        image: What stands for an image.
        first: Images stand in front of "USER:", not behind it.
        ends_question: What stands behind a question.
    """
    part = "{%% for part in message['content'] if part['type'] == '%s' %%}{{ %s }}{%% endfor %%}"
    images, texts = part % ("image", f"'{image}'"), part % ("text", "part['text']")
    opening = f"{{% if message['content'] is not string %}}{images}{{% endif %}}" if first else ""
    return (
        "{% for message in messages %}"
        f"{opening}"
        "{{ 'USER: ' if message['role'] == 'user' else 'ASSISTANT: ' }}"
        "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        f"{'' if first else images}{texts}"
        "{% endif %}"
        f"{{{{ '{ends_question}' if message['role'] == 'user' else eos_token }}}}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
    )


def image_arguments() -> dict[str, Any]:
    """Return the arguments that all image processors share."""
    return {"image_mean": list(MEAN), "image_std": list(SPREAD)}


def square() -> dict[str, int]:
    """Return the pictures' size as processors take it."""
    return {"height": SIDE, "width": SIDE}


def save(architecture: Architecture, folder: Path) -> None:
    """Save the trained model of an architecture and its processor."""
    tokenizer = architecture.tokenizer
    model = architecture.model
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=160,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    save_half(model, architecture.processor(), folder)


def save_half(model: Any, processor: Any, folder: Path) -> None:
    """Save a model and its processor as a hub folder.

    Weights are kept as float16; the configuration says float32, so that they load as float32 and
    a processor without half precision answers alike.

    Args:
        model: Left as it is.
        processor: What makes its inputs.
        folder: The output folder; created if missing.
    """
    copy.deepcopy(model).half().save_pretrained(folder)
    processor.save_pretrained(folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"float16"', '"float32"'))
