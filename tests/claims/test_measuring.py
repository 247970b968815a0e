"""What counts as a measurement of a claim, by boards made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from halluc.claims import find_claim
from halluc.claims.measuring import DRAWN, measured, status
from halluc.config import DecodingConfig
from halluc.scoring.base import REGISTRY
from tests.claims.hand_made import board, published, row

VCD = find_claim("vcd-pope-random-llava15-7b-accuracy")  # 83.29 to 87.73: +4.44, sampled
SPLITS = ("random/f1", "popular/f1", "adversarial/f1")
GREEDY = DecodingConfig().model_dump()


def test_numbers_are_in_the_unit_of_the_claim() -> None:
    (found,) = measured(VCD, board(row(gain=0.04, stderr=0.01, base=0.8)))
    # .84 and .80 times 100; 4 -+ 1.96
    assert found.value == pytest.approx(84.0) and found.baseline == pytest.approx(80.0)
    gap = found.difference
    assert [gap.value, gap.low, gap.high, gap.stderr] == pytest.approx([4.0, 2.04, 5.96, 1.0])
    assert found.power == pytest.approx(0.9934, abs=1e-4)  # Phi(4.44 - 1.96) = Phi(2.48)
    assert found.verdict == "reproduced" and found.other == () and found.where == ""
    assert not found.recorded and found.images == 500


@pytest.mark.parametrize(
    ("gain", "stderr", "verdict"),
    [
        (0.04, 0.01, "reproduced"),  # [2.04, 5.96] holds 4.44
        (0.02, 0.005, "smaller"),  # [1.02, 2.98] is below 4.44
        (0.02, 0.02, "not shown"),  # [-1.92, 5.92] holds 0 and 4.44
        (0.0, 0.01, "contradicted"),  # [-1.96, 1.96] holds 0, not 4.44; power .99
        (-0.03, 0.01, "contradicted"),  # [-4.96, -1.04]
        (0.04, None, "not shown"),  # no interval
    ],
)
def test_verdicts_of_boards(gain: float, stderr: float | None, verdict: str) -> None:
    found = measured(VCD, board(row(gain=gain, stderr=stderr)))
    assert status(VCD, found) == found[0].verdict == verdict


def test_what_goes_down_is_claimed_with_a_minus() -> None:
    chair = find_claim("vhr-chair-llava15-7b-chair-s")  # 49.68 to 33.32: -16.36, greedy
    about: Any = {"metric": "chair_s", "benchmark": "chair_coco", "do_sample": False}
    about |= {"prompt": "official", "protocol": "pattern", "base": 0.5}
    (found,) = measured(chair, board(row("vhr", gain=-0.15, stderr=0.02, **about)))
    assert found.verdict == "reproduced"  # [-18.92, -11.08] holds -16.36
    (found,) = measured(chair, board(row("vhr", gain=-0.05, stderr=0.02, **about)))
    assert found.verdict == "smaller"  # [-8.92, -1.08]
    (found,) = measured(chair, board(row("vhr", gain=0.05, stderr=0.02, **about)))
    assert found.verdict == "contradicted"  # [1.08, 8.92]


def test_nothing_is_measured_without_a_row_of_method_benchmark_and_metric() -> None:
    for other in (
        row("m3id"),
        row("baseline"),
        row(benchmark="pope_gqa"),
        row(metric="popular/accuracy"),
    ):
        found = measured(VCD, board(other))
        assert found == [] and status(VCD, found) == "not measured"


@pytest.mark.parametrize(
    ("changed", "other"),
    [
        ({"model": "llava-hf/llava-1.5-13b-hf"}, ("model",)),
        ({"model": "glyph", "benchmark": "glyph_pope"}, ("model", "images")),
        ({"quantization": "4bit"}, ("model",)),
        ({"labels": {"random": "0" * 10}}, ("labels",)),
        ({"do_sample": False}, ("decoding",)),
        ({"decoding": GREEDY | {"do_sample": True, "temperature": 0.5}}, ("decoding",)),
        ({"decoding": GREEDY | {"num_beams": 5}}, ("decoding",)),
        ({"decoding": GREEDY | {"do_sample": True, "max_new_tokens": 3}}, ("decoding",)),
        ({"args": {"alpha": 0.5}}, ("parameters",)),
        ({"prompt": "official"}, ("wording",)),
        ({"protocol": "official"}, ("scorer",)),
        ({"prompt": "official", "protocol": "official"}, ("wording", "scorer")),
    ],
)
def test_runs_that_differ_from_the_claim_get_no_verdict(
    changed: dict[str, Any], other: tuple[str, ...]
) -> None:
    found = measured(VCD, board(row(**changed)))
    assert [one.other for one in found] == [other]
    assert found[0].verdict is None and status(VCD, found) == "not measured"


def test_other_models_decoded_otherwise_are_left_out() -> None:
    assert measured(VCD, board(row(model="glyph", do_sample=False))) == []


@pytest.mark.parametrize("name", ["LLaVA-1.5-7B", "liuhaotian/llava-v1.5-7b", "LLAVA-V1.5-7B"])
def test_a_model_goes_by_several_names(name: str) -> None:
    assert measured(VCD, board(row(model=name)))[0].other == ()


def test_what_the_paper_does_not_state_may_be_anything() -> None:
    claim = find_claim("dola-pope-llava15-7b-f1-in-vhr")
    about: Any = {"metric": "f1", "do_sample": False, "prompt": "llava", "protocol": "opera"}
    about |= {"also": SPLITS}
    assert measured(claim, board(row("dola", **about)))[0].other == ()
    vista = find_claim("vista-pope-llava15-7b-f1")
    assert vista.method_args == {"strength": 0.01}
    assert measured(vista, board(row("vista", **about)))[0].other == ("parameters",)
    stated = row("vista", args={"strength": 0.01}, **about)
    assert measured(vista, board(stated))[0].other == ()


def test_resolved_parameters_do_not_count_as_others() -> None:
    """VCD's own beta is None, and filled in by variant; a record of it is no difference."""
    one = row()
    one.method_args["beta"] = 0.1
    one.method_args["of_another_version"] = 1
    assert measured(VCD, board(one))[0].other == ()


