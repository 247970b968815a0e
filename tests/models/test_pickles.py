"""Pickled weights are read only if asked for, run nothing, and fail in one line."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from halluc.config import ModelConfig
from halluc.errors import UserError
from halluc.models import load_model
from halluc.models.image_text_matcher import Matcher, find_matcher
from halluc.world import MATCHER
from tests.kit.runs import write_run

FILE = "pytorch_model.bin"


@pytest.fixture
def pickled(tiny: Path, tmp_path: Path) -> Path:
    """A model folder whose weights are a pickle."""
    folder = shutil.copytree(tiny, tmp_path / "pickled")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / FILE)
    return folder


def parameters(folder: Path, **options: Any) -> dict[str, torch.Tensor]:
    return dict(load_model(str(folder), **options).model.named_parameters())


def test_pickles_are_read_only_if_asked_for(pickled: Path, tiny: Path) -> None:
    with pytest.raises(UserError, match=rf"{FILE}; .* --model-args pickled_weights=true$"):
        load_model(str(pickled))
    found, stock = parameters(pickled, pickled_weights=True), parameters(tiny)
    assert found.keys() == stock.keys()
    assert all(torch.equal(found[name], stock[name]) for name in stock)


def test_pickles_in_parts_are_refused_by_the_first(pickled: Path) -> None:
    weights = torch.load(pickled / FILE)
    (pickled / FILE).unlink()
    parts = [f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2)]
    names = sorted(weights)
    halves = names[::2], names[1::2]
    for part, half in zip(parts, halves, strict=True):
        torch.save({name: weights[name] for name in half}, pickled / part)
    owners = {name: part for part, half in zip(parts, halves, strict=True) for name in half}
    index = {"metadata": {}, "weight_map": owners}
    (pickled / f"{FILE}.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=f"weights in {parts[0]}; "):
        load_model(str(pickled))
    assert parameters(pickled, pickled_weights=True)


@pytest.mark.parametrize("allowed", [False, True])
def test_safetensors_are_read_where_there_are_both(
    allowed: bool, pickled: Path, tiny: Path
) -> None:
    (pickled / FILE).write_bytes(b"no pickle at all")
    shutil.copy(tiny / "model.safetensors", pickled)
    assert parameters(pickled, pickled_weights=allowed)


class Code:
    """Touches a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.file,)


def dumped(value: Any, file: Path) -> None:
    file.write_bytes(pickle.dumps(value, protocol=2))


@pytest.mark.parametrize("save", [dumped, torch.save])
def test_code_in_a_pickle_is_not_run(save: Callable[[Any, Path], None], pickled: Path) -> None:
    ran = pickled / "ran"
    save({"lm_head.weight": Code(ran)}, pickled / FILE)
    with pytest.raises(UserError, match="more than numbers, which is not run") as refused:
        load_model(str(pickled), pickled_weights=True)
    assert "\n" not in str(refused.value)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "EOFError"),
        (b"\x80", "IndexError: index out of range"),
        (b"hello", "KeyError: 101"),
        (b"{}", "its weights are damaged"),
        (100, "its weights are damaged"),
        (-5, "its weights are damaged"),
    ],
)
def test_a_damaged_pickle_is_refused_in_one_line(
    content: bytes | int, reason: str, pickled: Path
) -> None:
    whole = (pickled / FILE).read_bytes()
    (pickled / FILE).write_bytes(whole[:content] if isinstance(content, int) else content)
    with pytest.raises(UserError, match=f"cannot be loaded: {reason}") as refused:
        load_model(str(pickled), pickled_weights=True)
    assert "\n" not in str(refused.value)


def test_a_damaged_matcher_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = shutil.copytree(MATCHER, tmp_path / "matcher")
    (folder / "model.safetensors").unlink()
    (folder / FILE).write_bytes(b"{}")
    with pytest.raises(UserError, match=r"^matcher '.*' cannot be loaded: its weights") as refused:
        Matcher(find_matcher(str(folder)), 0, "cpu")
    assert "\n" not in str(refused.value)


def test_other_pickled_weights_are_another_model(pickled: Path) -> None:
    weights = torch.load(pickled / FILE)
    before = load_model(str(pickled), pickled_weights=True).fingerprint
    torch.save({name: torch.rand_like(value) for name, value in weights.items()}, pickled / FILE)
    assert load_model(str(pickled), pickled_weights=True).fingerprint != before


@pytest.mark.parametrize(
    ("option", "named"),
    [("pickled_weights", False), ("trust_remote_code", True)],
    ids=["told by the weights' hash", "told by nothing else"],
)
def test_what_was_allowed_is_recorded(option: str, named: bool, tmp_path: Path) -> None:
    asker = write_run(tmp_path, benchmarks=()).asker
    plain, allowed = (
        asker.model_copy(update={"model": ModelConfig(**{option: on})}) for on in (False, True)
    )
    assert allowed.model_dump()["model"][option] is True
    assert (allowed.key != plain.key) is named
