"""Train the detector: `python -m halluc.world.training.train_detector --output FOLDER`.

It is an `Owlv2ForObjectDetection` of one and a half million parameters that finds the categories
that words name in a drawn scene. It starts with glyph's vision tower, which knows the category
under each patch. Each patch is taught the thing that shows most in it: its category, its box, and
to be as sure as the box is right, so that of many boxes around one thing the best is the surest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import processors
from torch import Tensor, nn
from torch.nn import functional
from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2Processor
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

from halluc.world import GLYPH, language
from halluc.world.backgrounds import SIDE
from halluc.world.catalog import NAMES
from halluc.world.rendering import render
from halluc.world.scenes import Scene, generator, outline
from halluc.world.training.architectures.base import MEAN, SPREAD, normalise, save_half
from halluc.world.training.precision import fast_matrices, use_float32_attention
from halluc.world.training.processes import launch
from halluc.world.training.stages import Part, Stage
from halluc.world.training.tokenizer import BOS, build_tokenizer
from halluc.world.training.trainer import Losses, Trainer

PATCH = 16
"""Side of a patch in pixels."""
LEAST_SHARE = 0.1
"""The least share of a patch that a thing covers to be looked for there."""
END = "<end>"
"""Ends a query. Its id is the largest: the text encoder reads a query off there."""
STAGE = Stage("detect", 800, 32, {"vision": 2.5e-3, "text": 2.5e-3, "other": 2e-3})


def build_processor() -> Owlv2Processor:
    """Build the processor; it needs only PIL and scipy."""
    tokenizer = build_tokenizer((END,))
    ends = [(name, tokenizer.convert_tokens_to_ids(name)) for name in (BOS, END)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {END}", special_tokens=ends
    )
    tokenizer.padding_side, tokenizer.model_max_length = "right", 16
    images = Owlv2ImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, image_mean=list(MEAN), image_std=list(SPREAD)
    )
    return Owlv2Processor(image_processor=images, tokenizer=tokenizer)


def build_detector(vocab_size: int) -> Owlv2ForObjectDetection:
    """Build the untrained detector."""
    vision = {
        "hidden_size": 144,
        "intermediate_size": 432,
        "num_hidden_layers": 5,
        "num_attention_heads": 6,
        "image_size": SIDE,
        "patch_size": PATCH,
        "hidden_act": "gelu_pytorch_tanh",
    }
    text = {
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": vocab_size - 1,
    }
    config = Owlv2Config(text_config=text, vision_config=vision, projection_dim=64)
    detector = Owlv2ForObjectDetection(config)
    for name, weight in detector.named_parameters():
        if "head.dense" in name and weight.ndim == 2:  # transformers leaves them at a spread of 1
            nn.init.normal_(weight, std=0.01 if "dense2" in name else weight.shape[1] ** -0.5)
    text_embeddings = detector.owlv2.text_model.embeddings  # so that only words tell queries apart
    nn.init.zeros_(text_embeddings.position_embedding.weight)
    text_embeddings.token_embedding.weight.data[[1, vocab_size - 1]] = 0
    for line in (detector.class_head.logit_shift, detector.class_head.logit_scale):
        nn.init.zeros_(line.weight)
    # (cosine - 0.6) * 10: at first it is sure of nothing
    nn.init.constant_(detector.class_head.logit_shift.bias, -0.6)
    nn.init.constant_(detector.class_head.logit_scale.bias, 9.0)
    return detector


def take_tower(detector: Owlv2ForObjectDetection) -> None:
    """Copy the vision tower of the shipped glyph, which has the same shape."""
    given: Any = load_file(GLYPH / "model.safetensors")
    own = detector.owlv2.vision_model.state_dict()
    for name, weight in own.items():
        if not name.endswith("position_ids"):
            weight.copy_(given[f"vision_tower.{name.replace('pre_layernorm', 'pre_layrnorm')}"])


def save(detector: Owlv2ForObjectDetection, folder: Path) -> None:
    """Save detector and processor."""
    save_half(detector, build_processor(), folder)


class Labels(NamedTuple):
    """What each patch should find.

    Attributes:
        boxes: Of the thing that shows most in it, corners as shares of the side [B, P, 4].
        category: That thing's, int [B, P]; -1 where nothing is to be found.
        others: Categories that show in it, too, bool [B, P, categories]; right and wrong to find.
    """

    boxes: Tensor
    category: Tensor
    others: Tensor


def labels(scenes: Sequence[Scene]) -> Labels:
    """Label the patches of scenes, in reading order."""
    grid = SIDE // PATCH
    boxes = torch.zeros(len(scenes), grid**2, 4)
    category = torch.full((len(scenes), grid**2), -1)
    others = torch.zeros(len(scenes), grid**2, len(NAMES), dtype=torch.bool)
    for row, drawn in enumerate(scenes):
        shares = torch.from_numpy(shown(drawn)).float()
        shares = shares.unflatten(1, (grid, PATCH)).unflatten(3, (grid, PATCH)).mean((2, 4))
        shares = shares.flatten(1)
        for number, thing in enumerate(drawn.things):
            others[row, shares[number] > 0, NAMES.index(thing.category)] = True
            shares[number, shares[number].argmax()] += 1  # a small thing has a patch, too
        most, which = shares.max(0)
        for patch in (most >= LEAST_SHARE).nonzero()[:, 0].tolist():
            thing = drawn.things[int(which[patch])]
            left, top, wide, high = thing.bbox
            corners = (left, top, left + wide, top + high)
            boxes[row, patch] = torch.tensor(corners) / SIDE
            category[row, patch] = NAMES.index(thing.category)
    return Labels(boxes, category, others)


def shown(drawn: Scene) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return the pixels in which each thing shows, bool [things, 128, 128]."""
    covered = np.zeros((SIDE, SIDE), bool)
    masks = []
    for thing in reversed(drawn.things):
        masks.append(outline(thing) & ~covered)
        if thing.opacity > 0.6:
            covered |= masks[-1]
    return np.stack(masks[::-1])


