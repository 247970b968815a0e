"""The laboratory's frame: experiments by name, answers kept, tables, figures, a page."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from halluc.cli.app import app
from halluc.errors import UserError
from halluc.interventions import REGISTRY
from halluc.lab.asking import Arm, answers
from halluc.lab.base import EXPERIMENTS, Experiment, Finding, Row, Setting, experiment
from halluc.lab.estimates import cells
from halluc.lab.questions import existence, named, said_yes, scenes
from halluc.lab.report import Report
from halluc.models import VisionLanguageModel, load_model
from halluc.scoring.bootstrap import Interval
from halluc.types import Answer, Sample
from halluc.world.controlled import Variant
from tests.lab.made_up import Affirming

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@pytest.fixture(scope="module")
def glyph() -> VisionLanguageModel:
    return load_model("glyph")


def draw(figure: Figure) -> None:
    figure.subplots().plot([0, 1])


@pytest.fixture
def toy() -> Iterator[type[Experiment]]:
    """An experiment that counts scenes."""
    with EXPERIMENTS.scratch():

        @experiment("toy")
        class Toy(Experiment):
            """Counts scenes."""

            question = "How many scenes | are there?"
            claim = "There are many."
            source = "Somebody, somewhere"
            methods = ("var",)
            scenes = 3

            def run(self, setting: Setting) -> Finding:
                share = Interval(0.5, 0.25, 0.75)
                rows = [
                    {"method": name, "scenes": setting.scenes, **cells("share (%)", share, 100)}
                    for name in ("baseline", *setting.methods)
                ]
                return Finding(
                    tuple(rows),
                    "not decided",
                    f"There are {setting.scenes} scenes.",
                    draw,
                )

        yield Toy


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["lab", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_experiment_says_what_it_asks_and_whose_claim_it_tests() -> None:
    assert {"contrastive", "counterfactual", "dose"} <= set(EXPERIMENTS.names())
    for name in EXPERIMENTS.names():
        cls = EXPERIMENTS.get(name)
        assert cls.name == name
        assert cls.question.endswith("?"), name
        assert not cls.claim or (cls.claim.endswith(".") and cls.source), name
        assert all(REGISTRY.get(part) for joined in cls.methods for part in joined.split("+"))


def test_experiments_are_listed_with_their_questions() -> None:
    rows = {row["name"]: row for row in json.loads(run("--json"))}
    assert list(rows) == EXPERIMENTS.names()
    assert rows["dose"]["question"] == EXPERIMENTS.get("dose").question
    assert rows["dose"]["methods"] == list(EXPERIMENTS.get("dose").methods)


def test_an_experiment_is_run_on_any_model_and_leaves_a_table_and_a_figure(
    toy: type[Experiment], tiny: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    out, figures = tmp_path / "out", tmp_path / "figures"
    places = ("--output-dir", str(out), "--figures", str(figures))
    text = run("toy", "--model", str(tiny), "--limit", "2", "--methods", "vhr,paint", *places)
    for part in ("toy on", "vhr", "paint", "50.0 [25.0, 75.0]", "not decided here", "2 scenes."):
        assert part in text
    assert (figures / "lab-toy-tiny.png").read_bytes().startswith(b"\x89PNG")
    kept = json.loads((out / "lab-toy-tiny.json").read_text())
    assert kept["methods"] == ["vhr", "paint"] and kept["scenes"] == 2
    assert kept["held"] == "not decided" and kept["claim"] == toy.claim
    assert kept["rows"][0]["share (%)_lo"] == 25


def test_the_experiment_s_own_size_and_methods_are_the_default(
    toy: type[Experiment], tiny: Path, tmp_path: Path
) -> None:
    text = run("toy", "--model", str(tiny), "--json", "--output-dir", str(tmp_path))
    (found,) = json.loads(text)
    assert (found["methods"], found["scenes"], found["seed"]) == (["var"], 3, 0)
    (found,) = json.loads(
        run("toy", "--model", str(tiny), "--json", "--methods", "baseline", "--output-dir",
            str(tmp_path))
    )  # fmt: skip
    assert found["methods"] == []


def test_a_page_has_a_section_for_each_experiment(
    toy: type[Experiment], tiny: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    page, figures = tmp_path / "docs" / "lab.md", tmp_path / "docs" / "figures"
    page.parent.mkdir()
    run("toy", "--model", str(tiny), "--markdown", str(page), "--figures", str(figures),
        "--output-dir", str(tmp_path / "out"))  # fmt: skip
    text = page.read_text()
    for part in (
        "## toy", "How many scenes | are there?",
        "The claim: There are many. (Somebody, somewhere)",
        "| method | scenes | share (%) |", "| baseline | 3 | 50.0 [25.0, 75.0] |",
        "![toy](figures/lab-toy-tiny.png)", "**Not decided here:** There are 3 scenes.",
        "| [toy](#toy) | How many scenes \\| are there? | not decided |",
    ):  # fmt: skip
        assert part in text, part


def test_what_does_not_fit_a_model_stops_no_other_experiment(
    toy: type[Experiment], tiny: Path, tmp_path: Path
) -> None:
    @experiment("absent")
    class Absent(toy):  # type: ignore[misc, valid-type]
        """Refuses every model."""

        def run(self, setting: Setting) -> Finding:
            raise UserError("it has no sinks")

    page, arguments = tmp_path / "lab.md", ("--output-dir", str(tmp_path), "--model", str(tiny))
    with pytest.raises(UserError, match=r"^absent: it has no sinks$"):
        run("absent", "toy", "--markdown", str(page), *arguments)
    assert "## absent\n\nNot run: it has no sinks." in page.read_text()
    assert (tmp_path / "lab-toy-tiny.json").is_file()


def test_a_page_needs_a_folder_that_is_there(
    toy: type[Experiment], tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"lab\.md"):
        run("toy", "--model", str(tiny), "--markdown", str(tmp_path / "no" / "lab.md"),
            "--output-dir", str(tmp_path))  # fmt: skip


def test_an_unknown_experiment_is_one_line_with_what_was_meant() -> None:
    with pytest.raises(UserError, match="unknown experiment 'dosis': did you mean 'dose'"):
        run("dosis")


def test_columns_have_as_many_decimals_as_their_largest_number_needs() -> None:
    rows: tuple[Row, ...] = ({"a": 2.0, "b": 123.456, "c": None}, {"a": -1e-9, "b": 1.0, "c": "x"})
    found = Finding(rows, "no claim", "", lambda figure: None)
    assert Report({}, found).table() == (
        ["a", "b", "c"],
        [["2.00", "123.5", "-"], ["0.00", "1.0", "x"]],
    )


def test_answers_are_those_of_the_baseline_and_each_method_and_are_kept(
    glyph: VisionLanguageModel, tmp_path: Path
) -> None:
    samples = [existence(Variant(scene), "dog") for scene in scenes(3)]
    with REGISTRY.scratch():
        REGISTRY.register("affirming")(Affirming)
        setting = Setting(glyph, ("affirming",), 3, output_dir=tmp_path)
        found = answers(setting, "trial", samples)
        assert list(found) == ["baseline", "affirming"]
        assert [answer.id for answer in found["baseline"]] == [sample.id for sample in samples]
        assert all(said_yes(answer) for answer in found["affirming"])
        files = sorted(tmp_path.glob("*/answers_lab_trial.jsonl"))
        assert len(files) == 2
        before = [file.stat() for file in files]
        again = answers(setting, "trial", samples)
        assert [file.stat().st_mtime_ns for file in files] == [s.st_mtime_ns for s in before]
        assert {a.text for a in again["affirming"]} == {a.text for a in found["affirming"]}


def test_arms_of_one_method_are_told_apart_by_decoding(
    glyph: VisionLanguageModel, tmp_path: Path
) -> None:
    samples = [existence(Variant(scene), "dog") for scene in scenes(2)]
    drawn = Arm("drawn").decoding.model_copy(update={"do_sample": True})
    arms = [Arm("greedy"), Arm("drawn", decoding=drawn), Arm("cut", "apc", drawn, {"beta": 1.0})]
    found = answers(Setting(glyph, (), 2, output_dir=tmp_path), "arms", samples, arms)
    assert len(list(tmp_path.glob("*/asker.json"))) == 3
    assert [a.text for a in found["cut"]] == [a.text for a in found["greedy"]]


def test_an_image_that_cannot_be_drawn_is_one_line(
    glyph: VisionLanguageModel, tmp_path: Path
) -> None:
    def missing() -> None:
        raise ValueError("no paint")

    broken = Sample("a", "b", "Is there a dog in the image?", missing)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"lab trial: baseline could not answer a: .*no paint"):
        answers(Setting(glyph, (), 1, output_dir=tmp_path), "trial", [broken])


@pytest.mark.parametrize(
    ("text", "yes"), [("Yes", True), ("No", False), ("no.", False), ("a dog", True)]
)
def test_answers_are_read_as_by_pope(text: str, yes: bool) -> None:
    sample = existence(Variant(scenes(1)[0]), "dog")
    assert said_yes(Answer.of(sample, text=text)) == yes


def test_descriptions_name_categories_by_all_their_words() -> None:
    assert named("Two men on a sofa, and a wine glass.").nodes == ["person", "couch", "wine glass"]


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys; from halluc.lab.base import EXPERIMENTS; assert EXPERIMENTS.names()\n"
        "heavy = {'torch', 'transformers', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
