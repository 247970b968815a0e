from __future__ import annotations

import math
from typing import Any

import pytest

from halluc.benchmarks._choice import ChoiceBenchmark, choice_metrics
from halluc.benchmarks.mmstar import MmStar
from halluc.errors import UserError
from halluc.scoring.building import build
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.choice import likeliest, listed, read_option, turned
from halluc.scoring.scores import score
from halluc.scoring.selective_risk import risk_coverage
from halluc.types import Answer, Reading, Sample

OPTIONS = {"A": "A red cat", "B": "Dark red", "C": "red", "D": "None of the above."}


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" b\n", "B"),
        ("B.", "B"),
        ("B) Dark", "B"),
        ("(b)", "B"),
        ("It is (B), I think.", "B"),
        ("**B**", "B"),
        ("B\n\nBecause it is.", "B"),
        ("Answer: B", "B"),
        ("the answer is b.", "B"),
        ("The correct answer is B because", "B"),
        ("I choose option B", "B"),
        ("a", "A"),
        ("A man", None),  # an article
        ("The answer is A red one", "C"),
        ("The answer is A because it barks.", "A"),
        ("Option A is right", "A"),
        ("Answer: **C**", "C"),
        ("**Answer:** a", "A"),
        ("so \\boxed{C}", "C"),
        ("\\boxed{\\text{(C)}}", "C"),
        ("A, B", None),
        ("A, B and C are red", None),
        ("a/b", None),
        ("A and C: red", None),
        ("Answer: A or C", None),
        ("B, a red thing", "B"),
        ("The answer is A, C is wrong", "A"),
        ("I think so", None),
        ("A or B", None),
        ("(A) or (B)", None),
        ("E", None),  # not an option
        ("", None),
        ("It is red.", "C"),
        ("dark red", "B"),  # and not red, which is within it
        ("red and dark red", None),
        ("none of the above", "D"),
        ("hundred", None),
        ("C: dark red", "C"),  # a letter is read before words
    ],
)
def test_an_option_is_read_by_letter_or_by_words(text: str, letter: str | None) -> None:
    assert read_option(text, OPTIONS) == letter
    other = dict(zip("DCBA", OPTIONS.values(), strict=True))  # the longer one may come later
    if text in ("dark red", "It is red.", "red and dark red"):
        assert read_option(text, other) == {"B": "C", "C": "B", None: None}[letter]


def test_the_likeliest_letter() -> None:
    assert likeliest({"A": -2.0, "B": -0.5, "C": None}) == "B"
    assert likeliest({"A": -1.0, "B": -1.0}) == "A"
    assert likeliest({"A": -math.inf, "B": None}) is None
    assert likeliest({"A": math.nan, "B": -9.0}) == "B"
    assert likeliest(None) is None


LISTED = "Which?\nA. one\nB. two\nC. three\nD. none of these\n"
MARKER = r"(?:^|\n)\s*LETTER\.\s*"


def test_options_are_found_in_a_question() -> None:
    found = listed(LISTED, MARKER)
    assert found.options == {"A": "one", "B": "two", "C": "three", "D": "none of these"}
    assert listed("Is it A. or not?", MARKER).options == {}
    assert listed("Q\nA. one\nC. three", MARKER).options == {}  # only one in order


def test_options_turn_and_the_question_around_them_stays() -> None:
    found = listed(LISTED, MARKER)
    assert found.rotated(0) == found
    assert found.rotated(1).text == "Which?\nA. two\nB. three\nC. none of these\nD. one\n"
    last = found.rotated(1, fixed=1)
    assert last.text == "Which?\nA. two\nB. three\nC. one\nD. none of these\n"
    assert last.options == listed(last.text, MARKER).options


def test_the_right_text_keeps_being_the_answer_when_options_turn() -> None:
    found = listed(LISTED, MARKER)
    for answer, text in found.options.items():
        for by in range(3):
            turn = found.rotated(by, fixed=1)
            assert turn.options[turned(answer, "ABC", by)] == text


def nothing() -> Any:
    """Stand for an image that nobody opens."""


class Small(ChoiceBenchmark):
    """Two groups, and questions like LISTED."""

    name = "small"
    groups = ("x", "y")
    letters = "ABCD"
    marker = MARKER
    fixed = 1
    card = BenchmarkCard("Small", "", "", "choice", choice_metrics(("x", "y")))

    def samples(self, limit: int | None = None) -> Any:
        for number, (answer, group) in enumerate((("A", "x"), ("B", "x"), ("D", "y"))):
            yield from self.asked_in_turns(
                str(number),
                f"{number}.jpg",
                LISTED,
                answer,
                nothing,
                group,
                8,
                f"row {number}",
            )

    def official(self, text: str) -> str | None:
        return text[:1] or None


def said(
    sample: Sample, text: str, letters: dict[str, float | None] | None = None, status: Any = "ok"
) -> Answer:
    return Answer.of(sample, text=text, letters=letters, status=status)


def test_without_rotations_a_question_is_asked_once() -> None:
    samples = list(Small().samples())
    assert [sample.id for sample in samples] == ["0", "1", "2"]
    assert samples[0].options == tuple(listed(LISTED, MARKER).options.items())
    assert samples[0].target == {"answer": "A", "options": dict(samples[0].options)}
    rotated = [s for s in Small(rotate_options=True).samples() if "rotated" not in s.id]
    assert rotated == samples  # so what is answered is known when rotations are asked for


