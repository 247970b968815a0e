"""Train an embedded model: `python -m halluc.world.training.train_model glyph --output FOLDER`.

There are three stages, and every step makes new scenes:

1. see: the vision tower and projector learn to predict, at each patch, the word for its category;
2. speak: all parts learn to describe and to answer; the losses of the first stage are kept;
3. polish: the language model alone, at lower rates and without auxiliary heads, until captions
   stop repeating.

The recipe (recipes.py) says before which stage attention sinks are put into the weights
(planted_sinks.py), and whether the language model of another embedded model is taken over.

On a CPU each core has its own process with one thread, which takes a share of each step's scenes;
processes synchronise once a step, to average gradients. (Two threads in one process synchronise
thousands of times a step, and slow down as soon as anything else runs on the machine.) Matrices
are multiplied in bfloat16 where the processor does that fast, attention is in float32.

The data of a step depend only on the seed and the step, so an interrupted run continues from its
last checkpoint with the same data.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from halluc.files import replacing
from halluc.world.scenes import scene
from halluc.world.training.architectures import ARCHITECTURES, Architecture, save
from halluc.world.training.language_model import take_language_model
from halluc.world.training.losses import Heads, seeing_losses, speaking_losses
from halluc.world.training.planted_sinks import plant_sinks
from halluc.world.training.precision import fast_matrices, use_float32_attention
from halluc.world.training.processes import launch
from halluc.world.training.recipes import RECIPES
from halluc.world.training.stages import AID_UNTIL, Stage, optimisers, rate_at
from halluc.world.training.tensors import sights, talks

SAVE_SECONDS = 150.0
PRINT_STEPS = 20


class Trainer:
    """The model, its auxiliary heads, and the stage and step that training has reached."""

    def __init__(
        self, name: str, work: Path, seed: int = 0, rank: int = 0, workers: int = 1
    ) -> None:
        torch.manual_seed(seed)
        self.rank, self.workers = rank, workers
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.work, self.seed, self.recipe = work, seed, RECIPES[name]
        self.stages = self.recipe.stages
        self.architecture: Architecture = ARCHITECTURES[name]()
        self.model: Any = self.architecture.model
        use_float32_attention(self.model)
        if self.recipe.starts_from:
            take_language_model(self.architecture, self.recipe.starts_from)
        self.heads: Any = Heads(self.architecture)
        for part in (self.model, self.heads):
            nn.Module.to(part, self.device)
        self.stage, self.step = 0, 0
        self.optimisers = self._optimisers()

    def run(self) -> Any:
        """Train through all stages, from the last checkpoint if there is one."""
        self._resume()
        self.model.train()
        while self.stage < len(self.stages):
            stage = self.stages[self.stage]
            if stage.sinks and self.step == 0:
                self._plant(stage.sinks)
            self._run_stage(stage)
            self.stage, self.step = self.stage + 1, 0
            if self.stage < len(self.stages):
                self.optimisers = self._optimisers()
            self._checkpoint()
        self.model.eval()
        return getattr(self, "architecture", self.model)  # matcher and detector are models alone

    def _plant(self, where: frozenset[str]) -> None:
        self.model.eval()
        found = plant_sinks(self.architecture, "bos" in where, "patches" in where)
        self.model.train()
        if self.rank == 0:
            done = {name: round(value, 3) for name, value in found.items()}
            print("put sinks into", ", ".join(sorted(where)), done, flush=True)

    def _run_stage(self, stage: Stage) -> None:
        started, first, saved = time.monotonic(), self.step, time.monotonic()
        sums: dict[str, float] = {}
        while self.step < stage.steps:
            for name, value in self._learn(stage).items():
                sums[name] = sums.get(name, 0.0) + value / PRINT_STEPS
            self.step += 1
            if self.step % PRINT_STEPS == 0 and self.rank == 0:
                each = (time.monotonic() - started) / (self.step - first)
                print(_progress(stage, self.step, sums, each), flush=True)
                sums = {}
            if time.monotonic() - saved > SAVE_SECONDS:
                self._checkpoint()
                saved = time.monotonic()

    def _learn(self, stage: Stage) -> dict[str, float]:
        loss, parts = self._loss(stage)
        self._apply(loss, stage)
        return {name: float(part.detach()) for name, part in parts.items()}

    def _loss(self, stage: Stage) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of this worker's share of the step's scenes, and its parts by name."""
        offset = sum(s.steps * s.size for s in self.stages[: self.stage])
        share = stage.size // self.workers
        first = offset + self.step * stage.size + self.rank * share
        scenes = [scene(f"train{self.seed}", first + number) for number in range(share)]
        seen = self._move(sights(scenes))
        with fast_matrices(self.device):
            with torch.set_grad_enabled(stage.rates["vision"] > 0):  # at rate 0 nothing moves
                tokens, whole = self.architecture.see(seen.pixels)
            parts = seeing_losses(self.architecture.words, self.heads, seen, tokens, whole)
            loss = parts["name"] + 0.5 * parts["hue"] + 0.2 * parts["column"] + 2.0 * parts["whole"]
            if stage.name != "see":
                talk = self._move(talks(scenes, self.architecture, self.seed, stage.captions))
                said = speaking_losses(self.architecture, self.heads, talk, tokens)
                guide = max(0.0, 1 - self.step / (AID_UNTIL * stage.steps))
                guide *= stage.name == "speak"
                loss = 0.3 * loss + said["caption"] + said["answer"] + 0.1 * said["end"]
                aid = said["presence"] + 0.5 * (said["its_hue"] + said["its_side"])
                loss = loss + guide * aid
                parts |= said
        return loss, parts

    def _apply(self, loss: Tensor, stage: Stage) -> None:
        """Take one step along the gradients of all workers."""
        loss.backward()
        self._average()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = stage.rates[group["part"]] * rate_at(self.step, stage)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def _average(self) -> None:
        """Average gradients over the workers."""
        if self.workers == 1:
            return
        parameters = [*self.model.parameters(), *self.heads.parameters()]
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        pieces = (flat / self.workers).split([gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))

    def _move(self, batch: Any) -> Any:
        for name, value in vars(batch).items():
            setattr(batch, name, value.to(self.device))
        return batch

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        vision: list[nn.Parameter] = []
        text: list[nn.Parameter] = []
        other: list[nn.Parameter] = []
        for name, parameter in self.model.named_parameters():
            if parameter.ndim != 2 or "embed" in name:
                other.append(parameter)
            else:
                is_text = "language_model" in name or "text_model" in name
                (text if is_text else vision).append(parameter)
        return optimisers(vision, text, [*other, *self.heads.parameters()])

    def _checkpoint(self) -> None:
        if self.rank:
            return
        state = {
            "stage": self.stage,
            "step": self.step,
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        with replacing(self.work / "checkpoint.pt") as stream:
            torch.save(state, stream)

    def _resume(self) -> None:
        path = self.work / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.stage, self.step = state["stage"], state["step"]
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        print(f"resumed at stage {self.stage}, step {self.step}", flush=True)


def _progress(stage: Stage, step: int, parts: dict[str, float], each: float) -> str:
    left = (stage.steps - step) * each / 60
    losses = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
    pace = f"{1 / each:.2f} steps/s, {left:.0f} min left"
    return f"{stage.name} {step}/{stage.steps} | {losses} | {pace}"


if __name__ == "__main__":
    launch(Trainer, save, tuple(RECIPES))
