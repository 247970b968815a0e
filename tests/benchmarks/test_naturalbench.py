"""NaturalBench: groups of two questions about two images, made up in the published columns."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from halluc.benchmarks.naturalbench import ASKED, REPO, NaturalBench
from halluc.errors import UserError
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.rescoring import score_files
from halluc.scoring.scores import score
from halluc.scoring.yes_probability import logit_scores
from halluc.types import Answer
from tests.benchmarks.hub import cell
from tests.benchmarks.tiny_run import scored

if TYPE_CHECKING:
    from tests.benchmarks.hub import Hub

pytestmark = pytest.mark.usefixtures("cache")

TRUTHS = {"yes_no": ("Yes", "No", "No", "Yes"), "multiple_choice": ("A", "B", "B", "A")}
CHOICES = (
    "What is worn?\nOption: A:Knit cap; B:Helmet;",
    "Where?\nOption:  A: On the stairs. B: Up.",
)


def row(n: int, kind: str) -> dict[str, Any]:
    truths = zip(ASKED, TRUTHS[kind], strict=True)
    return {
        "Index": n,
        "Image_0": cell(10 * n),
        "Image_1": cell(10 * n + 1),
        "Question_0": CHOICES[0] if kind != "yes_no" else "Is the dog up?",
        "Question_1": CHOICES[1] if kind != "yes_no" else "Is the dog down?",
        **{f"Image_{i[1]}_Question_{q[1]}": truth for (q, i), truth in truths},
        "Question_Type": kind,
        "Source": "Flickr30K",
    }


def put(hub: Hub, *rows: dict[str, Any]) -> None:
    hub.put(REPO, "data/train-00000-of-00003.parquet", list(rows))


def test_from_the_hubs_cache(hub: Hub) -> None:
    put(hub, row(0, "yes_no"), row(1, "multiple_choice"), row(2, "yes_no"))
    samples = {sample.id: sample for sample in NaturalBench().samples()}
    assert len(samples) == 12
    # the authors put no space before the ending
    assert samples["0000/q0_i0"].prompt == "Is the dog up?Please answer Yes or No."
    assert samples["0001/q1_i0"].prompt == (
        CHOICES[1] + "Please output the letter corresponding to the correct option."
    )
    assert [samples[f"0000/{q}_{i}"].target for q, i in ASKED] == ["yes", "no", "no", "yes"]
    assert [samples[f"0001/{q}_{i}"].target for q, i in ASKED] == ["A", "B", "B", "A"]
    assert samples["0000/q0_i0"].options == ()
    assert samples["0001/q0_i1"].options == (("A", "Knit cap"), ("B", "Helmet;"))
    assert samples["0001/q1_i1"].options == (("A", "On the stairs."), ("B", "Up."))
    shades = [samples[f"0002/{q}_{i}"].load_image().getpixel((0, 0)) for q, i in ASKED]
    assert shades == [(20, 0, 0), (21, 0, 0), (20, 0, 0), (21, 0, 0)]
    assert samples["0002/q0_i1"].image_id == samples["0002/q1_i1"].image_id
    lmms = next(NaturalBench(prompt="lmms-eval").samples())
    assert lmms.prompt == "Is the dog up? Please answer Yes or No."


def test_a_limit_keeps_groups_whole(hub: Hub) -> None:
    put(hub, row(0, "yes_no"), row(1, "multiple_choice"))
    assert [len(list(NaturalBench().samples(n))) for n in (1, 2, 3, 9)] == [4, 4, 8, 8]


def test_wrong_rows(hub: Hub) -> None:
    put(hub, {**row(0, "yes_no"), "Image_1_Question_0": "A"})
    with pytest.raises(UserError, match="row 0: Image_1_Question_0 'a' is not yes or no"):
        list(NaturalBench().samples())
    with pytest.raises(UserError, match="naturalbench: takes no folder"):
        list(NaturalBench(folder=Path()).samples())


def test_an_unknown_type(hub: Hub) -> None:
    put(hub, {**row(0, "yes_no"), "Question_Type": "open"})
    with pytest.raises(UserError, match="row 0: type 'open' is not yes_no or multiple_choice"):
        list(NaturalBench().samples())


def test_on_a_tiny_model(hub: Hub) -> None:
    put(hub, row(0, "yes_no"), row(1, "multiple_choice"))
    scores = scored(NaturalBench())
    assert (scores.n, scores.n_images) == (8, 2)  # groups are resampled
    assert scores.totals["by_logits/n"] == 4  # the tiny tokenizer has yes and no, and no letters


@pytest.mark.parametrize(
    ("text", "kind", "read"),
    [
        ("Yes.", "yes_no", "yes"),
        ("no, not yes", "yes_no", "no"),  # the first counts
        ("Yes and no", "yes_no", "yes"),
        ("nothing", "yes_no", None),
        ("A", "yes_no", None),
        ("The answer is B.", "multiple_choice", "B"),
        ("A or B", "multiple_choice", "A"),
        ("It is a helmet: B", "multiple_choice", "A"),  # any a, as the authors read it
        ("Knit cap", "multiple_choice", None),
    ],
)
def test_as_the_authors_read(text: str, kind: str, read: str | None) -> None:
    assert NaturalBench().predict(Answer("1", "i", kind, "", "", text=text)) == read


def answers(group: int, said: tuple[str, ...], kind: str = "yes_no") -> list[Answer]:
    truths = [truth.lower() if kind == "yes_no" else truth for truth in TRUTHS[kind]]
    return [
        Answer(f"{group:04d}/{q}_{i}", f"{group:04d}_{i}", kind, "", truth, text=text)
        for (q, i), truth, text in zip(ASKED, truths, said, strict=True)
    ]


def values(said: list[Answer]) -> dict[str, float]:
    found = score(NaturalBench(), said, draws=0).values
    return {name: found[name].value for name in ("q_acc", "i_acc", "accuracy", "g_acc")}


def test_by_hand() -> None:
    # truths are yes no no yes
    first = answers(0, ("yes", "no", "no", "yes"))  # all right
    second = answers(1, ("yes", "no", "yes", "yes"))  # question 0; image 1
    third = answers(2, ("A", "A", "A", "maybe B"), "multiple_choice")  # q0_i0 alone
    assert values(first + second + third) == {
        "q_acc": pytest.approx((2 + 1 + 0) / 6),
        "i_acc": pytest.approx((2 + 1 + 0) / 6),
        "accuracy": pytest.approx((4 + 3 + 1) / 12),
        "g_acc": pytest.approx(1 / 3),
    }


def test_a_question_is_not_an_image() -> None:
    both_to_question_0 = answers(0, ("yes", "no", "yes", "no"))
    assert values(both_to_question_0) == {"q_acc": 0.5, "i_acc": 0.0, "accuracy": 0.5, "g_acc": 0}
    both_about_image_0 = answers(0, ("yes", "yes", "no", "no"))
    assert values(both_about_image_0) == {"q_acc": 0.0, "i_acc": 0.5, "accuracy": 0.5, "g_acc": 0}


def test_chance_and_blindness() -> None:
    """Of all 16 ways to answer, one is right: Q-Acc and I-Acc are 1/4 by chance, G-Acc 1/16."""
    ways = enumerate(itertools.product(("yes", "no"), repeat=4))
    by_chance = values([answer for n, way in ways for answer in answers(n, way)])
    assert by_chance == {"q_acc": 0.25, "i_acc": 0.25, "accuracy": 0.5, "g_acc": 1 / 16}
    blind = values(answers(0, ("yes",) * 4))
    assert blind == {"q_acc": 0.0, "i_acc": 0.0, "accuracy": 0.5, "g_acc": 0.0}


def test_groups_that_are_not_whole_count_in_accuracy_alone() -> None:
    scores = score(NaturalBench(), answers(0, ("yes", "no", "no", "yes"))[:3], draws=0)
    assert scores.values["accuracy"].value == 1
    assert scores.totals.get("groups", 0) == 0


def test_by_logits() -> None:
    yes, no, *_ = answers(0, ("", "", "", ""))
    a, b, *_ = answers(1, ("", "", "", ""), "multiple_choice")
    said = [
        Answer(**{**vars(yes), "yes_no": (-0.1, -3.0)}),
        Answer(**{**vars(no), "yes_no": (-0.1, -3.0)}),  # wrong
        Answer(**{**vars(a), "letters": {"A": -0.1, "B": -3.0}}),
        Answer(**{**vars(b), "letters": None, "yes_no": (-0.1, -3.0)}),  # not known
    ]
    found = score(NaturalBench(), said, draws=0)
    assert found.values["accuracy_by_logits"].value == pytest.approx(2 / 3)
    assert found.values["accuracy"].value == 0
    probabilities = logit_scores(NaturalBench(), said)
    assert probabilities["all"]["n"] == 2  # yes/no questions have an AUROC, choices have none


def test_answers_in_the_order_of_the_data_set(hub: Hub, tmp_path: Path) -> None:
    put(hub, row(0, "yes_no"), row(1, "multiple_choice"))
    (path := tmp_path / "output.json").write_text(
        json.dumps(["Yes", "No", "No", "Yes", "A", "B", "A", "A"])
    )
    printed = score_files(NaturalBench(), AnswerFiles(path), draws=0)["metrics"]
    assert printed == {"Q_Acc": 0.75, "I_Acc": 0.75, "Acc": 7 / 8, "G_Acc": 0.5}
    path.write_text(json.dumps(["Yes"]))
    with pytest.raises(UserError, match=r"output.json: has 1 answers to 8 questions"):
        score_files(NaturalBench(), AnswerFiles(path))
    path.write_text(json.dumps([1] * 8))
    with pytest.raises(UserError, match="not a list of texts"):
        score_files(NaturalBench(), AnswerFiles(path))
