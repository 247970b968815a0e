"""ACT: hand-computed sinks and rows, padding, and what the published code breaks under a cache."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from halluc.interventions import At, BatchState
from halluc.interventions.engine import intervene
from halluc.methods._column_sinks import column_means, later_sinks, rescale_sinks
from halluc.methods.act import ACT
from tests.kit.families import llava, prompts

PROMPT = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.6, 0.2]])
MEANS = [1.7 / 3, 1.1 / 2, 0.2 / 1]
REAL = torch.ones(1, 3, dtype=torch.bool)
CAUSAL = torch.ones(1, 3, 3, dtype=torch.bool).tril()


def test_column_means_count_the_rows_that_see_a_token() -> None:
    means = column_means(PROMPT[None, None], REAL, CAUSAL)
    assert means.flatten().tolist() == pytest.approx(MEANS)


def test_padding_neither_gives_nor_receives() -> None:
    padded = torch.full((1, 1, 5, 5), 0.2)  # what a fully masked row comes out as
    padded[0, 0, 2:, :2] = 0
    padded[0, 0, 2:, 2:] = PROMPT
    real = torch.tensor([[False, False, True, True, True]])
    causal = torch.ones(1, 5, 5, dtype=torch.bool).tril()
    assert column_means(padded, real, causal).flatten().tolist() == pytest.approx([0, 0, *MEANS])


def test_a_prefix_that_sees_itself_whole_is_counted_whole() -> None:
    attention = torch.tensor([[0.2, 0.6, 0.2], [0.5, 0.5, 0.0], [0.2, 0.6, 0.2]])
    everyone = torch.ones(1, 3, 3, dtype=torch.bool)
    means = column_means(attention[None, None], REAL, everyone)
    assert means.flatten().tolist() == pytest.approx([0.9 / 3, 1.7 / 3, 0.4 / 3])


def test_the_first_sink_of_each_head_is_none() -> None:
    means = torch.tensor([[[0.6, 0.05, 0.2, 0.1], [0.05, 0.3, 0.05, 0.3]]])
    assert later_sinks(means, 0.1).tolist() == [
        [[False, False, True, False], [False, False, False, True]]
    ]


def test_hand_computed_rows() -> None:
    # The sink loses 60% of .6 and of .5; what is lost goes to the others as they stand.
    sinks = torch.tensor([[[False, True, False]]])
    out = rescale_sinks(PROMPT[None, None], sinks, 0.4)[0, 0]
    expected = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.2, 0.0], [0.38, 0.24, 0.38]])
    assert torch.allclose(out, expected, atol=1e-6)


def test_a_row_of_sinks_alone_is_no_division_by_zero() -> None:
    row = torch.tensor([[[[0.4, 0.6]]]])
    assert torch.equal(rescale_sinks(row, torch.ones(1, 1, 2, dtype=torch.bool), 0.4), row)


class Watched(ACT):
    """ACT that remembers what it was given and what it made of it."""

    seen: list[tuple[At, Tensor, Tensor]]

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        out = super().attention_weights(at, weights)
        self.seen.append((at, weights, out))
        return out


def watched(**params: object) -> tuple[Watched, dict[int, Tensor]]:
    model = llava()
    method = Watched.for_model(model, params)
    method.seen = []
    inputs = prompts(model, "is there a dog ?", "please describe this image is there a car ?")
    state = BatchState.of_inputs(model, inputs)
    with torch.inference_mode(), intervene(model, method, state):
        model.model.generate(**inputs, do_sample=False, max_new_tokens=4)
    return method, state.method


def test_sinks_are_the_prompts_and_generated_rows_keep_their_sums() -> None:
    method, sinks = watched(variant="official_code", threshold=0.05)
    assert sinks[2].any()
    assert {at.prefill for at, _, _ in method.seen} == {True, False}
    for at, before, after in method.seen:
        rows = at.rows[:, None].expand(-1, before.shape[1], -1)
        assert torch.allclose(after.sum(-1)[rows], torch.ones(()), atol=1e-5)
        held = sinks[at.layer]
        length = held.shape[-1]
        changed = (after / before)[..., :length].masked_select(held[:, :, None] & (rows[..., None]))
        assert torch.allclose(changed[changed.isfinite()], torch.tensor(0.4), atol=1e-5)


def test_only_calibrated_heads_are_edited() -> None:
    method, sinks = watched(variant="official_code", threshold=0.05, heads={1: (2,), 3: (0, 3)})
    assert sorted(sinks) == [1, 3]
    for layer, heads in ((1, [2]), (3, [0, 3])):
        assert set(sinks[layer].any(-1).any(0).nonzero()[:, 0].tolist()) <= set(heads)
    for at, before, after in method.seen:
        others = [h for h in range(4) if h not in {1: (2,), 3: (0, 3)}[at.layer]]
        assert torch.equal(before[:, others], after[:, others])


def test_the_papers_threshold_falls_with_length() -> None:
    # 24 and 31 tokens: 5 / n is .21 and .16 where the code has .1.
    code, paper = (watched(variant=v)[1] for v in ("official_code", "paper"))
    assert sum(int(s.sum()) for s in paper.values()) < sum(int(s.sum()) for s in code.values())