def overlaps(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far boxes overlap, pair by pair.

    Args:
        one, other: Corners (left, top, right, bottom) [..., 4].

    Returns:
        Intersection over union, and the generalised one: less the share of the smallest box around
        both that neither covers (Rezatofighi et al. 2019) [...].
    """

    def area(corners: Tensor) -> Tensor:
        sides = (corners[..., 2:] - corners[..., :2]).clamp(min=0)
        return sides[..., 0] * sides[..., 1]

    low, high = torch.min(one, other), torch.max(one, other)
    inside = area(torch.cat([high[..., :2], low[..., 2:]], -1))
    around = area(torch.cat([low[..., :2], high[..., 2:]], -1))
    union = area(one) + area(other) - inside
    iou = inside / union.clamp(min=1e-9)
    return iou, iou - (around - union) / around.clamp(min=1e-9)


class DetectorTrainer(Trainer):
    """Trains the detector in one stage."""

    scenes_named = "detector"

    def _build(self, name: str) -> None:
        self.stages = (STAGE,)
        self.tokenizer = build_processor().tokenizer
        self.model = build_detector(len(self.tokenizer))
        use_float32_attention(self.model)
        take_tower(self.model)

    def losses(self, scenes: Sequence[Scene], stage: Stage) -> Losses:
        """Return the losses of these scenes."""
        pixels = normalise([render(drawn) for drawn in scenes]).to(self.device)
        wanted = Labels(*(part.to(self.device) for part in labels(scenes)))
        with fast_matrices(self.device):
            logits, found = self._find(pixels, self._queries(scenes[0]))
        middle, size = found.split(2, -1)
        corners = torch.cat([middle - size / 2, middle + size / 2], -1)
        at = wanted.category >= 0
        iou, generalised = overlaps(corners[at], wanted.boxes[at])
        sure = torch.zeros_like(logits)
        sure[at, wanted.category[at]] = iou.detach().clamp(min=0.1)
        counts = ~wanted.others | (sure > 0)
        # Li et al. 2020, eq. 6: the further off, the heavier, so that background weighs little
        weight = (logits.detach().sigmoid() - sure).abs() ** 2 * counts
        each = functional.binary_cross_entropy_with_logits(logits, sure, reduction="none")
        parts = {
            "name": functional.cross_entropy(logits[at], wanted.category[at]),
            "sure": (weight * each).sum() / at.sum(),
            "place": (corners[at] - wanted.boxes[at]).abs().sum(-1).mean(),
            "overlap": (1 - generalised).mean(),
            "iou": iou.mean().detach(),
        }
        loss = 0.5 * parts["name"] + 3 * parts["sure"]
        return Losses(loss + 5 * parts["place"] + 2 * parts["overlap"], parts)

    def _find(self, pixels: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the detector's own forward does, but read queries once for all scenes.

        Returns:
            Logits of each patch for each query [B, P, categories], and boxes as middles and sizes
            [B, P, 4].
        """
        seen, _ = self.model.image_embedder(pixels)
        patches = seen.flatten(1, 2)
        asked = self.model.owlv2.get_text_features(queries).pooler_output
        logits, _ = self.model.class_predictor(patches, asked.expand(len(pixels), -1, -1))
        return logits.float(), self.model.box_predictor(patches, seen).float()

    def _queries(self, first: Scene) -> Tensor:
        """Ask for all categories, by a word for each, int [categories, 3]."""
        rng = generator("queries", self.seed, first.split, first.index)
        words = [rng.choice([name, *language.SYNONYMS[name]]) for name in NAMES]
        ids: Tensor = self.tokenizer(words, return_tensors="pt")["input_ids"]
        return ids.to(self.device)

    def part(self, name: str, parameter: nn.Parameter) -> Part:
        """Matrices are the vision tower's or the text encoder's; embeddings and heads neither."""
        if parameter.ndim != 2 or "embed" in name or "head" in name:
            return "other"
        return "vision" if "vision" in name else "text"


if __name__ == "__main__":
    launch(DetectorTrainer, save, ("detector",))