def test_seeds_are_one_measurement() -> None:
    (found,) = measured(
        VCD, board(row(gain=0.02, stderr=0.01), row(gain=0.06, stderr=0.03, seed=1))
    )
    # the mean of 2 and 6, and of the standard errors 1 and 3
    assert found.difference.value == pytest.approx(4.0)
    assert found.difference.stderr == pytest.approx(2.0)
    assert found.value == pytest.approx(84.0)  # of 82 and 86
    assert found.where == "2 seeds" and len(found.rows) == 2


def test_measurements_of_the_claim_come_first_and_the_largest_decides() -> None:
    small = row(gain=0.0, stderr=0.01, images=100, limit=100)
    large, other = row(images=500), row(model="other/model")
    found = measured(VCD, board(other, small, large))
    assert [one.images for one in found] == [500, 100, 500]
    assert [one.verdict for one in found] == ["reproduced", "contradicted", None]
    assert status(VCD, found) == "reproduced"


def test_published_answers_count() -> None:
    known: dict[str, Any] = {"record": published(), "model": "LLaVA-1.5-7B", "method_args": {}}
    base = row("baseline", **known)
    (found,) = measured(VCD, board(row(baseline=base.key, prompt="official", **known), base))
    assert found.recorded and found.where == "recorded" and found.verdict == "reproduced"


def test_published_answers_of_unknown_or_unlike_decoding_get_no_verdict() -> None:
    known: dict[str, Any] = {"record": published(None), "method_args": {}}
    (found,) = measured(VCD, board(row(**known)))
    assert found.other == ("decoding",) and found.where == "decoding not stated, recorded"
    stated: dict[str, Any] = {"record": published(), "method_args": {}}
    base = row("baseline", do_sample=False, **stated)
    (found,) = measured(VCD, board(row(baseline=base.key, **stated), base))
    assert found.other == ("baseline's decoding",) and found.verdict is None


def test_a_mean_over_splits_has_all_of_them() -> None:
    """Published files often hold one split alone, and their mean is of that one."""
    claim = find_claim("vcd-pope-llava15-7b-f1-in-damro")  # sampled, the mean over three
    (found,) = measured(claim, board(row(metric="f1", also=SPLITS)))
    assert found.other == ()
    (found,) = measured(claim, board(row(metric="f1", also=SPLITS[1:])))
    assert found.other == ("splits",) and found.verdict is None
    undefined = row(metric="f1", also=SPLITS)
    undefined.metrics["popular/f1"].value = None
    assert measured(claim, board(undefined))[0].other == ("splits",)
    assert measured(VCD, board(row()))[0].other == ()  # a split needs no others


def test_published_answers_to_a_wording_that_halluc_lacks_are_no_measurement() -> None:
    claim = find_claim("vcd-chair-llava15-7b-chair-s-in-damro")
    about: Any = {"metric": "chair_s", "benchmark": "chair_coco", "record": published()}
    assert measured(claim, board(row(**about)))[0].other == ("wording",)


def test_drawn_counterparts_have_the_metrics() -> None:
    for photographs, drawn in DRAWN.items():
        metrics = {metric.name: metric for metric in REGISTRY.get(drawn).card.metrics}
        for metric in REGISTRY.get(photographs).card.metrics:
            if metric.headline:
                assert metrics[metric.name].scale == metric.scale
                assert metrics[metric.name].higher_is_better == metric.higher_is_better


def test_parameters_are_told_apart_and_the_fewest_images_of_seeds_count() -> None:
    found = measured(VCD, board(row(), row(args={"alpha": 0.5})))
    assert [one.other for one in found] == [(), ("parameters",)]
    (both,) = measured(VCD, board(row(images=500), row(images=100, seed=1)))
    assert both.images == 100


def test_parameters_of_published_answers_are_not_compared() -> None:
    (found,) = measured(VCD, board(row(args={"alpha": 0.5}, record=published())))
    assert found.other == ()
