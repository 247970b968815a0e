"""A cache that grows in place holds what transformers' own holds, whatever happens to it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import DynamicLayer, GenerationConfig

from halluc.decoding.kv_cache import BehindPrefix, Growing, growing_cache
from tests.kit.families import FAMILIES, build


def states(length: int, batch: int = 2) -> tuple[Tensor, Tensor]:
    return torch.randn(batch, 3, length, 4), torch.randn(batch, 3, length, 4)


@pytest.mark.parametrize("room", [0, 2, 100])
def test_holds_what_the_plain_layer_holds(room: int) -> None:
    torch.manual_seed(0)
    ours, plain = Growing(room), DynamicLayer()
    for length in (7, 1, 1, 3, 1):
        new = states(length)
        for mine, theirs in zip(ours.update(*new), plain.update(*new), strict=True):
            assert torch.equal(mine, theirs)
        assert ours.get_seq_length() == plain.get_seq_length()
        assert ours.get_mask_sizes(1) == plain.get_mask_sizes(1)


@pytest.mark.parametrize("room", [0, 100])
@pytest.mark.parametrize("change", ["reorder", "crop", "repeat", "select", "reset"])
def test_goes_on_after_beams_and_crops(change: str, room: int) -> None:
    torch.manual_seed(1)
    ours, plain = Growing(room), DynamicLayer()
    batch = {"repeat": 4, "select": 1}.get(change, 2)
    for new in (states(5), states(1)):
        ours.update(*new)
        plain.update(*new)
    for layer in (ours, plain):
        if change == "reorder":
            layer.reorder_cache(torch.LongTensor([1, 0]))
        elif change == "crop":
            layer.crop(-2)
        elif change == "repeat":
            layer.batch_repeat_interleave(2)
        elif change == "select":
            layer.batch_select_indices(torch.tensor([1]))
        else:
            layer.reset()
    for _ in range(3):
        new = states(1, batch)
        for mine, theirs in zip(ours.update(*new), plain.update(*new), strict=True):
            assert torch.equal(mine, theirs)


def test_copies_nothing_while_there_is_room() -> None:
    layer = Growing(room=4)
    first = layer.update(*states(6))[0].data_ptr()
    assert [layer.update(*states(1))[0].data_ptr() for _ in range(4)] == [first] * 4
    assert layer.update(*states(1))[0].data_ptr() != first


def test_counts_the_prefix() -> None:
    layer = BehindPrefix(length=10, room=4)
    assert layer.get_seq_length() == 10
    layer.update(*states(3))
    assert layer.get_seq_length() == 13
    layer.reorder_cache(torch.tensor([1, 0]))
    assert layer.get_seq_length() == 13


@pytest.mark.parametrize("family", FAMILIES)
def test_only_plain_layers_are_replaced(family: str) -> None:
    """Windows and other kinds of layers keep the cache their model makes for them."""
    model = build(family)
    own: dict[str, object] = {}
    model.model._prepare_cache_for_generation(
        GenerationConfig(use_cache=True), own, "greedy_search", 1, 8
    )
    found = own["past_key_values"]
    kinds = [Growing if type(one) is DynamicLayer else type(one) for one in found.layers]  # type: ignore[attr-defined]
    assert [type(one) for one in growing_cache(model, 8).layers] == kinds
    assert family != "llava" or set(kinds) == {Growing}
