"""Four identities the field's edits rest on, and three methods in both of their forms.

c below is a factor on each attention weight, S the logits, A their softmax.
"""

from __future__ import annotations

from math import log
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.methods._column_sinks import column_means, later_sinks, rescale_sinks
from halluc.methods._image_emphasis import emphasise
from halluc.methods._sinks import redistribute
from halluc.methods.zerotuning import first_token_bias
from halluc.models.tokens import first_token
from tests.references.zerotuning import scale_first_token

SEEDS = pytest.mark.parametrize("seed", range(3))
CLOSE: dict[str, Any] = {"atol": 1e-5, "rtol": 0.0}


def logits(seed: int, rows: int = 9, keys: int = 9) -> Tensor:
    """Causal attention logits [2, 3, R, K]."""
    scores = 3 * torch.randn(2, 3, rows, keys, generator=torch.Generator().manual_seed(seed))
    seen = torch.ones(rows, keys, dtype=torch.bool).tril(keys - rows)
    return scores.masked_fill(~seen, torch.finfo(torch.float32).min)


@SEEDS
def test_i1_scaling_and_renormalising_is_a_bias_of_the_log(seed: int) -> None:
    scores = logits(seed)
    c = 0.1 + 3 * torch.rand(2, 1, 1, 9, generator=torch.Generator().manual_seed(seed))
    scaled = c * scores.softmax(-1)
    assert torch.allclose(
        scaled / scaled.sum(-1, keepdim=True), (scores + c.log()).softmax(-1), **CLOSE
    )


@SEEDS
def test_i2_scaling_alone_is_that_bias_and_a_gain_of_the_row(seed: int) -> None:
    scores = logits(seed)
    draw = torch.Generator().manual_seed(seed)
    c, values = (
        0.1 + 3 * torch.rand(2, 1, 1, 9, generator=draw),
        torch.randn(2, 3, 9, 4, generator=draw),
    )
    biased = scores + c.log()
    gain = (biased.logsumexp(-1) - scores.logsumexp(-1)).exp()
    direct = (c * scores.softmax(-1)) @ values
    assert torch.allclose(direct, gain[..., None] * (biased.softmax(-1) @ values), **CLOSE)


@SEEDS
@pytest.mark.parametrize("keep", [0.0, 0.4, 1.0])
def test_i3_moving_mass_is_a_bias_that_depends_on_the_row(seed: int, keep: float) -> None:
    scores = logits(seed, rows=4)
    sinks, receives = torch.zeros(9, dtype=torch.bool), torch.zeros(9, dtype=torch.bool)
    sinks[[0, 3]], receives[[1, 2, 5]] = True, True
    attention = scores.softmax(-1)

    moved = (1 - keep) * attention[..., sinks].sum(-1, keepdim=True)
    among = attention / attention[..., receives].sum(-1, keepdim=True)
    after = attention * (1 - (1 - keep) * sinks.float()) + moved * among * receives

    # M_U and the mass of T from masked log-sum-exps, without the attention itself.
    total = scores.logsumexp(-1, keepdim=True)
    held = (scores[..., sinks].logsumexp(-1, keepdim=True) - total).exp()
    free = (scores[..., receives].logsumexp(-1, keepdim=True) - total).exp()
    c = torch.ones_like(scores)
    c[..., sinks] = keep
    c = torch.where(receives, 1 + (1 - keep) * held / free, c)
    assert torch.allclose(after, (scores + c.log()).softmax(-1), **CLOSE)
    assert torch.allclose(after.sum(-1), torch.ones(()), **CLOSE)


@SEEDS
def test_i4_a_boost_by_magnitude_is_a_power_of_the_weight(seed: int) -> None:
    scores, alpha = torch.randn(1, 2, 3, 6, generator=torch.Generator().manual_seed(seed)), 0.5
    columns = torch.tensor([[False, True, True, False, True, False]])
    rows = torch.ones(1, 3, dtype=torch.bool)
    out = emphasise(scores, columns, torch.zeros_like(columns), rows, alpha=alpha, beta=0.0)
    image = columns[:, None, None]
    factor = torch.where(scores > 0, 1 + alpha, 1 - alpha)
    assert torch.allclose(out, torch.where(image, factor * scores, scores), **CLOSE)
    assert torch.allclose(out, scores + alpha * scores.abs() * image, **CLOSE)
    powered = torch.where(image, scores.exp() ** factor, scores.exp())
    assert torch.allclose(out.softmax(-1), powered / powered.sum(-1, keepdim=True), **CLOSE)


