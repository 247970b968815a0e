"""What every training on drawn scenes shares: stages, steps, workers and checkpoints."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn

from halluc.files import replacing
from halluc.world.scenes import Scene, scene
from halluc.world.training.stages import Part, Stage, optimisers, rate_at

SAVE_SECONDS = 150.0
PRINT_STEPS = 20


class Losses(NamedTuple):
    """The loss that is minimised, and what is printed, by name."""

    total: Tensor
    parts: dict[str, Tensor]


class Trainer(ABC):
    """A model, its auxiliary heads, and the stage and step that training has reached.

    Attributes:
        stages: What is trained, in order; `_build` sets it.
        model: The model; `_build` sets it.
        heads: Modules that are trained with it and left out of what is saved; `_build` may set it.
        scenes_named: The training scenes' name, with the seed; other names draw other scenes.
    """

    stages: Sequence[Stage]
    model: Any
    heads: Any
    scenes_named = "train"

    def __init__(
        self, name: str, work: Path, seed: int = 0, rank: int = 0, workers: int = 1
    ) -> None:
        torch.manual_seed(seed)
        self.rank, self.workers, self.work, self.seed = rank, workers, work, seed
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.heads = nn.Module()
        self._build(name)
        for part in (self.model, self.heads):
            nn.Module.to(part, self.device)
        self.stage, self.step = 0, 0
        self.optimisers = self._optimisers()

    @abstractmethod
    def _build(self, name: str) -> None:
        """Build the untrained model of this name; the seed is set."""

    @abstractmethod
    def losses(self, scenes: Sequence[Scene], stage: Stage) -> Losses:
        """Return the losses of these scenes."""

    @abstractmethod
    def part(self, name: str, parameter: nn.Parameter) -> Part:
        """Return the part that a parameter belongs to, by which its learning rate is chosen."""

    def trained(self) -> Any:
        """Return what is saved."""
        return self.model

    def run(self) -> Any:
        """Train through all stages, from the last checkpoint if there is one."""
        self._resume()
        self.model.train()
        while self.stage < len(self.stages):
            stage = self.stages[self.stage]
            if self.step == 0:
                self._before(stage)
            self._run_stage(stage)
            self.stage, self.step = self.stage + 1, 0
            if self.stage < len(self.stages):
                self.optimisers = self._optimisers()
            self._checkpoint()
        self.model.eval()
        return self.trained()

    def _before(self, stage: Stage) -> None:
        """Change the model before a stage's first step; by default not at all."""
        return

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
        """Take one step, on this worker's share of its scenes."""
        offset = sum(before.steps * before.size for before in self.stages[: self.stage])
        share = stage.size // self.workers
        first = offset + self.step * stage.size + self.rank * share
        name = f"{self.scenes_named}{self.seed}"
        loss, parts = self.losses([scene(name, first + n) for n in range(share)], stage)
        self._apply(loss, stage)
        return {name: float(part.detach()) for name, part in parts.items()}

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

    def _groups(self) -> dict[Part, list[nn.Parameter]]:
        """Sort the model's parameters by part; those of the heads are "other"."""
        groups: dict[Part, list[nn.Parameter]] = {"vision": [], "text": [], "other": []}
        for name, parameter in self.model.named_parameters():
            groups[self.part(name, parameter)].append(parameter)
        groups["other"] += self.heads.parameters()
        return groups

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        return optimisers(**self._groups())

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
