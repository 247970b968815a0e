"""One step of training runs, and its optimiser is Muon scaled as Adam's steps are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from halluc.world.training.stages import STAGES, optimisers
from halluc.world.training.train_matcher import STAGE, MatcherTrainer
from halluc.world.training.train_model import Trainer

RATE, DECAY, MOMENTUM = 0.01, 0.05, 0.95


def muon_step(weight: Tensor, gradient: Tensor, momentum: Tensor) -> Tensor:
    """Keller Jordan's step in float32, scaled by 0.2 sqrt(max(rows, columns))."""
    momentum.lerp_(gradient, 1 - MOMENTUM)
    x = gradient.lerp(momentum, MOMENTUM)
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    step: Tensor = RATE * 0.2 * max(weight.shape) ** 0.5 * x
    return weight * (1 - RATE * DECAY) - step


def test_matrices_are_moved_by_muon() -> None:
    torch.manual_seed(0)
    matrix, other = nn.Parameter(torch.randn(6, 10)), nn.Parameter(torch.randn(4))
    muon, _ = optimisers([matrix], [nn.Parameter(torch.randn(2, 2))], [other])
    for group in muon.param_groups:
        group["lr"] = RATE
    momentum = torch.zeros(6, 10)
    for _ in range(2):
        matrix.grad = torch.randn(6, 10)
        want = muon_step(matrix.detach(), matrix.grad, momentum)
        muon.step()
        moved = RATE * 0.2 * 10**0.5
        assert torch.allclose(matrix, want, atol=0.05 * moved)  # torch iterates in bfloat16


@pytest.mark.parametrize(("trainer", "stage"), [(Trainer, STAGES[1]), (MatcherTrainer, STAGE)])
def test_one_step_moves_every_part(trainer: type[Trainer], stage: object, tmp_path: Path) -> None:
    training = trainer(tmp_path, seed=0)
    small = type(STAGE)(**{**vars(stage), "size": 2})
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    losses = training._learn(small)
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
    moved = [n for n, p in training.model.named_parameters() if not torch.equal(p, before[n])]
    assert len(moved) > 0.8 * len(before)
