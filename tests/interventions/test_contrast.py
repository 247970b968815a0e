"""Contrasting two distributions, by hand."""

from __future__ import annotations

from math import log

import torch

from halluc.interventions.contrast import contrasted, implausible


def test_tokens_below_a_share_of_the_best_are_cut() -> None:
    logits = torch.tensor([[1.0, 1 + log(0.11), 1 + log(0.09), -3.0], [0.0, 0.0, -1.0, -9.0]])
    assert implausible(logits, 0.1).tolist() == [[False, False, True, True], [False] * 3 + [True]]


def test_the_cut_is_strict() -> None:
    edge = torch.tensor([[0.0, log(0.5), log(0.5) - 1e-3]])
    assert implausible(edge, 0.5).tolist() == [[False, False, True]]


def test_the_best_token_always_stays() -> None:
    logits = torch.tensor([[2.0, 2.0, 1.9999]])
    assert implausible(logits, 1.0).tolist() == [[False, False, True]]
    assert not implausible(logits - 50, 0.0).any()


def test_log_probabilities_are_cut_as_logits_are() -> None:
    logits = 3 * torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(implausible(logits, 0.2), implausible(logits.log_softmax(-1), 0.2))


def test_contrast_by_hand() -> None:
    main, other = torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, 3.0]])
    # 3 * 2 - 2 * 1 and 3 * 1 - 2 * 3
    assert contrasted(main, other, 2.0).tolist() == [[4.0, -3.0]]
    assert torch.equal(contrasted(main, main, 7.0), main)
    each = contrasted(main.repeat(2, 1), other.repeat(2, 1), torch.tensor([[0.0], [1.0]]))
    assert each.tolist() == [[2.0, 1.0], [3.0, -1.0]]
