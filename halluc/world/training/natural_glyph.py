"""Do sinks grow by themselves in a vision-language model? A language model over glyph's eyes.

    python -m halluc.world.training.natural_glyph --workers 1

The vision tower and the projector are glyph's, without what makes patches massive, and rest; the
language model starts from random weights, and nothing is planted. It learns to describe and to
answer as glyph did, but with AdamW and decay in place of Muon, heads of 48 wide, BOS always first
and never a target, and next to every step's scenes it reads Bigram-Backcopy text, which gives heads
a need to look at nothing. Resumable; `make sinks` writes its log into docs/sinks.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText

from halluc.files import write_whole
from halluc.models.names import locate
from halluc.world.language import CAPTION_PROMPTS
from halluc.world.scenes import Scene
from halluc.world.training.architectures import Architecture, save
from halluc.world.training.architectures.base import IMAGE_TOKENS
from halluc.world.training.lessons import LOOSE
from halluc.world.training.natural_sinks_measures import Inside, measures, peaks
from halluc.world.training.natural_sinks_model import DECAY, LENGTH, LOG_STEPS, RATE
from halluc.world.training.natural_sinks_text import BOS, Text
from halluc.world.training.planted_sinks import SINK_DIMS, look
from halluc.world.training.processes import launch
from halluc.world.training.stages import Part, Stage
from halluc.world.training.train_model import ModelTrainer
from halluc.world.training.trainer import Losses

NAME = "glyph-natural"
SCENES, TEXTS, STEPS = 12, 5, 4000
"""Scenes and Bigram-Backcopy texts of a step (30% of its sequences), and steps."""
_FIRST_WORD = 100
"""Id of the word that stands for token 1 of the texts; which words they are does not matter."""


class NaturalTrainer(ModelTrainer):
    """Trains a language model over glyph's eyes, and notes sinks every `LOG_STEPS` steps."""

    def _build(self, name: str) -> None:
        super()._build("glyph")
        rates = {"vision": 0.0, "text": RATE, "other": RATE}
        self.stages = (Stage("speak", STEPS, SCENES, rates, LOOSE, warmup=100),)
        take_eyes(self.architecture, "glyph")
        self.texts = Text(1.0, self.seed)

    def losses(self, scenes: Sequence[Scene], stage: Stage) -> Losses:
        """Return the losses of the scenes, and that of the step's texts."""
        loss, parts = super().losses(scenes, stage)
        number = self.step * self.workers + self.rank
        ids, _ = self.texts.batch(number, max(1, TEXTS // self.workers), LENGTH)
        copied = self.text_loss(torch.from_numpy(ids).to(self.device))
        return Losses(loss + copied, parts | {"text": copied})

    def text_loss(self, texts: Tensor) -> Tensor:
        """Return the cross-entropy of texts [N, T], each token but BOS."""
        first = self.architecture.id(self.architecture.before[0])
        ids = torch.where(texts == BOS, first, texts + _FIRST_WORD - 1)
        hidden = self.architecture.decoder(input_ids=ids, use_cache=False).last_hidden_state
        logits = hidden[:, :-1].float() @ self.architecture.words.T
        return nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    def _learn(self, stage: Stage) -> dict[str, float]:
        if self.step % LOG_STEPS == 0 and self.rank == 0:
            note(self.architecture, self.step, self.work)
        return super()._learn(stage)

    def part(self, name: str, parameter: nn.Parameter) -> Part:
        """The language model's matrices decay; its norms, biases and embeddings are "other"."""
        if "vision_tower" in name or "projector" in name:
            return "vision"
        inner = parameter.ndim == 2 and "embed" not in name
        return "text" if "language_model" in name and inner else "other"

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        """AdamW alone."""
        decays: dict[Part, float] = {"text": DECAY, "other": 0.0, "vision": 0.0}
        parts = [
            {"params": group, "part": part, "weight_decay": decays[part]}
            for part, group in self._groups().items()
        ]
        return [torch.optim.AdamW(parts, betas=(0.9, 0.95))]


@torch.no_grad()
def take_eyes(architecture: Architecture, name: str) -> None:
    """Copy the vision tower and the projector of an embedded model, without its planted sinks."""
    source = AutoModelForImageTextToText.from_pretrained(locate(name))
    for part in ("vision_tower", "multi_modal_projector"):
        getattr(architecture.model.model, part).load_state_dict(
            getattr(source.model, part).state_dict()
        )
    assert architecture.projector is not None
    last = architecture.projector[1]
    for side in (last.weight, last.bias):
        side[list(SINK_DIMS)] = 0


@torch.no_grad()
def note(architecture: Architecture, step: int, work: Path) -> None:
    """Measure sinks in prompts about scenes, and write them as the log's line of this step."""
    architecture.model.eval()
    streams, weights = look(architecture, CAPTION_PROMPTS[0])
    architecture.model.train()
    values = [
        layer.self_attn.v_proj(layer.input_layernorm(stream)).unflatten(-1, (4, -1))
        for layer, stream in zip(architecture.decoder.layers, streams, strict=True)
    ]
    norms = torch.stack([value.norm(dim=-1).mean(-1) for value in values])
    hidden, attention = torch.stack(streams), torch.stack(weights)
    line = {
        "step": step,
        **measures(Inside(attention, hidden, norms)),
        **of_image(architecture, hidden, attention),
    }
    file = work / "log.jsonl"
    before = file.read_text().splitlines() if file.exists() else []
    kept = [old for old in before if json.loads(old)["step"] < step]
    write_whole(file, "".join(f"{one}\n" for one in [*kept, json.dumps(line)]))


def of_image(architecture: Architecture, hidden: Tensor, attention: Tensor) -> dict[str, Any]:
    """Measure image tokens: the largest |x_d| / rms(x), and what one gets of later rows.

    Args:
        architecture: Says where image tokens stand.
        hidden: The residual stream entering each layer [L, B, T, D].
        attention: Attention weights [L, B, H, T, T].
    """
    start = len(architecture.before)
    image = slice(start, start + IMAGE_TOKENS)
    behind = attention[:, :, :, start + IMAGE_TOKENS :, image].mean(3)  # [L, B, H, 64]
    return {
        "image_peak": round(float(peaks(hidden[:, :, image]).amax(2).mean(1).max()), 4),
        "image_most": round(float(behind.amax((2, 3)).mean(1).max()), 4),
    }


if __name__ == "__main__":
    launch(NaturalTrainer, save, (NAME,))
