"""The register: claims that are known, possible, copied, and named once."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from halluc.claims import all_claims, find_claim, select
from halluc.claims.claim import claim_id
from halluc.claims.known_models import MODELS
from halluc.claims.paper_table import is_better
from halluc.claims.register import read_tables
from halluc.errors import UserError
from halluc.interventions import REGISTRY as METHODS
from halluc.interventions.compose import find
from halluc.scoring.base import REGISTRY as BENCHMARKS

CLAIMS = list(all_claims().values())
FILES = sorted((Path(str(files("halluc.claims"))) / "papers").glob("*.toml"))
SPLITS = ("random", "popular", "adversarial")

TABLE = """
[[table]]
by = "vcd"
paper = "arXiv:2311.16922"
place = "table 1"
model = "LLaVA-1.5-7B"
benchmark = "chair_coco"
columns = "chair_s recall"
baseline = "50.0 70.0"
methods.vcd = "40.0 60.0!"
"""


def test_there_are_enough_of_them() -> None:
    assert len(CLAIMS) >= 60
    assert len({claim.method for claim in CLAIMS}) >= 15
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)


def test_claims_are_of_what_halluc_knows() -> None:
    for claim in CLAIMS:
        assert claim.method in METHODS.names() and claim.method != "baseline", claim.id
        find(claim.method).parameters(claim.method_args)  # raises where one is unknown
        assert claim.benchmark in BENCHMARKS.names(), claim.id
        benchmark = BENCHMARKS.get(claim.benchmark)
        metric = {metric.name: metric for metric in benchmark.card.metrics}[claim.metric]
        assert is_better(claim) is not None, claim.id
        scale = 100 if claim.benchmark.startswith(("pope", "chair")) else 1
        assert metric.scale == scale, claim.id
        assert claim.model in MODELS, claim.id
        assert claim.protocol in ("", *benchmark.protocols), claim.id
        assert claim.prompt in ("", *benchmark.prompts) or " " in claim.prompt, claim.id
        assert min(claim.baseline, claim.value) >= 0, claim.id
        assert max(claim.baseline, claim.value) <= claim.most, claim.id
        assert claim.source and claim.table, claim.id
        assert claim.decoding.max_new_tokens is None, claim.id


def test_methods_gain_by_what_their_own_papers_report() -> None:
    """Nobody's paper reports that its own method is worse, but for single metrics."""
    own = [claim for claim in CLAIMS if f"-in-{claim.method}" not in claim.id]
    own = [claim for claim in own if "-in-" not in claim.id]
    worse = [claim.id for claim in own if not is_better(claim)]
    assert len(own) > 60
    assert worse == ["avisc-mme-count-llava15-7b-score"]


def test_the_first_claim_by_hand() -> None:
    claim = find_claim("vcd-pope-random-llava15-7b-accuracy")
    assert (claim.baseline, claim.value, claim.unit) == (83.29, 87.73, "%")
    assert claim.difference == 4.44  # 87.73 - 83.29
    assert (claim.split, claim.metric) == ("random", "random/accuracy")
    assert claim.decoding.do_sample and claim.baseline_decoding.do_sample
    assert (claim.prompt, claim.protocol) == ("vcd", "vcd")
    opera = find_claim("opera-pope-random-llava15-7b-accuracy-in-crg")
    assert opera.decoding.num_beams == 5 and opera.baseline_decoding.do_sample
    assert opera.source.startswith("at second hand: the CRG paper")
    agla = find_claim("agla-pope-random-llava15-7b-accuracy")
    assert "; unverified: the picture names no data set" in agla.source
    total = find_claim("avisc-mme-llava15-7b-total")
    assert (total.unit, total.most, total.split) == ("points", 800, "all")
    assert find_claim("avisc-mme-color-llava15-7b-score").most == 200


def test_numbers_are_those_of_the_specification(shared: Path) -> None:
    """Every number of the register stands in the text it was copied from, as it is printed."""
    names = ("methods.md", "methods-more.md")
    text = "".join((shared / "specs" / name).read_text() for name in names)
    known = set(re.findall(r"\d+(?:\.\d+)?", text))
    for file in FILES:
        for table in tomllib.loads(file.read_text())["table"]:
            for row in (table["baseline"], *table["methods"].values()):
                used = {cell.rstrip("!") for cell in row.split()} - {"-"}
                assert used <= known, (file.name, table["by"], used - known)


