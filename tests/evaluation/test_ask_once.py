"""An answer is asked for once: what it depends on asks again, and nothing else does."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from halluc.config import DecodingConfig, MethodConfig, ModelConfig, RunConfig
from halluc.errors import UserError
from halluc.evaluation import Evaluation, evaluate, evaluate_together
from halluc.interventions import REGISTRY
from halluc.models import VisionLanguageModel, load_model
from halluc.store import RunFolder
from halluc.store.rescoring_runs import rescore
from tests.kit.counting import Passes, counted_passes

PLUG_IN = """
from halluc import Method, MethodCard, method

FACTOR = {factor}  # {comment}


@method("kept_scaled")
class Scaled(Method):
    \"\"\"Scales each head.\"\"\"

    card = MethodCard("Scaled", "-", 2026, "-", "-")

    def head_gain(self, at, outputs):
        return outputs.new_full((outputs.shape[0], outputs.shape[2]), FACTOR)
"""


@pytest.fixture(scope="module")
def model(tiny: Path) -> VisionLanguageModel:
    return load_model(str(tiny))


@pytest.fixture
def passes(model: VisionLanguageModel) -> Iterator[Passes]:
    with counted_passes(model) as counted:
        yield counted


def run(tiny: Path, **changes: Any) -> RunConfig:
    values: dict[str, Any] = {"benchmarks": ("glyph_pope",), "limit": 2, "batch_size": 12}
    return RunConfig(model=ModelConfig(name=str(tiny)), **values | changes)


def lines(done: Evaluation, benchmark: str = "glyph_pope") -> int:
    return len((done.folder.path / f"answers_{benchmark}.jsonl").read_text().splitlines())


def test_more_images_ask_about_the_new_ones_alone(
    tiny: Path, tmp_path: Path, model: VisionLanguageModel, passes: Passes
) -> None:
    first = evaluate(run(tiny), tmp_path, model=model)
    asked = passes.count
    more = evaluate(run(tiny, limit=6), tmp_path, model=model)
    assert passes.since(asked) == 2 * asked  # four images instead of two
    assert more.folder.path == first.folder.path
    assert lines(more) == 6 * 18
    assert more.scores["glyph_pope"].n_images == 6
    asked = passes.count
    fewer = evaluate(run(tiny, limit=2), tmp_path, model=model)
    assert passes.since(asked) == 0
    assert fewer.scores["glyph_pope"] == first.scores["glyph_pope"]


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 3},
        {"share": False},
        {"benchmark_args": {"glyph_pope": {"protocol": "vcd"}}},
        {"model": {"device": "cpu"}},
        {"method": {"params": {}, "calibration": "paint on drawn scenes (0123456789)"}},
    ],
    ids=["batch size", "sharing", "protocol", "device by name", "origin of parameters"],
)
def test_nothing_is_asked_again(
    tiny: Path,
    tmp_path: Path,
    model: VisionLanguageModel,
    passes: Passes,
    changes: dict[str, Any],
) -> None:
    first = evaluate(run(tiny), tmp_path, model=model)
    asked = passes.count
    config = run(tiny).model_dump()
    for name, value in changes.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    again = evaluate(RunConfig(**config), tmp_path, model=model)
    assert passes.since(asked) == 0
    assert again.folder.path == first.folder.path


def test_another_benchmark_asks_nothing_of_the_first(
    tiny: Path, tmp_path: Path, model: VisionLanguageModel, passes: Passes
) -> None:
    evaluate(run(tiny), tmp_path, model=model)
    asked = passes.count
    evaluate(run(tiny, benchmarks=("glyph_mme",)), tmp_path / "apart", model=model)
    alone = passes.since(asked)
    asked = passes.count
    both = evaluate(run(tiny, benchmarks=("glyph_pope", "glyph_mme")), tmp_path, model=model)
    assert passes.since(asked) == alone
    assert set(both.scored) == {"glyph_pope", "glyph_mme"}


def test_a_protocol_is_scored_without_a_model(
    tiny: Path, tmp_path: Path, model: VisionLanguageModel, passes: Passes
) -> None:
    done = evaluate(run(tiny), tmp_path, model=model)
    asked = passes.count
    (found,) = rescore(done.folder, {"protocol": "all"})
    assert passes.since(asked) == 0
    assert len(found.scores) > 3
    kept = {done.folder.scores(file).scoring.protocol for file in done.folder.scores_files()}
    assert kept == set(found.scores)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": {"name": "paint", "params": {"alpha": 0.5}}},
        {"model": {"image_aspect": "pad"}},
        {"model": {"system_prompt": "Be brief."}},
        {"model": {"dtype": "float64"}},
        {"decoding": {"num_beams": 2}},
        {"decoding": {"max_new_tokens": 3}},
        {"decoding": {"do_sample": True, "seed": 1}},
    ],
    ids=["parameter", "image", "system prompt", "dtype", "beams", "token limit", "sampling"],
)
def test_what_an_answer_depends_on_asks_again(
    tiny: Path, tmp_path: Path, model: VisionLanguageModel, changes: dict[str, Any]
) -> None:
    base = run(tiny, method=MethodConfig(name="paint"))
    evaluate(base, tmp_path, model=model)
    config = base.model_dump()
    for name, value in changes.items():
        config[name] = {**config[name], **value}
    changed = RunConfig(**config)
    other = model if changed.model == base.model else load_model(**changed.model.model_dump())
    with counted_passes(other) as passes:
        evaluate(changed, tmp_path, model=other)
        assert passes.count > 0
        again = passes.count
        evaluate(changed, tmp_path, model=other)
        assert passes.since(again) == 0


def test_a_weight_file_asks_again(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    first = evaluate(run(folder), tmp_path / "runs")
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    weights = load_file(file)
    name = next(name for name in weights if "lm_head" in name)
    weights[name] = torch.flip(weights[name], [0]).contiguous()
    save_file(weights, file, {"format": "pt"})
    second = evaluate(run(folder), tmp_path / "runs")
    assert second.folder.path != first.folder.path
    assert lines(second) == lines(first)


def test_a_moved_model_is_the_same_one(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    shutil.copytree(tiny, tmp_path / "here/model")
    first = evaluate(run(tmp_path / "here/model"), tmp_path / "runs")
    (tmp_path / "there").mkdir()
    (tmp_path / "here/model").rename(tmp_path / "there/model")
    moved = load_model(str(tmp_path / "there/model"))
    with counted_passes(moved) as passes:
        again = evaluate(run(tmp_path / "there/model"), tmp_path / "runs", model=moved)
    assert (again.folder.path, passes.count) == (first.folder.path, 0)


def test_a_renamed_run_folder_is_found(
    tiny: Path, tmp_path: Path, model: VisionLanguageModel, passes: Passes
) -> None:
    first = evaluate(run(tiny), tmp_path, model=model)
    asked = passes.count
    first.folder.path.rename(tmp_path / "my baseline")
    again = evaluate(run(tiny), tmp_path, model=model)
    assert (again.folder.path.name, passes.since(asked)) == ("my baseline", 0)


def write_plug_in(folder: Path, factor: float, comment: str = "") -> None:
    (folder / "kept_plug_in.py").write_text(PLUG_IN.format(factor=factor, comment=comment))
    sys.modules.pop("kept_plug_in", None)
    invalidate_caches()
    import_module("kept_plug_in")


def test_a_plug_in_is_known_by_its_source(
    tiny: Path,
    tmp_path: Path,
    model: VisionLanguageModel,
    passes: Passes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    config = run(tiny, method=MethodConfig(name="kept_scaled"))
    with REGISTRY.scratch():
        write_plug_in(tmp_path, 1.5)
        first = evaluate(config, tmp_path / "runs", model=model)
        asked = passes.count
        write_plug_in(tmp_path, 1.5)
        evaluate(config, tmp_path / "runs", model=model)
        assert passes.since(asked) == 0
        write_plug_in(tmp_path, 2.5)
        other = evaluate(config, tmp_path / "runs", model=model)
        assert passes.since(asked) > 0
    sys.modules.pop("kept_plug_in", None)
    assert other.folder.path != first.folder.path


def pope_folder(folder: Path, noun: str = "dog", label: str = "yes", grey: int = 90) -> Path:
    """Write two images and a file of POPE questions about them."""
    folder.mkdir(exist_ok=True)
    rows = []
    for number in (1, 2):
        name = f"COCO_val2014_{number:012d}.jpg"
        Image.new("RGB", (40, 40), (grey, 10 * number, 0)).save(folder / name)
        text = f"Is there a {noun} in the image?"
        rows.append({"question_id": number, "image": name, "text": text, "label": label})
    for split in ("random", "popular", "adversarial"):
        file = folder / f"coco_pope_{split}.json"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def photographs(tiny: Path, folder: Path, **options: Any) -> RunConfig:
    arguments = {"pope_coco": {"folder": str(folder), **options}}
    return run(tiny, benchmarks=("pope_coco",), benchmark_args=arguments)


@pytest.mark.parametrize(
    ("change", "asks"),
    [({"label": "no"}, False), ({"noun": "cat"}, True), ({"grey": 91}, True)],
    ids=["labels", "wording", "pixels"],
)
def test_changed_data_under_the_same_ids_is_noticed(
    tiny: Path,
    tmp_path: Path,
    model: VisionLanguageModel,
    passes: Passes,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    asks: bool,
) -> None:
    monkeypatch.setenv("HALLUC_CACHE", str(tmp_path / "first"))
    config = photographs(tiny, pope_folder(tmp_path / "data"))
    before = evaluate(config, tmp_path / "runs", model=model).scores["pope_coco"]
    asked = passes.count
    pope_folder(tmp_path / "data", **change)
    monkeypatch.setenv("HALLUC_CACHE", str(tmp_path / "accepted"))
    after = evaluate(config, tmp_path / "runs", model=model).scores["pope_coco"]
    assert (passes.since(asked) > 0) is asks
    if "label" in change:
        accuracy = "random/accuracy"
        assert after.values[accuracy].value == 1 - (before.values[accuracy].value or 0)
    assert after.n == 6


def test_a_wording_asks_again_and_a_folder_that_moved_does_not(
    tiny: Path,
    tmp_path: Path,
    model: VisionLanguageModel,
    passes: Passes,
    cache: Path,
) -> None:
    folder = pope_folder(tmp_path / "data")
    evaluate(photographs(tiny, folder), tmp_path / "runs", model=model)
    asked = passes.count
    moved = folder.rename(tmp_path / "moved")
    evaluate(photographs(tiny, moved), tmp_path / "runs", model=model)
    assert passes.since(asked) == 0
    evaluate(photographs(tiny, moved, prompt="vcd"), tmp_path / "runs", model=model)
    assert passes.since(asked) > 0


def test_methods_in_one_command_answer_as_alone(
    tiny: Path, tmp_path: Path, model: VisionLanguageModel, passes: Passes
) -> None:
    names = ("baseline", "paint", "vhr", "zerotuning")
    configs = [run(tiny, method=MethodConfig(name=name)) for name in names]
    together = evaluate_together(configs, tmp_path / "together", model=model)
    for config, one in zip(configs, together, strict=True):
        alone = evaluate(config, tmp_path / "alone", model=model)
        mine, theirs = one.folder.answers("glyph_pope"), alone.folder.answers("glyph_pope")
        assert {a.id: a.text for a in mine} == {a.id: a.text for a in theirs}
        assert sum(a.forward_passes for a in mine) == sum(a.forward_passes for a in theirs)
        assert one.folder.path.name == alone.folder.path.name


def test_the_baseline_is_asked_once_for_all_methods(
    tiny: Path, tmp_path: Path, model: VisionLanguageModel, passes: Passes
) -> None:
    base, paint, vhr = (
        run(tiny, method=MethodConfig(name=name)) for name in ("baseline", "paint", "vhr")
    )
    evaluate_together([base, paint], tmp_path, model=model)
    asked = passes.count
    evaluate_together([base, vhr], tmp_path, model=model)
    with_known = passes.since(asked)
    asked = passes.count
    evaluate(vhr, tmp_path / "apart", model=model)
    assert with_known == passes.since(asked)


def test_a_key_that_was_edited_is_no_answer(
    tiny: Path, tmp_path: Path, model: VisionLanguageModel, passes: Passes
) -> None:
    done = evaluate(run(tiny), tmp_path, model=model)
    asked = passes.count
    file = done.folder.path / "answers_glyph_pope.jsonl"
    file.write_text(file.read_text().replace("Is there a", "Is there no", 1))
    again = evaluate(run(tiny), tmp_path, model=model)
    assert passes.since(asked) > 0
    assert lines(again) == 2 * 18
    assert "Is there no" in (done.folder.path / f"{file.name}.broken").read_text()
    assert RunFolder.read(done.folder.path).asker.key == done.folder.asker.key


def test_the_token_limit_of_an_answer_is_its_own(
    tiny: Path, tmp_path: Path, model: VisionLanguageModel
) -> None:
    short = DecodingConfig(max_new_tokens=2)
    one = evaluate(run(tiny), tmp_path, model=model)
    two = evaluate(run(tiny, decoding=short), tmp_path, model=model)
    assert one.folder.path == two.folder.path
    limits = {answer.max_new_tokens for answer in two.folder.answers("glyph_pope")}
    assert limits == {2, 8}
    assert one.scores["glyph_pope"].key != two.scores["glyph_pope"].key


def test_an_image_whose_name_is_no_text_is_asked_and_kept(
    tiny: Path, tmp_path: Path, model: VisionLanguageModel, passes: Passes, cache: Path
) -> None:
    folder = pope_folder(tmp_path / "data")
    name = "COCO_val2014_000000000001.jpg"
    odd = os.fsdecode(b"COCO_val2014_\xff_000000000001.jpg")
    (folder / name).rename(folder / odd)
    for file in folder.glob("*.json"):
        file.write_text(file.read_text().replace(name, json.dumps(odd)[1:-1]))
    config = photographs(tiny, folder)
    first = evaluate(config, tmp_path / "runs", model=model)
    assert first.scores["pope_coco"].n == 6
    asked = passes.count
    again = evaluate(config, tmp_path / "runs", model=model)
    assert (again.scores, passes.since(asked)) == (first.scores, 0)


def test_a_method_that_fails_keeps_no_other_from_being_scored(
    tiny: Path, tmp_path: Path, model: VisionLanguageModel
) -> None:
    broken = MethodConfig(name="vhr", params={"gain": 1e308})
    configs = [run(tiny, method=method) for method in (broken, MethodConfig(name="paint"))]
    with pytest.raises(UserError, match=r"36 of 36 samples failed.*logits are not finite"):
        evaluate_together(configs, tmp_path, model=model)
    scored = {file.parent.name.split("-")[1] for file in tmp_path.glob("*/scores_*.json")}
    assert scored == {"paint"}
