"""FlowCut: hand-computed scores and counts, a plain reading of the published loop, small towers."""

from __future__ import annotations

from math import log, sqrt

import pytest
import torch
from torch import Tensor

from halluc.errors import UserError
from halluc.interventions import At
from halluc.methods.flowcut import FlowCut, information_flow, to_drop
from tests.kit.asking import answer, prepared, questions, thinned
from tests.kit.families import llava, prompts
from tests.kit.places import in_tower


def test_hand_computed_scores() -> None:
    # rel (.6, .4); a CLS value of 0 finds all alike, (.5, .5); sizes 1 and 2.
    attention = torch.tensor([[[0.5, 0.3, 0.2]]])
    values = torch.tensor([0.0, 1.0, -2.0]).view(1, 1, 3, 1)
    score, relation = information_flow(attention, values)
    assert relation.tolist() == [pytest.approx([0.6, 0.4])]
    assert score.tolist() == [pytest.approx([1.1, 1.8])]


def test_values_are_averaged_over_heads_before_their_size_is_taken() -> None:
    values = torch.zeros(1, 2, 2, 1)
    values[0, :, 1, 0] = torch.tensor([3.0, -1.0])  # mean 1, not 2
    score, _ = information_flow(torch.full((1, 2, 2), 0.5), values)
    assert score.tolist() == [[pytest.approx(2.0)]]


def test_hand_computed_counts() -> None:
    even, one = torch.full((10,), 0.1), torch.eye(10)[0]
    assert to_drop(even, 4, 4) == 0  # entropy 1
    assert to_drop(one, 4, 4) == 3  # entropy 0: 6 / sqrt(4)
    assert to_drop(even, 4, 0) == 6
    half = torch.tensor([0.5, 0.5, 0, 0])  # entropy log 2 / log 4 = 1/2
    assert to_drop(half, 0, 1) == 3  # 4 * (1 - 1/4)
    assert to_drop(one, 10, 4) == 0


def published(
    attentions: list[Tensor], values: list[Tensor], select_layer: int, target: int
) -> list[list[int]]:
    """The published loop for one image; attention and values are of all tokens in each layer."""
    n_patches = attentions[0].shape[-1] - 1
    kept = list(range(n_patches))
    scores: dict[int, float] = {}
    left = []
    for layer in range(select_layer):
        if 1 + len(kept) > target + 1:
            tokens = [0, *(k + 1 for k in kept)]
            a = attentions[layer][:, tokens]
            a = a / a.sum(-1, keepdim=True)
            v = values[layer][:, tokens]
            rel = a.mean(0)[1:]
            rel = rel / rel.sum()
            sem = torch.stack([(head @ head[0]).softmax(0) for head in v]).mean(0)[1:]
            now = (rel + sem / sem.sum()) * v.mean(0)[1:].abs().sum(-1)
            for patch, value in zip(kept, now.tolist(), strict=True):
                scores[patch] = 0.5 * scores[patch] + 0.5 * value if layer else value
            rpl = select_layer - layer - 1
            if rpl % 2 == 0:
                count = len(kept)
                if rpl == 0:
                    drop = 1 + count
                else:
                    h = -sum(p * log(p) for p in rel.tolist()) / log(count)
                    drop = round((count - target) / sqrt(rpl) * (1 - h**2))
                stay = max(1 + count - drop, target + 1) - 1
                kept = sorted(sorted(kept, key=lambda k: -scores[k])[:stay])
        left.append(list(kept))
    return left


@pytest.mark.parametrize("seed", range(4))
def test_follows_the_published_loop(seed: int) -> None:
    layers, heads, patches, target = 9, 3, 40, 7
    draw = torch.Generator().manual_seed(seed)
    shape = (layers, heads, 1 + patches)
    attentions = (4 * torch.randn(*shape, generator=draw)).softmax(-1)
    values = torch.randn(*shape, 5, generator=draw)
    expected = published(list(attentions), list(values), layers - 1, target)

    method, state = FlowCut(FlowCut.Params(target=target)), dict[str, Tensor]()
    hidden = torch.arange(1.0 + patches).view(1, -1, 1)
    for layer in range(layers):
        alive = hidden[0, :, 0].long()
        attention = attentions[layer][:, alive]
        attention = attention / attention.sum(-1, keepdim=True)
        at = in_tower(
            layer, layers, layers - 1, attention[None], values[layer][:, alive][None], state
        )
        hidden = method.image_tokens(at, hidden)
        if layer < layers - 1:
            assert (hidden[0, 1:, 0].long() - 1).tolist() == expected[layer]
    assert state["kept"][0].tolist() == expected[-1]
    counts = [len(step) for step in expected]
    assert counts[-1] == target and len(set(counts)) > 2


@pytest.mark.parametrize("tower_layers", [2, 3, 7])
@pytest.mark.parametrize(("target", "left"), [(1 / 3, 5), (4, 4), (0.01, 1), (16, 16)])
def test_towers_of_any_depth_end_with_the_target(
    tower_layers: int, target: float, left: int
) -> None:
    model = llava(tower_layers=tower_layers)
    inputs = prompts(model, "is there a dog ?", "describe this image please")
    found = thinned(model, prepared("flowcut", model, target=target), inputs)
    assert model.prompt_tokens(found).image_mask.sum(1).tolist() == [left, left]


def test_an_image_is_pruned_alike_in_any_company() -> None:
    model = llava(tower_layers=9)
    counts: list[int] = []

    class Watched(FlowCut):
        def image_tokens(self, at: At, hidden: Tensor) -> Tensor:
            out = super().image_tokens(at, hidden)
            counts.append(out.shape[1] - 1)
            return out

    method = Watched(Watched.Params(target=3))
    batch = answer(model, method, questions(model, 0, 1)).logits
    steps = counts[:9], counts[9:]
    assert [s[-1] for s in steps] == [3, 3]
    for row in range(2):
        alone = answer(model, prepared("flowcut", model, target=3), questions(model, row)).logits
        assert torch.allclose(batch[row], alone[0], atol=1e-4)


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(UserError, match="target 64 exceeds the 16 patches"):
        FlowCut.requires(FlowCut.Params(target=64), llava().model.config, "tiny-llava")
