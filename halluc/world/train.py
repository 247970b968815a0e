"""Trains the glyph model: `python -m halluc.world.train --output halluc/world/glyph`.

Two stages, each with its own steps, both from scenes made on the spot:

1. see: the vision tower and projector learn to say, at each patch, the word for what is under it;
2. speak: everything learns to describe and to answer, with the first stage's aims kept alive.

A step's data depend on the seed and the step alone, so an interrupted run goes on where its last
checkpoint left it, with the same data.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration

from halluc.world.batches import Sights, Talks, scenes_of, sights, talks
from halluc.world.losses import Heads, see, seeing_losses, speaking_losses
from halluc.world.model import build_model, save
from halluc.world.tokenizer import build_tokenizer

SAVE_SECONDS = 150.0
PRINT_STEPS = 20


@dataclass(frozen=True)
class Stage:
    """One stage's plan: its steps, scenes a step, and peak learning rates."""

    name: str
    steps: int
    size: int
    vision_rate: float
    text_rate: float
    warmup: int = 60


STAGES: tuple[Stage, ...] = (
    Stage("see", 1400, 64, 1.0e-3, 1.0e-3),
    Stage("speak", 1600, 24, 3.0e-4, 1.5e-3),
)
PRESENCE_UNTIL = 0.6
"""The presence head's weight falls to nothing over this share of the second stage."""


def rate_at(step: int, stage: Stage) -> float:
    """Returns the learning rate's factor: a short rise, then half a cosine down to 4%."""
    rise = min(1.0, (step + 1) / stage.warmup)
    return rise * (0.04 + 0.96 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / stage.steps))))


class Trainer:
    """The model, its throwaway heads and its place in the plan."""

    def __init__(self, work: Path, seed: int, stages: tuple[Stage, ...] = STAGES) -> None:
        torch.manual_seed(seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.work, self.seed, self.stages = work, seed, stages
        self.tokenizer = build_tokenizer()
        self.model: LlavaForConditionalGeneration = build_model(self.tokenizer)
        self.heads = Heads(self.model, self.tokenizer)
        self.model.to(self.device)
        self.heads.to(self.device)
        ids = self.tokenizer.convert_tokens_to_ids(["<s>", "USER:"])
        self.prefix = torch.tensor(ids, device=self.device)
        self.stage, self.step = 0, 0
        self.optimiser = self._optimiser()

    def run(self) -> LlavaForConditionalGeneration:
        """Trains to the end of the plan, from the last checkpoint if there is one."""
        self._resume()
        self.model.train()
        while self.stage < len(self.stages):
            self._run_stage(self.stages[self.stage])
            self.stage, self.step = self.stage + 1, 0
            if self.stage < len(self.stages):
                self.optimiser = self._optimiser()
            self._checkpoint()
        return self.model.eval()

    def _run_stage(self, stage: Stage) -> None:
        started, first, saved = time.monotonic(), self.step, time.monotonic()
        sums: dict[str, float] = {}
        while self.step < stage.steps:
            for name, value in self._learn(stage).items():
                sums[name] = sums.get(name, 0.0) + value / PRINT_STEPS
            self.step += 1
            if self.step % PRINT_STEPS == 0:
                each = (time.monotonic() - started) / (self.step - first)
                print(_progress(stage, self.step, sums, each), flush=True)
                sums = {}
            if time.monotonic() - saved > SAVE_SECONDS:
                self._checkpoint()
                saved = time.monotonic()

    def _learn(self, stage: Stage) -> dict[str, float]:
        offset = sum(s.steps * s.size for s in self.stages[: self.stage])
        scenes = scenes_of(self.step + offset // stage.size, stage.size, self.seed)
        seen = self._move(sights(scenes))
        tokens, cls = see(self.model, seen.pixels)
        parts = seeing_losses(self.model, self.heads, seen, tokens, cls)
        loss = parts["name"] + 0.5 * parts["hue"] + 2.0 * parts["whole"]
        if stage.name == "speak":
            talk = self._move(talks(scenes, self.tokenizer, self.seed))
            said = speaking_losses(self.model, self.heads, talk, tokens, self.prefix)
            guide = max(0.0, 1 - self.step / (PRESENCE_UNTIL * stage.steps))
            loss = 0.3 * loss + said["caption"] + said["answer"] + 0.1 * said["end"]
            loss = loss + guide * said["presence"]
            parts |= said
        for group, rate in zip(
            self.optimiser.param_groups, self._rates(stage), strict=True
        ):
            group["lr"] = rate * rate_at(self.step, stage)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return {name: float(part.detach()) for name, part in parts.items()}

    def _move(self, batch: Any) -> Any:
        for name, value in vars(batch).items():
            setattr(batch, name, value.to(self.device))
        return batch

    def _rates(self, stage: Stage) -> list[float]:
        return [stage.vision_rate, stage.vision_rate, stage.text_rate, stage.text_rate]

    def _optimiser(self) -> torch.optim.AdamW:
        """Groups: vision matrices, vision norms and biases, the same two of everything else."""
        groups: list[list[nn.Parameter]] = [[], [], [], []]
        named = [*self.model.named_parameters(), *self.heads.named_parameters()]
        for name, parameter in named:
            vision = "vision_tower" in name or "projector" in name
            groups[2 * (not vision) + (parameter.ndim < 2)].append(parameter)
        decay = (0.05, 0.0, 0.05, 0.0)
        parameters = [
            {"params": group, "weight_decay": share}
            for group, share in zip(groups, decay, strict=True)
        ]
        return torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.98), fused=True)

    def _checkpoint(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        state = {
            "stage": self.stage, "step": self.step, "model": self.model.state_dict(),
            "heads": self.heads.state_dict(), "optimiser": self.optimiser.state_dict(),
        }  # fmt: skip
        fresh = self.work / "checkpoint.new"
        torch.save(state, fresh)
        fresh.replace(self.work / "checkpoint.pt")

    def _resume(self) -> None:
        path = self.work / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.stage, self.step = state["stage"], state["step"]
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        self.optimiser.load_state_dict(state["optimiser"])
        print(f"resumed at stage {self.stage}, step {self.step}", flush=True)


def _progress(stage: Stage, step: int, parts: dict[str, float], each: float) -> str:
    left = (stage.steps - step) * each / 60
    losses = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
    return f"{stage.name} {step}/{stage.steps} | {losses} | {1 / each:.2f} steps/s, {left:.0f} min left"


def main() -> None:
    """Reads the command line, trains, saves."""
    parser = argparse.ArgumentParser(description="Train the glyph model on drawn scenes.")
    parser.add_argument("--output", type=Path, default=Path("halluc/world/glyph"))
    parser.add_argument("--work", type=Path, default=Path("runs/world"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    model = Trainer(options.work, options.seed).run()
    save(model, options.output)
    print(f"saved {options.output} after {(time.monotonic() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
