"""One training run of the trial of attention sinks: resumable, with a log of what it measured."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from halluc.files import replacing, write_whole
from halluc.world.training.natural_sinks_measures import look_inside, measures
from halluc.world.training.natural_sinks_model import (
    BATCH,
    LENGTH,
    LOG_STEPS,
    Cell,
    build_model,
    optimisers,
    rate_at,
)
from halluc.world.training.natural_sinks_text import BOS, TRIGGERS, Text

SAVE_SECONDS = 60.0
HELD_OUT = 2**40
"""The number of the batch that is measured: no training step gets there."""


class SinkRun:
    """A cell's model, its optimisers, and the step that training has reached.

    Attributes:
        folder: Where the log and the checkpoint are.
        log: What was measured every LOG_STEPS steps, the start too.
    """

    def __init__(self, folder: Path, cell: Cell, steps: int, seed: int = 0) -> None:
        self.folder, self.cell, self.steps, self.seed = folder, cell, steps, seed
        self.text = Text(cell.share, seed)
        self.model = build_model(cell, seed)
        self.optimisers = optimisers(self.model, cell)
        self.step = 0
        self.log: list[dict[str, Any]] = []

    def run(self) -> list[dict[str, Any]]:
        """Train to the last step, from the last checkpoint if there is one; return the log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resume()
        saved = time.monotonic()
        if not self.log:
            self._note()
        while self.step < self.steps:
            self.learn()
            if self.step % LOG_STEPS == 0 or self.step == self.steps:
                self._note()
            if time.monotonic() - saved > SAVE_SECONDS or self.step == self.steps:
                self.save()
                saved = time.monotonic()
        return self.log

    def learn(self) -> float:
        """Take one step on texts that no other step has; return their loss."""
        ids, _ = self.text.batch(self.step, BATCH, LENGTH)
        batch = torch.from_numpy(ids)
        # Matrix products of bfloat16 are several times as fast on recent CPUs.
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(input_ids=batch, use_cache=False).logits
        loss = token_losses(logits, batch).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate_at(self.step, self.steps)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return float(loss.detach())

    def save(self) -> None:
        """Write the checkpoint: it replaces the last one once it is whole."""
        state = {
            "step": self.step,
            "log": self.log,
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        with replacing(self.folder / "checkpoint.pt") as stream:
            torch.save(state, stream)

    def resume(self) -> None:
        """Continue from the checkpoint, if there is one."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.step, self.log = state["step"], state["log"]
        self.model.load_state_dict(state["model"])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)

    def _note(self) -> None:
        """Measure on held-out texts, and write the log whole."""
        ids, copies = self.text.batch(HELD_OUT, 4 * BATCH, LENGTH)
        batch = torch.from_numpy(ids)
        logits, inside = look_inside(self.model, batch)
        losses = token_losses(logits, batch)
        line = {"step": self.step, "loss": round(float(losses.mean()), 4), **measures(inside)}
        triggered = torch.isin(batch[:, :-1], torch.tensor(TRIGGERS))
        copied = triggered & torch.from_numpy(copies)[:, None]
        line["copied"] = (
            round(float(losses[copied].neg().exp().mean()), 4) if copied.any() else None
        )
        self.log.append(line)
        text = "".join(json.dumps(line) + "\n" for line in self.log)
        write_whole(self.folder / "log.jsonl", text)
        print(f"{self.folder.name} {self.step}/{self.steps} {_shown(line)}", flush=True)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return what a run has measured so far; nothing where there is no run."""
    file = folder / "log.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def token_losses(logits: Tensor, ids: Tensor) -> Tensor:
    """Return the cross-entropy of every token but the first, [B, T, V] and [B, T] to [B, T - 1]."""
    targets = ids[:, 1:]
    assert not (targets == BOS).any(), "BOS is never a target"
    return nn.functional.cross_entropy(
        logits[:, :-1].float().transpose(1, 2), targets, reduction="none"
    )


def _shown(line: dict[str, Any]) -> str:
    attention = " ".join(f"{value:.2f}" for value in line["attention"])
    parts = f"loss {line['loss']:.3f} sinks {line['sink_share']:.2f} attention {attention}"
    return f"{parts} peak {max(line['peak_first']):.1f}"
