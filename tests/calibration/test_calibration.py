"""Calibration: what is measured, where it is kept, and what it may not have seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from halluc.calibration import Calibration, Calibrator, find_calibration, read, refuse_overlap
from halluc.calibration.calibration_samples import drawn, from_folder
from halluc.calibration.head_search import chosen
from halluc.calibration.measuring import run_calibration
from halluc.calibration.probing import Probed
from halluc.config import MethodConfig, ModelConfig, RunConfig
from halluc.errors import UserError
from halluc.evaluation import evaluate
from halluc.interventions.compose import find
from halluc.methods._image_heads import measured_layers
from halluc.methods._sinks import sink_dimensions
from halluc.methods.baseline import Baseline
from halluc.models import load_model
from halluc.scoring.base import REGISTRY
from tests.kit.families import llava


def test_sinks_are_told_from_other_tokens_by_the_middle_of_the_gap() -> None:
    tokens = torch.ones(9, 8)
    tokens[:5, 6], tokens[:5, 2] = -40.0, 20.0  # sinks, wherever they stand
    tokens[7, 3], tokens[8, 6] = 90.0, 1.5  # one is massive elsewhere, one is large
    sinks = sink_dimensions(tokens, torch.arange(9) == 6)
    assert sinks.dims == (2, 6)
    peak = 40 / ((1600 + 400 + 6) / 8) ** 0.5
    assert sinks.peak == pytest.approx(peak, rel=1e-4)
    assert sinks.tau == pytest.approx((peak + 1.5 / (9.25 / 8) ** 0.5) / 2, rel=1e-4)
    assert sinks.share == pytest.approx(6 / 9)


def test_a_second_dimension_counts_only_where_sinks_are_large_in_it() -> None:
    tokens = torch.ones(5, 8)
    tokens[:3, 6], tokens[:3, 2] = -40.0, 4.0
    assert sink_dimensions(tokens, torch.arange(5) == 0).dims == (6,)


def test_where_nothing_is_massive_nothing_passes_tau() -> None:
    tokens = torch.ones(5, 8)
    tokens[0, 2], tokens[0, 5] = 1.5, 1.2
    sinks = sink_dimensions(tokens, torch.arange(5) == 0)
    assert (sinks.dims, sinks.share) == ((2, 5), 0.0)
    assert sinks.tau == pytest.approx(0.6 * 8**0.5)
    assert sinks.peak < sinks.tau


def test_layers_that_move_most(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 1.0]])]
    unseen = [torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.5]])]
    reached = (0, 1, 3)  # layer 2 has no attention
    found = Probed(
        torch.empty(0),
        torch.empty(0),
        dict(zip(reached, seen, strict=True)),
        dict(zip(reached, unseen, strict=True)),
    )
    monkeypatch.setattr("halluc.calibration.probing.probed", lambda model, samples: found)
    monkeypatch.setattr("halluc.methods._image_heads._SHARE", 2 / 3)
    layers, moved = measured_layers(llava())
    assert moved == pytest.approx((0.0, 1.0, 0.0, 0.5), abs=1e-4)
    assert layers == (1, 3)


def test_drawn_samples_are_half_yes_and_of_no_benchmark() -> None:
    samples = drawn(16)
    assert [s.target for s in samples].count("yes") == 8
    tested = {s.image_id for s in REGISTRY.get("glyph_pope")().samples()}
    assert not tested & {s.image_id for s in samples}


def test_entropy_and_accuracy_of_a_few_samples() -> None:
    model = llava()
    calibrator = Calibrator(model, drawn(6), batch_size=4)
    greedy = Baseline(Baseline.Params())
    found = calibrator.measure(greedy)
    entropies, right = [], 0
    yes, no = model.yes_no_tokens or ([], [])
    for sample in calibrator.samples:
        inputs = model.encode([model.render(sample.prompt)], [sample.load_image()])
        with torch.inference_mode():
            log_p = model.model(**inputs).logits[0, -1].log_softmax(-1)
        entropies.append(float(-(log_p.exp() * log_p).sum()))
        said_yes = log_p[yes].logsumexp(0) > log_p[no].logsumexp(0)
        right += bool(said_yes) == (sample.target == "yes")
    assert found.entropy == pytest.approx(sum(entropies) / 6, abs=1e-4)
    assert found.accuracy == pytest.approx(right / 6)
    assert (
        Calibrator(model, calibrator.samples, batch_size=1).measure(greedy).accuracy
        == found.accuracy
    )


def test_a_run_picks_up_what_was_measured(tiny: Path, tmp_path: Path) -> None:
    cls = find("vhr")
    params = find("vhr").parameters({})
    calibration, file = run_calibration(
        cls, params, ModelConfig(name=str(tiny)), None, None, 6, False, tmp_path
    )
    assert read(file).model_dump(mode="json") == calibration.model_dump(mode="json")
    assert read(file).name == calibration.name
    model = load_model(str(tiny))
    assert find_calibration(tmp_path, model.fingerprint, "vhr") == file
    assert find_calibration(tmp_path, model.fingerprint, "var") is None
    config = RunConfig(
        model=ModelConfig(name=str(tiny)),
        method=MethodConfig(name="vhr"),
        benchmarks=("glyph_mme",),
        limit=1,
    )
    stronger = calibration.model_copy(update={"params": calibration.params | {"gain": 3.0}})
    with_it, other, without = (
        evaluate(config, tmp_path, model=model, calibration=used).folder.asker
        for used in (calibration, stronger, None)
    )
    assert with_it.method.calibration == calibration.name
    assert without.method.calibration is None
    assert with_it.method.resolved["layers"] == [*calibration.params["layers"]]
    assert other.method.resolved["gain"] == 3
    assert other.key != with_it.key
    assert without.method.resolved == with_it.method.resolved  # so it answers the same
    assert without.key == with_it.key


def test_evaluation_samples_are_refused(tiny: Path, tmp_path: Path) -> None:
    cls, params = find("var"), find("var").parameters({})
    seen, _ = run_calibration(
        cls, params, ModelConfig(name=str(tiny)), None, "glyph_pope", 4, False, tmp_path
    )
    benchmark = REGISTRY.get("glyph_pope")()
    with pytest.raises(UserError, match=r"image 'glyph_test_\d+.png' was used to calibrate var"):
        refuse_overlap(seen, "glyph_pope", benchmark.samples(5))


def test_images_without_labels(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no \.jpg or \.png"):
        from_folder(tmp_path, 4)
    for i in range(3):
        Image.new("RGB", (40, 30), (i * 80, 10, 10)).save(tmp_path / f"{i}.png")
    cls, params = find("var"), find("var").parameters({})
    found, _ = run_calibration(
        cls, params, ModelConfig(name=str(tiny)), tmp_path, None, 3, False, tmp_path
    )
    assert not found.labelled
    assert found.images == ("0.png", "1.png", "2.png")
    assert len(found.params["sink_dims"]) == 2


def test_what_has_nothing_to_calibrate_says_so(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'paint' has nothing to calibrate"):
        run_calibration(
            find("paint"),
            find("paint").parameters({}),
            ModelConfig(name=str(tiny)),
            None,
            None,
            4,
            False,
            tmp_path,
        )
    with pytest.raises(UserError, match="is not a calibration"):
        read(tmp_path / "nothing.json")


def test_name_holds_the_content() -> None:
    one = Calibration(
        model="m", fingerprint="f", method="var", params={"tau": 3.0}, labelled=False,
        source="drawn scenes", images=("a",),
    )  # fmt: skip
    other = one.model_copy(update={"params": {"tau": 4.0}})
    assert one.name != other.name
    assert one.name == one.model_copy(update={"report": {"x": 1}}).name


@pytest.mark.parametrize("name", ["act", "zerotuning"])
def test_heads_are_found_one_by_one(name: str, tiny: Path, tmp_path: Path) -> None:
    params = find(name).parameters({"alpha": 1.5} if name == "act" else {})
    found, _ = run_calibration(
        find(name), params, ModelConfig(name=str(tiny)), None, None, 6, False, tmp_path
    )
    assert found.labelled
    heads = found.params["heads"]
    assert all(0 <= head < 4 for members in heads.values() for head in members)
    if name == "zerotuning":
        merits = found.report["merit_by_gamma"]
        assert merits[found.params["gamma"]] == max(merits.values())
    else:
        assert found.report["with"]["entropy"] > 0


def test_chosen_heads_are_the_best_of_those_that_help() -> None:
    found = {(0, 0): 0.2, (0, 1): -0.1, (2, 1): 0.3, (2, 0): 0.1, (1, 0): 0.0}
    assert chosen(found) == {0: (0,), 2: (0, 1)}
    assert chosen(found, 2) == {0: (0,), 2: (1,)}
