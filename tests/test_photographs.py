"""Benchmarks on photographs from one end to the other, on small copies of their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halluc.cli.score_tables import as_json, tables
from halluc.config import DecodingConfig, RunConfig
from halluc.data.pinned_files import checksum
from halluc.errors import UserError
from halluc.evaluation import evaluate
from halluc.models import VisionLanguageModel
from halluc.scoring.judges import judge_models as judges
from halluc.scoring.judges.judge_models import NeedsJudge
from halluc.scoring.pope.relabelling import label_files
from halluc.statistics import compare_scored
from halluc.store import RunFolder, Scored, find_scored
from halluc.store.rescoring_runs import rescore
from halluc.types import Answer
from tests.kit.families import llava, picture
from tests.kit.runs import write_run

IMAGES, TURNS = 2, 4


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


@pytest.fixture
def pope(tmp_path: Path, cache: Path) -> Path:
    """POPE's question files on two images, four questions each."""
    folder = tmp_path / "pope"
    folder.mkdir()
    for n in range(IMAGES):
        picture(n).save(folder / f"{n}.png")
    for split in ("random", "popular", "adversarial"):
        questions = [
            {
                "question_id": n + 1,
                "image": f"{n // TURNS}.png",
                "text": f"Is there a {('dog', 'cat', 'car', split)[n % 4]} in the image?",
                "label": "no" if n % 2 else "yes",
            }
            for n in range(IMAGES * TURNS)
        ]
        path = folder / f"coco_pope_{split}.json"
        path.write_text("\n".join(map(json.dumps, questions)))
    return folder


def config(name: str, folder: Path, **options: Any) -> RunConfig:
    return RunConfig(
        benchmarks=(name,),
        benchmark_args={name: {"folder": str(folder), **options}},
        decoding=DecodingConfig(max_new_tokens=4),
        batch_size=4,
    )


def run(model: VisionLanguageModel, config: RunConfig, tmp_path: Path) -> RunFolder:
    return evaluate(config, tmp_path / "runs", model=model).folder


def score(
    folder: RunFolder,
    options: dict[str, Any],
    only: str | None = None,
    labels: tuple[Path, ...] = (),
) -> dict[str, Any]:
    """Score a run as `halluc score` does."""
    return as_json(rescore(folder, options, only, label_files([str(path) for path in labels])))


def own_scores(folder: RunFolder, protocol: str) -> Scored:
    """The scores of a run by a protocol and by the labels of the benchmark."""
    (found,) = (
        one
        for one in find_scored(folder)
        if one.scores.scoring.protocol == protocol and not one.scores.scoring.labels
    )
    return found


class TestConversations:
    def test_a_run_keeps_what_was_said(
        self, model: VisionLanguageModel, pope: Path, tmp_path: Path
    ) -> None:
        folder = run(model, config("pope_coco", pope, chat=True), tmp_path)
        answers = {answer.id: answer for answer in folder.answers("pope_coco")}
        assert len(answers) == 3 * IMAGES * TURNS
        last, before = answers["popular/8"], answers["popular/7"]
        assert last.history == (*before.history, (before.prompt, before.text))
        assert [asked for asked, _ in last.history] == [
            answers[f"popular/{n}"].prompt for n in (5, 6, 7)
        ]
        assert answers["popular/5"].history == ()
        assert [one.name for one in find_scored(folder)] == ["pope_coco"]

    def test_an_interrupted_conversation_goes_on(
        self, model: VisionLanguageModel, pope: Path, tmp_path: Path
    ) -> None:
        chat = config("pope_coco", pope, chat=True)
        folder = run(model, chat, tmp_path)
        whole, values = folder.answers("pope_coco"), own_scores(folder, "official").scores.values
        file = folder.answers_file("pope_coco")
        turns = {f"{split}/{n}" for split in ("random", "popular") for n in (1, 2, 5)}
        alone = file.read_text().replace(', "more": true', "").splitlines(keepends=True)
        kept = [line for line in alone if json.loads(line)["id"] in turns]
        file.write_text("".join(kept))
        for scores in folder.scores_files():
            scores.unlink()
        again = run(model, chat, tmp_path)
        assert file.read_text().startswith("".join(kept))  # nothing is asked again
        assert {a.id: (a.history, a.text) for a in again.answers("pope_coco")} == {
            a.id: (a.history, a.text) for a in whole
        }
        assert own_scores(again, "official").scores.values == values

    def test_the_same_questions_one_by_one(
        self, model: VisionLanguageModel, pope: Path, tmp_path: Path
    ) -> None:
        folder, _ = (run(model, config("pope_coco", pope, chat=c), tmp_path) for c in (False, True))
        by_chat = {one.scores.asked.options["chat"]: one for one in find_scored(folder)}
        one, chat = (
            sorted((reading.answer for reading in by_chat[c].readings), key=lambda a: a.id)
            for c in (False, True)
        )
        firsts = 3 * IMAGES  # asked once for both
        assert len(folder.answers("pope_coco")) == 2 * 3 * IMAGES * TURNS - firsts
        kept = {(s.scores.key, str(s.scores.values)) for s in find_scored(folder)}
        score(folder, {})
        assert {(s.scores.key, str(s.scores.values)) for s in find_scored(folder)} == kept
        assert [(a.id, a.prompt) for a in one] == [(a.id, a.prompt) for a in chat]
        first = {a.id for a in chat if not a.history}
        assert len(first) == 3 * IMAGES
        same = {
            a.id
            for a, b in zip(one, chat, strict=True)
            if a.yes_no == pytest.approx(b.yes_no, abs=1e-4)
        }
        assert same == first  # what was said before moves every other answer


