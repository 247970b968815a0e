"""Models of a published shape with random weights, and questions to time them with.

The values of weights do not matter for speed; that greedy answers depend on image and question
does, so queries are sharpened and the output layer is centred.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from halluc.interventions import At, Method
from halluc.models import VisionLanguageModel
from halluc.types import Sample
from halluc.world.catalog import NAMES
from halluc.world.training.tokenizer import build_tokenizer

SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tiny": (
        {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
         "num_attention_heads": 4},
        {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4,
         "num_attention_heads": 4},
    ),
    "lab": (
        {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4,
         "num_attention_heads": 4},
        {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8,
         "num_attention_heads": 8},
    ),
    "llava-1.5-7b": (
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
         "num_attention_heads": 16},
        {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
         "num_attention_heads": 32, "vocab_size": 32064},
    ),
}  # fmt: skip
"""Vision tower and language model by name: 576 image tokens of a 336 pixel square.

"tiny" is for tests.
"""

_SYSTEM = (
    "The image shows a scene. Look at the image carefully and only answer what you are sure of. "
    "Give a short answer. Nothing is near it. "
)
_TEMPLATE = (
    _SYSTEM + "{% for message in messages %}{{ message['role'] | upper }}: "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %} ASSISTANT:"
)


def build(shape: str, device: str, dtype: torch.dtype, side: int = 336) -> VisionLanguageModel:
    """Build a random LLaVA of a named shape whose image has (side / 14)^2 tokens."""
    vision, text = SHAPES[shape]
    words = build_tokenizer()
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=side, patch_size=14, **vision),
        text_config=LlamaConfig(
            **{"vocab_size": len(words)} | text,
            max_position_embeddings=8192,
            initializer_range=0.05,
        ),
        image_token_index=words.get_vocab()["<image>"],
        vision_feature_layer=-2,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = LlavaForConditionalGeneration(config).eval()
    torch.set_default_dtype(torch.float32)
    with torch.no_grad():
        for layer in model.get_decoder().layers:
            layer.self_attn.q_proj.weight *= 3
        head = model.get_output_embeddings().weight
        head -= head.mean(0)
    # No token of the vocabulary: all answers are equally long, whatever a method makes of logits.
    model.generation_config.eos_token_id = len(head)
    model.generation_config.pad_token_id = words.pad_token_id
    square = {"height": side, "width": side}
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": side}, crop_size=square),
        tokenizer=words,
        chat_template=_TEMPLATE,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return VisionLanguageModel(name=f"random {shape}", model=model, processor=processor)


def photo(number: int, size: tuple[int, int] = (640, 480)) -> Callable[[], Image.Image]:
    """Make a JPEG of coloured patches, decoded at every call."""
    draw = np.random.default_rng(number)
    small = Image.fromarray(draw.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return lambda: Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def questions(images: int, each: int, distinct: Sequence[int] = (), most: int = 4) -> list[Sample]:
    """Make POPE's questions, `each` about every image.

    Args:
        distinct: Different questions about an image, for the images in turns; all if empty.
        most: Tokens of an answer.
    """
    found = []
    for i in range(images):
        load, differ = photo(i), distinct[i % len(distinct)] if distinct else each
        found += [
            Sample(f"{i:05d}-{n:02d}", f"image-{i}", _ask(i + n % differ), load, None, "all", most)
            for n in range(each)
        ]
    return found


def plain_loop(model: VisionLanguageModel, samples: Sequence[Sample]) -> list[str]:
    """Answer by the simplest loop: processor and `generate`, one question at a time."""
    texts = []
    for sample in samples:
        inputs: Any = model.processor(
            images=sample.load_image(), text=model.render(sample.prompt), return_tensors="pt"
        ).to(model.device, model.model.dtype)
        with torch.inference_mode():
            out = model.model.generate(
                **inputs, do_sample=False, max_new_tokens=sample.max_new_tokens
            )
        new = out[0, inputs["input_ids"].shape[1] :]
        texts.append(model.processor.decode(new, skip_special_tokens=True).strip())
    return texts


class Pull(Method):
    """Bias of the last row's attention logits at the image by their size, as in PAI."""

    name = "image bias"
    rows = "last"

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Add half of each logit's size, in image columns."""
        return torch.where(at.image_columns[:, None, None], logits + 0.5 * logits.abs(), logits)


def _ask(number: int) -> str:
    name = NAMES[number % len(NAMES)]
    return f"Is there a {name} in the image? Look at it carefully and only answer yes or no."