def test_every_question_is_asked_in_every_rotation() -> None:
    samples = list(Small(rotate_options=True).samples())
    assert [s.id for s in samples[:3]] == ["0", "0/rotated 1", "0/rotated 2"]
    assert [s.target["answer"] for s in samples] == list("ACB" + "BAC" + "DDD")
    assert len({s.prompt for s in samples[:3]}) == 3


def test_accuracies_by_hand() -> None:
    small = Small(rotate_options=True)
    # question 0 is right in all orders, 1 in the first alone, 2 in all but the first
    outcomes = iter([True] * 3 + [True, False, False] + [False, True, True])
    answers = []
    for sample in small.samples():
        truth = sample.target["answer"]
        text = truth if next(outcomes) else "B" if truth == "A" else "A"
        # by logits all first orders but that of question 0 are right
        letters: dict[str, float | None]
        letters = {"A": -3.0, truth: -1.0} if sample.id != "0" else {"A": -3.0, "D": -1.0}
        answers.append(said(sample, text, letters))
    values = {name: found.value for name, found in score(small, answers, draws=0).values.items()}
    assert values == {
        "accuracy": pytest.approx(2 / 3),  # 0 and 1
        "accuracy_by_logits": pytest.approx(2 / 3),  # 1 and 2
        "circular_accuracy": pytest.approx(1 / 3),  # 0
        "x/accuracy": 1.0,
        "y/accuracy": 0.0,
    }


def test_rotations_do_not_move_the_plain_accuracy() -> None:
    small = Small(rotate_options=True)
    answers = [said(sample, "A") for sample in small.samples()]
    plain = [answer for answer in answers if "rotated" not in answer.id]
    both = [score(small, some, draws=0).values for some in (answers, plain)]
    assert both[0]["accuracy"] == both[1]["accuracy"]
    assert both[0]["circular_accuracy"].value == 0
    assert math.isnan(both[1]["circular_accuracy"].value)


def test_a_question_with_a_failed_rotation_is_not_counted_as_asked_in_all() -> None:
    small = Small(rotate_options=True)
    answers = [said(sample, sample.target["answer"]) for sample in small.samples()]
    answers[1] = said(list(small.samples())[1], "", status="failed")
    scores = score(small, answers, draws=0)
    assert scores.totals["circular/n"] == 2
    assert scores.values["accuracy"].value == 1


def test_answers_without_letters_are_left_out_of_the_accuracy_by_logits() -> None:
    first, second, third = Small().samples()
    answers = [said(first, "A", {"A": -1.0, "B": -2.0}), said(second, "B"), said(third, "x")]
    scores = score(Small(), answers, draws=0)
    assert scores.values["accuracy_by_logits"].value == 1
    assert scores.totals["by_logits/n"] == 1
    assert math.isnan(score(Small(), answers[1:], draws=0).values["accuracy_by_logits"].value)


def test_rules_read_what_the_authors_do_not() -> None:
    (first, *_) = Small().samples()
    answer = said(first, "It is one.")
    assert Small().predict(answer) == "I"
    assert Small("rules").predict(answer) == "A"
    assert Small("rules").right(Reading(answer, "A"))


def test_an_answer_that_is_no_option_or_a_question_without_options() -> None:
    def ask(benchmark: Small, question: str, answer: str) -> list[Sample]:
        return list(benchmark.asked_in_turns("1", "1", question, answer, nothing, "x", 8, "row 1"))

    with pytest.raises(UserError, match="row 1: answer 'E' is not one of A, B, C, D"):
        ask(Small(), LISTED, "E")
    (one,) = ask(Small(), "Which?", "B")  # letters as the benchmark has them
    assert one.options == (("A", ""), ("B", ""), ("C", ""), ("D", ""))
    with pytest.raises(UserError, match="row 1: lists no options; ask it without rotate_options"):
        ask(Small(rotate_options=True), "Which?", "B")


def test_rotations_are_asked_for_by_name() -> None:
    built = build("mmstar", {"rotate_options": True})
    assert isinstance(built, MmStar) and built.rotate_options
    with pytest.raises(UserError, match="rotate_options 'yes' is neither true nor false"):
        build("mmstar", {"rotate_options": "yes"})
    with pytest.raises(UserError, match="takes no 'rotate_options'"):
        build("mmvp", {"rotate_options": True})


def test_a_choice_is_trusted_by_the_probability_of_its_letter() -> None:
    first, second, _ = Small().samples()
    # of A and B alone: 0.8 and 0.2; yes and no have nothing to do with it
    sure = {"A": math.log(0.4), "B": math.log(0.1), "C": None}
    unsure = {"A": math.log(0.2), "B": math.log(0.3), "C": -math.inf}
    answers = [
        Answer.of(first, text="A", letters=sure, yes_no=(-5.0, -5.0)),
        Answer.of(second, text="C", letters=unsure, yes_no=(0.0, -9.0)),
    ]
    readings = [Reading(answer, Small().predict(answer)) for answer in answers]
    found = risk_coverage(Small(), readings, [])
    assert found is not None and found.trusted_by == "answer_probability"
    # the right one is trusted more: withholding the other first leaves risks 0 and 1/2
    assert found.area.value == pytest.approx((0 + 1 / 2) / 2)
    alone = [Reading(Answer.of(first, text="A", yes_no=(0.0, -9.0)), "A")]
    assert risk_coverage(Small(), alone, []) is None