class TestLabels:
    def corrected(self, folder: Path, drop: int, flip: int, name: str = "my_popular.json") -> Path:
        rows = [json.loads(line) for line in (folder / "coco_pope_popular.json").open()]
        flipped = {"yes": "no", "no": "yes"}
        left = [
            {**row, "label": flipped[row["label"]]} if row["question_id"] == flip else row
            for row in rows
            if row["question_id"] != drop
        ]
        path = folder.parent / name
        path.write_text("\n".join(map(json.dumps, left)))
        return path

    def test_a_run_is_scored_by_other_labels(
        self, model: VisionLanguageModel, pope: Path, tmp_path: Path
    ) -> None:
        folder = run(model, config("pope_coco", pope), tmp_path)
        path = self.corrected(pope, drop=3, flip=2)
        found = score(folder, {"protocol": "all"}, labels=(path,))["pope_coco"]
        assert found["labels"] == {"popular": checksum(path)[:10]}
        own = score(folder, {"protocol": "all"})["pope_coco"]["protocols"]["official"]
        new = found["protocols"]["official"]
        assert (own["n"], new["n"]) == (24, 7)
        assert list(new["values"])[:1] == ["popular/accuracy"]
        assert "random/accuracy" not in new["values"]
        assert found["probabilities"]["all"]["n"] == 7
        said = {r.id: r.prediction for r in own_scores(folder, "official").readings}
        right = {
            "popular/1": "yes",
            "popular/2": "yes",
            "popular/4": "no",
            "popular/5": "yes",
            "popular/6": "no",
            "popular/7": "yes",
            "popular/8": "no",
        }
        read = {id: said[id] or "yes" for id in right}  # the official protocol's default
        assert new["values"]["accuracy"]["value"] == sum(
            read[id] == label for id, label in right.items()
        ) / len(right)
        labelled = {
            one.scores.scoring.protocol: one
            for one in find_scored(folder)
            if one.scores.scoring.labels
        }
        both = labelled["official"], labelled["official"]
        accuracy = compare_scored(*both).ours["accuracy"]
        assert accuracy == new["values"]["accuracy"]["value"]
        (shown,) = tables({"pope_coco": found})
        assert str(shown.renderables[0]) == "pope_coco, 7 answers, other labels of popular"

    def test_labels_that_do_not_match_give_no_score(
        self, model: VisionLanguageModel, pope: Path, tmp_path: Path
    ) -> None:
        folder = run(model, config("pope_coco", pope), tmp_path)
        popular = pope / "coco_pope_popular.json"
        other = tmp_path / "other_random.json"
        other.write_text(popular.read_text())
        with pytest.raises(UserError, match=r"line 4: the run was not asked 'Is there a popular"):
            score(folder, {}, labels=(other,))
        other.write_text(popular.read_text().replace(".png", ".jpeg"))
        assert score(folder, {}, labels=(other.rename(tmp_path / "o_popular.json"),))
        with pytest.raises(UserError, match=r"is of the popular split too"):
            score(folder, {}, labels=(popular, tmp_path / "o_popular.json"))

    def test_options_that_fit_nothing(
        self, model: VisionLanguageModel, pope: Path, tmp_path: Path
    ) -> None:
        folder = run(model, config("pope_coco", pope), tmp_path)
        with pytest.raises(UserError, match="pope_coco: takes no 'judge'"):
            score(folder, {"judge": "endpoint:m"})
        with pytest.raises(UserError, match="has no mme, only pope_coco"):
            score(folder, {}, only="mme")
        drawn = write_run(tmp_path / "drawn", benchmarks=("glyph_pope",), limit=1)
        with pytest.raises(UserError, match="glyph_pope: takes no other labels"):
            score(drawn, {}, labels=(pope / "coco_pope_random.json",))