@SEEDS
def test_zerotuning_in_both_forms(seed: int) -> None:
    scores, real = logits(seed), torch.ones(2, 9, dtype=torch.bool)
    for gamma in (0.1, 0.6, 5.0):
        biased = (scores + first_token_bias(first_token(real), gamma)).softmax(-1)
        scaled = scale_first_token(scores.softmax(-1), first_token(real), gamma)
        assert torch.allclose(biased, scaled, **CLOSE)


@SEEDS
def test_act_in_both_forms(seed: int) -> None:
    scores, beta = logits(seed), 0.4
    attention, real = scores.softmax(-1), torch.ones(2, 9, dtype=torch.bool)
    sinks = later_sinks(column_means(attention, real, attention[:1, 0] > 0), 0.1)
    assert sinks.any()
    sink = sinks[:, :, None]
    held = (attention * sink).sum(-1, keepdim=True)
    free = (attention * ~sink).sum(-1, keepdim=True)
    bias = torch.where(sink, torch.tensor(log(beta)), (1 + (1 - beta) * held / free).log())
    assert torch.allclose(
        rescale_sinks(attention, sinks, beta), (scores + bias).softmax(-1), **CLOSE
    )


@SEEDS
def test_var_in_both_forms(seed: int) -> None:
    scores, keep, rho, least = logits(seed, rows=4), 0.4, 0.6, 0.1
    attention, rows = scores.softmax(-1), torch.ones(2, 4, dtype=torch.bool)
    sinks, image = torch.zeros(2, 9, dtype=torch.bool), torch.zeros(2, 9, dtype=torch.bool)
    sinks[:, [0, 3]], image[:, 2:5] = True, True
    out = redistribute(attention, sinks, image, rows, keep=keep, rho=rho, min_image_mass=least)
    looks = attention[..., 2:5].sum(-1, keepdim=True)
    visual = attention[..., 3:4]
    chosen = (looks >= least) & (visual / (looks + 3e-6) <= rho)
    assert chosen.any() and not chosen.all()
    held = attention[..., [0, 3]].sum(-1, keepdim=True)
    free = attention[..., [2, 4]].sum(-1, keepdim=True)
    bias = torch.zeros_like(scores)
    bias[..., [0, 3]] = log(keep)
    bias[..., [2, 4]] = (1 + (1 - keep) * held / free).log()
    assert torch.allclose(out, (scores + bias * chosen).softmax(-1), **CLOSE)


@SEEDS
def test_act_is_the_papers_lines(seed: int) -> None:
    attention, beta = logits(seed, rows=4).softmax(-1), 0.4
    sinks = torch.zeros(2, 3, 9, dtype=torch.bool)
    sinks[:, :2, [2, 5]] = True  # the last head has none
    expected = attention.clone()
    for b, h, row in torch.cartesian_prod(*map(torch.arange, attention.shape[:3])).tolist():
        before, sink = attention[b, h, row], sinks[b, h]
        lost = (1 - beta) * before[sink].sum()
        expected[b, h, row][sink] = beta * before[sink]
        expected[b, h, row][~sink] = before[~sink] + lost * before[~sink] / before[~sink].sum()
    assert torch.allclose(rescale_sinks(attention, sinks, beta), expected, **CLOSE)


@SEEDS
def test_var_is_the_papers_lines(seed: int) -> None:
    attention, keep, rho, least = logits(seed, rows=4).softmax(-1), 0.4, 0.6, 0.1
    sinks, image = torch.zeros(2, 9, dtype=torch.bool), torch.zeros(2, 9, dtype=torch.bool)
    sinks[:, [0, 3]], image[:, 2:5] = True, True
    rows = torch.tensor([[True, True, True, True], [False, True, True, True]])
    expected, n_chosen = attention.clone(), 0
    for b, h, row in torch.cartesian_prod(*map(torch.arange, attention.shape[:3])).tolist():
        before, sink, free = attention[b, h, row], sinks[b], image[b] & ~sinks[b]
        looks = before[image[b]].sum()
        visual = before[image[b] & sink].sum() / (looks + 3e-6)
        if not rows[b, row] or looks < least or visual > rho:
            continue
        n_chosen += 1
        budget = (1 - keep) * before[sink].sum()
        expected[b, h, row][sink] = keep * before[sink]
        expected[b, h, row][free] = before[free] + budget * before[free] / before[free].sum()
    out = redistribute(attention, sinks, image, rows, keep=keep, rho=rho, min_image_mass=least)
    assert 0 < n_chosen < 24
    assert torch.allclose(out, expected, **CLOSE)
