from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from halluc.scoring.building import build
from halluc.scoring.rescoring import score_answers_file
from halluc.scoring.scores import read
from halluc.scoring.thinking import RULE, strip
from halluc.store.scores_file import SampleSet, Scoring
from halluc.types import Answer

PAIRS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
]


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{o}Is it a dog? No.\nIt is a cat.{c}\n\nYes", "Yes"),
        ("{o}No{c}Yes{o}No{c}, it is.", "Yes, it is."),
        ("Well. {o}no{c} Yes", "Well.  Yes"),
        ("I see no dog, but wait{c}\nYes", "Yes"),  # opened in the prompt
        ("{o}first {o}inner{c} no{c} Yes", "Yes"),  # one inside the other
        ("{o}No, wait, there is", ""),  # cut by the token limit
        ("Yes {o}or no", "Yes"),
        ("{o}{c}No", "No"),
        ("{o}no{c}<answer>Yes</answer>", "Yes"),
        ("{o}no{c}\n<|begin_of_solution|>\nYes\n<|end_of_solution|>", "Yes"),
    ],
)
def test_thoughts_are_taken_out(opening: str, closing: str, text: str, said: str) -> None:
    assert strip(text.format(o=opening, c=closing)) == said


def test_marks_are_found_in_any_case() -> None:
    assert strip("<Think>No</THINK> Yes") == "Yes"


@pytest.mark.parametrize(
    "text", ["", " Yes, I think.\n", "think: no", "<answer> Yes </answer>", "a [thin] line < b"]
)
def test_a_text_without_thoughts_stays_as_it_is(text: str) -> None:
    assert strip(text) is text


def answer(text: str, **changed: object) -> Answer:
    return replace(Answer("random/1", "a.jpg", "random", "?", "yes", text), **changed)  # type: ignore[arg-type]


def test_scorers_read_what_is_said() -> None:
    said = answer("<think>There is no dog.</think>\nYes.")
    (reading,) = read(build("pope_coco"), [said])
    assert (reading.prediction, reading.text) == ("yes", "Yes.")
    assert said.text.startswith("<think>")  # what is kept has the thoughts
    (cut,) = read(build("pope_coco", {"protocol": "vcd"}), [answer("<think>yes, or no")])
    assert cut.prediction is None


def test_captions_are_counted_without_thoughts(shared: Path, nltk_data: Path) -> None:
    options = {"tables": str(shared / "data/coco/chair_tables.json")}
    benchmark = build("chair_coco", options)
    caption = answer("<think>A cat? A car?</think>A dog.", target={"objects": ["dog"]})
    counts = benchmark.tally(read(benchmark, [caption]))
    assert (counts["mentions"], counts["hallucinated"], counts["words"]) == (1, 0, 3)


def test_scores_say_how_many_answers_had_thoughts(tmp_path: Path) -> None:
    labels, answers = tmp_path / "coco_pope_random.json", tmp_path / "answers.jsonl"
    questions = [{"question_id": n, "image": "a", "text": "?", "label": "yes"} for n in (1, 2, 3)]
    labels.write_text("\n".join(map(json.dumps, questions)))
    texts = ["<think>no</think>Yes", "Yes", "no</think> Yes"]
    lines = [{"question_id": n, "answer": text} for n, text in enumerate(texts, 1)]
    answers.write_text("\n".join(map(json.dumps, lines)))
    found = score_answers_file("pope_coco", {}, answers, [str(labels)])
    assert found["metrics"]["TP"] == 3
    assert f"2 answers are read without the thoughts in them (rule {RULE})" in found["notes"]
    answers.write_text("\n".join(json.dumps(line | {"answer": "Yes"}) for line in lines))
    found = score_answers_file("pope_coco", {}, answers, [str(labels)])
    assert not [note for note in found["notes"] if RULE in note]


def test_the_rule_is_recorded_where_it_took_something_out() -> None:
    plain, thought = Scoring(protocol="official"), Scoring(protocol="official", thinking=RULE)
    assert "thinking" not in plain.model_dump(mode="json")  # files from before it stay as they are
    assert thought.model_dump(mode="json")["thinking"] == RULE
    assert Scoring(**thought.model_dump()) == thought
    asked = SampleSet(
        benchmark="b", version=1, dataset="", dataset_revision="", task="yes_no", wording="",
        split="", limit=None,
    )  # fmt: skip
    assert plain.key(asked) == thought.key(asked)  # a run with thoughts compares with one without