def test_sums_and_means_agree_with_their_parts() -> None:
    """MME's total is the sum of four subtasks, up to rounding of each."""
    for method in ("vcd", "m3id", "avisc"):
        of = {c.metric: c for c in select(method, "mme_hallucination") if "15-7b" in c.id}
        total = of.pop("total")
        assert len(of) == 4
        assert sum(c.value for c in of.values()) == pytest.approx(total.value, abs=0.021)
        assert sum(c.baseline for c in of.values()) == pytest.approx(total.baseline, abs=0.021)


def test_ids() -> None:
    assert claim_id("vcd", "pope_coco", "random/accuracy", "LLaVA-1.5-7B") == (
        "vcd-pope-random-llava15-7b-accuracy"
    )
    assert claim_id("pai", "chair_coco_64", "chair_s", "InstructBLIP-7B", "in-sevi") == (
        "pai-chair-64-instructblip-7b-chair-s-in-sevi"
    )
    assert claim_id("pai", "amber_generative", "CHAIR", "Qwen-VL") == (
        "pai-amber-generative-qwen-vl-chair"
    )


def test_a_table_read_by_hand() -> None:
    first, second = read_tables(TABLE, "x.toml")
    assert (first.id, first.difference) == ("vcd-chair-llava15-7b-chair-s", -10.0)
    assert (second.id, second.difference) == ("vcd-chair-llava15-7b-recall", -10.0)
    assert is_better(first) and is_better(second) is False  # fewer hallucinations, less recall
    assert first.source == first.table == "table 1"
    assert first.baseline_decoding == first.decoding
    (left,) = read_tables(TABLE.replace("60.0!", "-"), "x.toml")
    assert left == first


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("60.0!", "60.0", "vcd-chair-llava15-7b-recall: 60 is worse than the baseline's 70"),
        ("40.0 ", "40.0! ", "chair-s: 40 is not worse than the baseline's 50"),
        ("60.0!", "60.0! 1", "vcd has 3 numbers for 2 columns"),
        ("50.0 70.0", "50.0", "baseline has 1 numbers for 2 columns"),
        ("60.0!", "70.0", "both numbers are 70; nothing is claimed"),
        ("60.0!", "160.0", "above 100 %"),
        ("chair_s recall", "chair_s recal", "chair_coco has no metric 'recal'"),
        ("chair_coco", "chair_cocoa", "unknown benchmark 'chair_cocoa': did you mean 'chair_coco'"),
        ("LLaVA-1.5-7B", "LLaVA", "unknown model 'LLaVA'; LLaVA-1.5-7B,"),
        ('paper = "arXiv:2311.16922"', 'paper = "arXiv:23"', "table 1: paper"),
        ("place =", "palace =", "table 1: place Field required"),
        ("[[table]]", "[[table]", "x.toml: "),
    ],
)
def test_a_wrong_table_is_named_in_one_line(old: str, new: str, said: str) -> None:
    assert old in TABLE
    with pytest.raises(UserError, match=said) as error:
        read_tables(TABLE.replace(old, new), "x.toml")
    assert str(error.value).startswith("x.toml") and "\n" not in str(error.value)


def test_finding_and_selecting() -> None:
    with pytest.raises(UserError, match="did you mean 'vcd-pope-random-llava15-7b-accuracy'"):
        find_claim("vcd-pope-random-llava15-7b-acuracy")
    with pytest.raises(UserError, match="'halluc claims' lists them"):
        find_claim("?")
    assert select() == CLAIMS
    found = select("dola", "pope_coco")
    assert found and {(c.method, c.benchmark) for c in found} == {("dola", "pope_coco")}
    with pytest.raises(UserError, match="--method 'act': nothing is claimed of it; adhh, agla,"):
        select("act")
    with pytest.raises(UserError, match="nothing is claimed of 'deco' on 'pope_gqa'"):
        select("deco", "pope_gqa")
