"""Train the glyph model: `python -m halluc.world.training.train_model --output FOLDER`.

There are three stages, and every step makes new scenes:

1. see: the vision tower and projector learn to predict, at each patch, the word for its category;
2. speak: all parts learn to describe and to answer; the losses of the first stage are kept;
3. polish: the same at lower rates and without auxiliary heads, until captions stop repeating.

On a CPU each core has its own process with one thread, which takes a share of each step's scenes;
processes synchronise once a step, to average gradients. (Two threads in one process synchronise
thousands of times a step, and slow down as soon as anything else runs on the machine.)

The data of a step depend only on the seed and the step, so an interrupted run continues from its
last checkpoint with the same data.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn

from halluc.world.scenes import scene
from halluc.world.training.architecture import build_model, save
from halluc.world.training.lessons import LOOSE, STRICT, Rates
from halluc.world.training.losses import Heads, see, seeing_losses, speaking_losses
from halluc.world.training.tensors import sights, talks
from halluc.world.training.tokenizer import build_tokenizer

SAVE_SECONDS = 150.0
PRINT_STEPS = 20


@dataclass(frozen=True)
class Stage:
    """A stage: steps, scenes in a step, peak learning rate of each part, rates of captions."""

    name: str
    steps: int
    size: int
    rates: dict[str, float]
    captions: Rates = LOOSE
    warmup: int = 50


STAGES: tuple[Stage, ...] = (
    Stage("see", 1600, 32, {"vision": 4e-3, "text": 0.0, "other": 1.5e-3}),
    Stage("speak", 1900, 24, {"vision": 1e-3, "text": 2.5e-3, "other": 1.5e-3}),
    Stage("polish", 1000, 24, {"vision": 5e-4, "text": 1.5e-3, "other": 8e-4}, STRICT),
)
AID_UNTIL = 0.6
"""The weight of the heads that read a word falls to 0 over this share of stage two."""


def rate_at(step: int, stage: Stage) -> float:
    """Return the factor of the learning rate: a linear warm-up, then half a cosine to 4%."""
    rise = min(1.0, (step + 1) / stage.warmup)
    return rise * (0.04 + 0.96 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / stage.steps))))


def optimisers(
    vision: Sequence[nn.Parameter], text: Sequence[nn.Parameter], other: Sequence[nn.Parameter]
) -> list[torch.optim.Optimizer]:
    """Make Muon for the matrices of vision and text, and AdamW for everything else.

    Muon (Keller Jordan et al., https://kellerjordan.github.io/posts/muon/) needs a third of the
    scenes that Adam needs to learn to see: 300 steps of 32 against 460 of 64. Its steps are scaled
    so that Adam's learning rates and decay fit.
    """
    matrices = [{"params": vision, "part": "vision"}, {"params": text, "part": "text"}]
    rest = [{"params": other, "part": "other"}]
    return [
        torch.optim.Muon(matrices, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=0.0),
    ]


class Trainer:
    """The model, its auxiliary heads, and the stage and step that training has reached."""

    def __init__(self, work: Path, seed: int, rank: int = 0, workers: int = 1) -> None:
        torch.manual_seed(seed)
        self.rank, self.workers = rank, workers
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.work, self.seed, self.stages = work, seed, STAGES
        self.tokenizer = build_tokenizer()
        self.model: Any = build_model(self.tokenizer)
        self.heads: Any = Heads(self.model, self.tokenizer)
        for part in (self.model, self.heads):
            nn.Module.to(part, self.device)
        ids = self.tokenizer.convert_tokens_to_ids(["<s>", "USER:"])
        self.prefix = torch.tensor(ids, device=self.device)
        self.stage, self.step = 0, 0
        self.optimisers = self._optimisers()

    def run(self) -> Any:
        """Train through all stages, from the last checkpoint if there is one."""
        self._resume()
        self.model.train()
        while self.stage < len(self.stages):
            self._run_stage(self.stages[self.stage])
            self.stage, self.step = self.stage + 1, 0
            if self.stage < len(self.stages):
                self.optimisers = self._optimisers()
            self._checkpoint()
        self.model.eval()
        return self.model

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
        offset = sum(s.steps * s.size for s in self.stages[: self.stage])
        share = stage.size // self.workers
        first = offset + self.step * stage.size + self.rank * share
        scenes = [scene(f"train{self.seed}", first + number) for number in range(share)]
        seen = self._move(sights(scenes))
        tokens, cls = see(self.model, seen.pixels)
        parts = seeing_losses(self.model, self.heads, seen, tokens, cls)
        loss = parts["name"] + 0.5 * parts["hue"] + 0.2 * parts["column"] + 2.0 * parts["whole"]
        if stage.name != "see":
            talk = self._move(talks(scenes, self.tokenizer, self.seed, stage.captions))
            said = speaking_losses(self.model, self.heads, talk, tokens, self.prefix)
            guide = max(0.0, 1 - self.step / (AID_UNTIL * stage.steps)) * (stage.name == "speak")
            loss = 0.3 * loss + said["caption"] + said["answer"] + 0.1 * said["end"]
            aid = said["presence"] + 0.5 * (said["its_hue"] + said["its_side"])
            loss = loss + guide * aid
            parts |= said
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

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        vision: list[nn.Parameter] = []
        text: list[nn.Parameter] = []
        other: list[nn.Parameter] = []
        for name, parameter in self.model.named_parameters():
            if parameter.ndim != 2 or "embed" in name:
                other.append(parameter)
            else:
                (text if "language_model" in name else vision).append(parameter)
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
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        print(f"resumed at stage {self.stage}, step {self.step}", flush=True)


def _progress(stage: Stage, step: int, parts: dict[str, float], each: float) -> str:
    left = (stage.steps - step) * each / 60
    losses = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
    pace = f"{1 / each:.2f} steps/s, {left:.0f} min left"
    return f"{stage.name} {step}/{stage.steps} | {losses} | {pace}"


Saver = Callable[[Any, Path], None]


def launch(trainer: type[Trainer], saver: Saver, name: str) -> None:
    """Read the command line, train and save.

    Args:
        trainer: Made and run once in each worker.
        saver: Given the trained model and the output folder.
        name: The name of the output and work folders unless the command line gives others.
    """
    parser = argparse.ArgumentParser(description=f"Train the {name} model on drawn scenes.")
    parser.add_argument("--output", type=Path, default=Path("halluc/world") / name)
    parser.add_argument("--work", type=Path, default=Path("runs") / name)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    workers = _workers()
    with tempfile.TemporaryDirectory() as meeting:
        plan = (trainer, saver, workers, meeting, options.work, options.output, options.seed)
        if workers == 1:
            _work(0, *plan)
        else:
            spawn(_work, plan, nprocs=workers)


def _workers() -> int:
    """Return the number of processes: 1 on a GPU, else 4, 2 or 1, at most one for each core."""
    if torch.cuda.is_available():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return next(number for number in (4, 2, 1) if number <= (cores or 1))


def _work(
    rank: int,
    trainer: type[Trainer],
    saver: Saver,
    workers: int,
    meeting: str,
    work: Path,
    output: Path,
    seed: int,
) -> None:
    started = time.monotonic()
    if workers > 1:
        torch.set_num_threads(1)
        place = f"file://{meeting}/workers"
        distributed.init_process_group("gloo", place, rank=rank, world_size=workers)
    model = trainer(work, seed, rank, workers).run()
    if rank == 0:
        saver(model, output)
        print(f"saved {output} after {(time.monotonic() - started) / 60:.0f} minutes", flush=True)
    if workers > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    launch(Trainer, save, "glyph")
