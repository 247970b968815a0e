"""Recheck takes out of captions what the model denies, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from halluc.config import DecodingConfig
from halluc.data.coco_names import COCO_NAMES
from halluc.decoding.answering import answer_batches
from halluc.errors import UserError
from halluc.interventions import Batch
from halluc.methods._named_objects import Vocabulary, words_for
from halluc.methods.recheck import Recheck, denies
from halluc.models import VisionLanguageModel
from halluc.models.load import load_model
from halluc.scoring.base import REGISTRY as BENCHMARKS
from halluc.types import Answer
from halluc.world import NAMES
from tests.kit.asking import prepared
from tests.kit.runs import write_run

CAPTION = (
    "This is a picture of a kitchen. There is a red fridge in the middle. In addition, there are "
    "two dogs on the left. The scene looks calm."
)
WORDS = Vocabulary(COCO_NAMES)


class Asked:
    """Answers no about some objects, and keeps the questions."""

    def __init__(self, *denied: str, reply: str = "No, there is not.") -> None:
        self.denied, self.reply = denied, reply
        self.questions: list[tuple[int, str]] = []

    def __call__(
        self,
        questions: Sequence[tuple[int, str]],
        max_new_tokens: int = 16,
        temperature: float | None = None,
    ) -> list[str]:
        self.questions += questions
        return [
            self.reply if any(f" {name} in" in text for name in self.denied) else "Yes"
            for _, text in questions
        ]

    def likelihood(self, replies: Any) -> list[float]:
        raise AssertionError


def revised(texts: Sequence[str], ask: Asked, **params: Any) -> list[str]:
    rows = [str(row) for row in range(len(texts))]
    batch = Batch(rows, rows, [], rows, [()] * len(rows))
    return Recheck(Recheck.Params(**params)).revise(batch, list(texts), ask)


def test_the_80_names() -> None:
    assert len(COCO_NAMES) == len(set(COCO_NAMES)) == 80
    assert set(NAMES) <= set(COCO_NAMES)
    assert (COCO_NAMES[0], COCO_NAMES[-1]) == ("person", "toothbrush")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pizza", ("pizza", "pizzas")), ("sandwich", ("sandwich", "sandwiches")),
        ("toothbrush", ("toothbrush", "toothbrushes")), ("knife", ("knife", "knives")),
        ("mouse", ("mouse", "mice")), ("scissors", ("scissors",)), ("orange", ("oranges",)),
        ("refrigerator", ["refrigerator", "refrigerators", "fridge", "fridges"]),
        ("bus", ["bus", "buses"]), ("box", ("box", "boxes")), ("glass", ("glass", "glasses")),
    ],
)  # fmt: skip
def test_words(name: str, words: Sequence[str]) -> None:
    assert words_for(name) == words


def test_objects_are_found_in_the_texts_order_the_longest_name_first() -> None:
    text = "A Hot Dog and two wine glasses; a TEDDY BEAR, a man, another man and an orange sofa"
    assert WORDS.named(text) == ["hot dog", "wine glass", "teddy bear", "person", "couch"]
    assert WORDS.named("carpets, scar, doghouse, bookshelf") == []
    assert WORDS.named("") == Vocabulary(()).named("a dog") == []


@pytest.mark.parametrize(
    ("reply", "no"),
    [
        ("No", True), ("no.", True), ("No, there is no dog.", True), ("There is not.", True),
        ("There isn't a dog", True), ("Yes", False), ("Yes. No cat though.", False),
        ("nobody", False), ("", False), ("maybe", False), ("It is nothing I know", False),
    ],
)  # fmt: skip
def test_a_reply_denies_in_its_first_sentence(reply: str, no: bool) -> None:
    assert denies(reply) is no


def test_the_sentence_of_a_denied_object_goes() -> None:
    ask = Asked("dog")
    (text,) = revised([CAPTION], ask)
    assert text == (
        "This is a picture of a kitchen. There is a red fridge in the middle. The scene looks calm."
    )
    assert ask.questions == [
        (0, "Is there a refrigerator in the image?"), (0, "Is there a dog in the image?"),
    ]  # fmt: skip


def test_every_row_is_asked_about_its_own_image_and_each_object_once() -> None:
    ask = Asked("cat", "umbrella")
    texts = ["A dog. A dog. A cat.", "Yes, a cat.", "A cat and an umbrella. A sunny day.", "Snow."]
    assert revised(texts, ask) == ["A dog. A dog.", "Yes, a cat.", "A sunny day.", "Snow."]
    assert ask.questions == [
        (0, "Is there a dog in the image?"), (0, "Is there a cat in the image?"),
        (2, "Is there a cat in the image?"), (2, "Is there an umbrella in the image?"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "denied", "left"),
    [
        ("Here is a dog, a red car and two cats.", "dog", "Here is a red car and two cats."),
        ("Here is a dog, a red car and two cats.", "car", "Here is a dog and two cats."),
        ("Here is a dog, a red car, and two cats.", "cat", "Here is a dog and a red car."),
        ("There are a dog and a cat here.", "dog", "There is a cat here."),
        ("There are also a dog and a cat.", "cat", "There is also a dog."),
        ("A dog and a cat are here.", "dog", "A cat is here."),
        ("A dog and two cats are here.", "dog", "Two cats are here."),
        ("One dog and cats are here. Snow.", "cat", "One dog is here. Snow."),
        ("Dogs, cats and birds play.", "dog", "Cats and birds play."),
        ("A man walks a dog and a cat is asleep. Snow.", "dog", "Snow."),
        ("A man with a dog. Snow.", "dog", "Snow."),
        ("A dog and a cat. Snow.", "dog cat", "Snow."),
        ("It costs 3.5 coins! A dog? Snow", "dog", "It costs 3.5 coins! Snow"),
        ("First line.\n\nA dog.\nLast line.", "dog", "First line.\n\nLast line."),
        ("A dog.", "dog", "A dog."),  # never nothing
        ("A dog. A cat.", "dog cat", "A dog. A cat."),
        ("A cat. A cat and a dog sit.", "dog", "A cat. A cat sit."),
        ("A cat.", "dog", "A cat."),
    ],
)  # fmt: skip
def test_what_is_left(text: str, denied: str, left: str) -> None:
    assert WORDS.without(text, denied.split()) == left


@pytest.mark.parametrize("text", ["Yes", "no.", " Yes, there is a dog.", "No, it is a dog"])
def test_yes_and_no_stay_as_they_are(text: str) -> None:
    ask = Asked("dog")
    assert revised([text], ask) == [text] and ask.questions == []


def test_where_nothing_is_denied_texts_stay_as_they_are_to_the_letter() -> None:
    text = " A dog .  a cat\n"
    assert revised([text], Asked()) == [text]
    assert revised([text], Asked("dog", reply="hard to say")) == [text]


def test_objects_and_the_question_are_the_users() -> None:
    ask = Asked("unicorn")
    text = "A unicorn. A dog."
    given = {"objects": ("unicorn", "apple"), "question": "Do you see {object} in here?"}
    assert revised([text + " An apple."], ask, **given) == ["A dog. An apple."]
    assert [question for _, question in ask.questions] == [
        "Do you see an unicorn in here?", "Do you see an apple in here?",
    ]  # fmt: skip
    nothing = Asked("dog")
    assert revised([text], nothing, **Recheck.noop) == [text] and nothing.questions == []
    assert Recheck.Params().objects == COCO_NAMES
    assert Recheck.Params().question == "Is there {object} in the image?"
    with pytest.raises(UserError, match="question"):
        Recheck.parameters({"question": "Is there a dog?"})


def test_the_card_says_that_it_is_ours() -> None:
    card = Recheck.card
    assert "ours" in card.authors and card.paper == "-" and card.deviations == ()


@cache
def glyph() -> VisionLanguageModel:
    return load_model("glyph", device="cpu")


@cache
def answers(name: str, benchmark: str, images: int) -> dict[str, Answer]:
    samples = list(BENCHMARKS.get(benchmark)().asked(images))
    found = answer_batches(glyph(), prepared(name, glyph()), samples, DecodingConfig(), workers=0)
    return {answer.id: answer for batch in found for answer in batch}


def made_up(answer: Answer) -> set[str]:
    there = set(answer.target["categories"])
    return set(WORDS.named(answer.text)) - there


def test_glyph_makes_up_less_and_the_questions_are_counted() -> None:
    stock, ours = answers("baseline", "glyph_chair", 12), answers("recheck", "glyph_chair", 12)
    revisions = 0
    for name, before in stock.items():
        after = ours[name]
        assert made_up(after) <= made_up(before)
        asked = len(WORDS.named(before.text))
        assert after.forward_passes >= before.forward_passes + asked
        assert after.drafts == ((before.text,) if after.text != before.text else ())
        revisions += bool(after.drafts)
    assert revisions and sum(map(len, map(made_up, ours.values()))) < sum(
        map(len, map(made_up, stock.values()))
    )


def test_drafts_are_kept_in_the_run_folder(tmp_path: Path) -> None:
    given = list(answers("recheck", "glyph_chair", 12).values())
    folder = write_run(tmp_path, "recheck", benchmarks=())
    with folder.keeping("glyph_chair", print) as keep:
        keep(given)
    assert folder.answers("glyph_chair") == given
    assert any(answer.drafts for answer in given)


def test_glyphs_yes_and_no_are_the_baselines() -> None:
    stock, ours = answers("baseline", "glyph_pope", 2), answers("recheck", "glyph_pope", 2)
    for name, before in stock.items():
        after = ours[name]
        assert (after.text, after.drafts) == (before.text, ())
        assert after.forward_passes == before.forward_passes
        assert after.yes_no == pytest.approx(before.yes_no, abs=1e-4)
