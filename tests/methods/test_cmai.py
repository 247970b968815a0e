"""CMAI: hand-computed focus, and which pairs lose their attention in which layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from halluc.errors import UserError
from halluc.interventions import At, BatchState
from halluc.interventions.engine import intervene
from halluc.methods.cmai import CMAI, focus, unfocused
from tests.kit.families import llava, prompts


def test_focus_asks_the_other_text() -> None:
    # The second row adds half of what the first sees: .5 * (.6, .2) on its own (.1, .3).
    to_image = torch.tensor([[[0.6, 0.2], [0.1, 0.3]]])
    to_text = torch.tensor([[[0.0, 0.0], [0.5, 0.0]]])
    out = focus(to_image, to_text, to_image)
    assert torch.allclose(out, torch.tensor([[[0.6, 0.2], [0.4, 0.4]]]))


def test_the_lowest_share_of_the_image_is_unfocused() -> None:
    image = torch.tensor([[False, True, True, True, True, False]])
    found = torch.tensor([[[0.0, 0.4, 0.1, 0.3, 0.2, 0.0], [0.0, 0.1, 0.1, 0.2, 0.3, 0.0]]])
    assert unfocused(found, image, 0.5).nonzero()[:, 1:].tolist() == [
        [0, 2],
        [0, 4],
        [1, 1],
        [1, 2],
    ]
    assert unfocused(found, image, 0.3).sum() == 2  # 1.2 rounded down, in each row
    assert not unfocused(found, image, 0.0).any()


class Watched(CMAI):
    """CMAI that shows the attention that comes out."""

    seen: list[tuple[At, Tensor]]

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        self.seen.append((at, weights))
        return weights


def watched() -> list[tuple[At, Tensor]]:
    model = llava()
    method = Watched.for_model(model)
    method.seen = []
    inputs = prompts(model, "is there a dog ?", "please describe this image is there a car ?")
    with torch.inference_mode(), intervene(model, method, BatchState.of_inputs(model, inputs)):
        model.model.generate(**inputs, do_sample=False, max_new_tokens=3)
    return method.seen


def test_a_quarter_of_the_image_goes_dark_in_later_layers() -> None:
    for at, attention in watched():
        dark = ((attention == 0) & at.image_columns[:, None, None]).sum(-1)
        dark = dark[at.rows[:, None].expand(-1, 4, -1)]
        assert dark.unique().tolist() == ([0] if at.layer == 1 else [4])


def test_generated_rows_follow_the_prompts_text() -> None:
    seen = watched()
    read = [(at, attention.mean(1)) for at, attention in seen if at.layer == 1]
    (first, prompt), (_, row) = read[:2]
    masked = next(a for s, a in seen if s.layer == 2 and not s.prefill)[:, :, 0] == 0
    image = first.image_columns[1].nonzero()[:, 0]
    behind = prompt.shape[1]
    expected = row[1, 0, image].clone()
    for k in range(behind):
        if first.rows[1, k]:
            column = first.image_columns.shape[1] - behind + k
            expected += row[1, 0, column] * prompt[1, k, image]
    lowest = set(image[expected.argsort()[:4]].tolist())
    assert set(masked[1, 0].nonzero()[:, 0].tolist()) == lowest


def test_a_layer_with_none_behind_it_is_refused() -> None:
    with pytest.raises(UserError, match="no layer follows layer 3"):
        CMAI.resolve(CMAI.Params(layer=3), llava())
