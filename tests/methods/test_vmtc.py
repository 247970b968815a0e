"""VMTC: hand-computed clusters and merges, and the tokens the language model gets."""

from __future__ import annotations

import pytest
import torch

from halluc.interventions.vision_hooks import reading_cls
from halluc.methods._token_clusters import cluster
from halluc.methods.vmtc import VMTC, compress
from tests.kit.asking import thinned
from tests.kit.families import llava, prompts


def test_clusters_by_direction_not_by_length() -> None:
    points = torch.tensor([[1.0, 0.1], [0.1, 1.0], [5.0, 0.0], [0.0, 9.0], [2.0, 0.1]])
    labels = cluster(points, 2, iterations=5).tolist()
    assert labels == [0, 1, 0, 1, 0]


def test_no_cluster_is_empty_even_among_equals() -> None:
    labels = cluster(torch.ones(5, 3), 3, iterations=5)
    assert labels.bincount(minlength=3).min() >= 1
    assert cluster(torch.eye(4), 4, iterations=5).unique().numel() == 4


def test_hand_computed_merge() -> None:
    # Patches 1 and 2 point the same way: (.1 * 1 + .3 * 2) / .4 = 1.75, in the place of patch 2.
    patches = torch.tensor([[7.0, 7.0], [1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    importance = torch.tensor([0.5, 0.1, 0.3, 0.1])
    out, kept = compress(patches, importance, primary=1, clusters=2, iterations=3)
    assert kept.tolist() == [0, 2, 3]
    assert torch.allclose(out[kept], torch.tensor([[7.0, 7.0], [1.75, 0.0], [0.0, 1.0]]))


@pytest.mark.parametrize(
    ("params", "total", "expected"),
    [
        ({}, 576, (144, 36)),
        ({}, 16, (4, 1)),
        ({"primary": 54, "clusters": 10}, 576, (54, 10)),
        ({"primary": 54, "clusters": 10}, 16, (16, 0)),
        ({"primary": 0.01, "clusters": 0.0}, 16, (1, 0)),
    ],
)
def test_counts_are_numbers_or_shares(
    params: dict[str, float], total: int, expected: tuple[int, int]
) -> None:
    assert VMTC(VMTC.Params(**params)).counts(total) == expected


def test_the_language_model_gets_what_is_left() -> None:
    model = llava()
    inputs = prompts(model, "is there a dog ?", "describe this image please")
    method = VMTC(VMTC.Params(primary=5, clusters=3))
    left = thinned(model, method, inputs)
    with torch.inference_mode():
        whole = model.encode_images(inputs).pooler_output
        seen: dict[int, list[torch.Tensor]] = {}
        with reading_cls(model, (-2,), seen, lambda: inputs):
            model.encode_images(inputs)
    assert model.prompt_tokens(left).image_mask.sum(1).tolist() == [8, 8]
    for row, features in enumerate(left["mm_encoder_outputs"]["image"].pooler_output):
        assert features.shape == (8, 32)
        top = seen[-2][row].mean(1).topk(5).indices.sort().values
        same = [any(torch.allclose(f, w, atol=1e-5) for f in features) for w in whole[row][top]]
        assert all(same)