class Echo:
    """A judge that says yes."""

    name = "echo"

    def ask(self, prompt: str) -> str:
        return "yes"


class TestJudged:
    @pytest.fixture
    def haloquest(self, tmp_path: Path, cache: Path) -> Path:
        folder = tmp_path / "haloquest"
        folder.mkdir()
        for n in range(2):
            picture(n).save(folder / f"{n}.png")
        (folder / "haloquest-eval.csv").write_text(
            ",image_name,url,image type,hallucination type,question,groundtruth responses,split\n"
            "0,0.png,u,real,false premises,is there a dog ?,There is none,eval\n"
            "1,1.png,u,real,visual challenge,is there a cat ?,There is,eval\n"
        )
        return folder

    def test_without_a_judge_answers_are_kept_and_not_scored(
        self,
        model: VisionLanguageModel,
        haloquest: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with pytest.raises(NeedsJudge, match=r"haloquest: answered but not scored") as refusal:
            run(model, config("haloquest", haloquest), tmp_path)
        (path,) = (tmp_path / "runs").iterdir()
        assert f"'halluc score {path} --judge endpoint:MODEL'" in str(refusal.value)
        assert "\n" not in str(refusal.value)
        folder = RunFolder.read(path)
        assert [answer.status for answer in folder.answers("haloquest")] == ["ok", "ok"]
        assert folder.scores_files() == []
        with pytest.raises(UserError, match="haloquest: needs --judge endpoint:MODEL"):
            score(folder, {})
        with pytest.raises(UserError, match="haloquest: needs --judge endpoint:MODEL"):
            score(folder, {"protocol": "all"})
        monkeypatch.setattr(judges, "judge", lambda name: Echo())
        found = score(folder, {"judge": "endpoint:echo"})["haloquest"]
        assert found["protocols"]["official"]["values"]["accuracy"]["value"] == 1
        assert "judge: echo" in found["notes"]

    def test_with_other_benchmarks_all_are_answered(
        self, model: VisionLanguageModel, haloquest: Path, pope: Path, tmp_path: Path
    ) -> None:
        both = config("haloquest", haloquest).model_copy(
            update={
                "benchmarks": ("haloquest", "pope_coco"),
                "benchmark_args": {
                    "haloquest": {"folder": str(haloquest)},
                    "pope_coco": {"folder": str(pope)},
                },
            }
        )
        with pytest.raises(NeedsJudge, match=r"^haloquest: answered"):
            run(model, both, tmp_path)
        (path,) = (tmp_path / "runs").iterdir()
        folder = RunFolder.read(path)
        assert len(folder.answers("pope_coco")) == 24
        assert [one.name for one in find_scored(folder)] == ["pope_coco"]
        found = score(folder, {"protocol": "vcd"}, only="pope_coco")
        assert found["pope_coco"]["protocols"]["vcd"]["n"] == 24
        file = folder.answers_file("pope_coco")
        alone = file.read_text().replace(', "more": true', "").splitlines(keepends=True)
        file.write_text("".join(alone[:-3]))
        with pytest.raises(UserError, match=r"pope_coco has 21 of 24 answers; run its"):
            score(folder, {"protocol": "vcd"}, only="pope_coco")

    def test_the_judge_is_named_in_the_results(
        self,
        model: VisionLanguageModel,
        haloquest: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(judges, "judge", lambda name: Echo())
        folder = run(model, config("haloquest", haloquest, judge="endpoint:echo"), tmp_path)
        scores = own_scores(folder, "official").scores
        assert (scores.notes, scores.scoring.judge) == (["judge: echo"], "echo")
        assert scores.values["accuracy"].value == 1


def test_a_line_without_what_was_said_before_is_no_answer(tmp_path: Path) -> None:
    folder = write_run(tmp_path, benchmarks=())
    answer = Answer("1", "i", "all", "?", "yes", history=(("a", "b"),))
    with folder.keeping("x", print) as keep:
        keep([answer])
    assert folder.answers("x") == [answer]
    file = folder.answers_file("x")
    line = json.loads(file.read_text())
    del line["history"]
    file.write_text(json.dumps(line) + "\n")
    assert folder.answers("x") == []
