"""Conversations: earlier questions and the model's own answers stand before the next question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import pytest

from halluc.config import DecodingConfig
from halluc.decoding import answer_batches, answer_samples, in_turns
from halluc.methods.baseline import Baseline
from halluc.models import VisionLanguageModel
from halluc.types import Answer, Sample
from tests.kit.families import llava, picture

WORDS = ("is there a dog ?", "is there a cat ?", "is there a car in the image ?")


def conversation(image: int, turns: int = 3) -> list[Sample]:
    return [
        Sample(
            id=f"{image}/{turn}",
            image_id=f"i{image}",
            prompt=WORDS[(image + turn) % 3],
            load_image=partial(picture, image),
            max_new_tokens=4,
            follows=f"{image}/{turn - 1}" if turn else None,
        )
        for turn in range(turns)
    ]


def by_id(batches: Iterable[list[Answer]]) -> dict[str, Answer]:
    return {answer.id: answer for batch in batches for answer in batch}


class Echo:
    """Answers every sample with its id, and remembers what was put to it together."""

    def __init__(self, *broken: str) -> None:
        self.asked: list[list[Sample]] = []
        self.broken = broken

    def __call__(self, samples: Iterable[Sample]) -> Iterator[list[Answer]]:
        self.asked.append(list(samples))
        for s in self.asked[-1]:
            if s.id in self.broken:
                yield [Answer.failed(s, "broken")]
            else:
                said = f"<{s.id}>"
                yield [Answer.of(s, text=said)]


def test_turns_are_asked_across_conversations() -> None:
    echo = Echo()
    samples = [*conversation(0), *conversation(1, turns=2), *conversation(2, turns=1)]
    answers = by_id(in_turns(samples, {}, echo))
    assert [[sample.id for sample in turn] for turn in echo.asked] == [
        ["0/0", "1/0", "2/0"], ["0/1", "1/1"], ["0/2"],
    ]  # fmt: skip
    assert answers["0/2"].history == ((WORDS[0], "<0/0>"), (WORDS[1], "<0/1>"))
    assert answers["2/0"].history == ()


def test_a_conversation_goes_on_from_answers_that_are_there() -> None:
    first = by_id(in_turns(conversation(0, turns=2), {}, Echo()))
    echo = Echo()
    ((last,),) = in_turns(conversation(0)[2:], first, echo)
    assert last.history == ((WORDS[0], "<0/0>"), (WORDS[1], "<0/1>"))
    assert len(echo.asked) == 1


def test_what_follows_a_failure_fails_too() -> None:
    samples = [*conversation(0), *conversation(1)]
    answers = by_id(in_turns(samples, {}, Echo("0/1")))
    assert [answers[f"0/{turn}"].status for turn in range(3)] == ["ok", "failed", "failed"]
    assert answers["0/2"].error == "follows 0/1, which failed"
    assert all(answers[f"1/{turn}"].status == "ok" for turn in range(3))


def test_following_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="0/1 follows 0/0, which is not asked"):
        list(in_turns(conversation(0)[1:], {}, Echo()))


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


def ask(
    model: VisionLanguageModel, samples: list[Sample], size: int, share: bool = True
) -> dict[str, Answer]:
    answer = partial(
        answer_batches,
        model,
        Baseline(Baseline.Params()),
        decoding=DecodingConfig(),
        batch_size=size,
        share=share,
    )
    return by_id(in_turns(samples, {}, answer))


def test_the_models_own_answers_come_before_the_next_question(model: VisionLanguageModel) -> None:
    answers = ask(model, conversation(0), 2)
    first, second, third = (answers[f"0/{turn}"] for turn in range(3))
    assert second.history == ((first.prompt, first.text),)
    assert third.history == ((first.prompt, first.text), (second.prompt, second.text))
    said = [word for turn in third.history for text in turn for word in text.split()]
    # the BOS and one image, a role a turn, what was said, the question, and whose turn it is
    assert third.prompt_tokens == 1 + 16 + 2 * 2 + len(said) + 1 + len(third.prompt.split()) + 1


def test_what_was_said_before_changes_what_is_answered(model: VisionLanguageModel) -> None:
    sample = conversation(0)[2]
    histories = ((), (("is there a dog ?", "yes"),), (("is there a dog ?", "no"),))
    found = [
        next(
            answer_samples(
                model,
                Baseline(Baseline.Params()),
                [replace(sample, history=h)],
                DecodingConfig(),
                1,
            )
        ).yes_no
        for h in histories
    ]
    assert len(set(found)) == 3


def test_batches_change_no_conversation(model: VisionLanguageModel) -> None:
    samples = [*conversation(0), *conversation(1), *conversation(2, turns=2)]
    texts = [
        {id: answer.text for id, answer in ask(model, samples, size).items()} for size in (1, 3, 8)
    ]
    assert texts[0] == texts[1] == texts[2]


def test_the_same_question_after_other_turns_is_another_one(model: VisionLanguageModel) -> None:
    """Two conversations about one image that start differently and go on alike."""
    first, second = conversation(0, turns=2), conversation(0, turns=2)
    second = [
        replace(second[0], id="1/0", prompt=WORDS[2]),
        replace(second[1], id="1/1", follows="1/0"),
    ]
    answers = ask(model, [*first, *second], 8)
    assert answers["0/1"].prompt == answers["1/1"].prompt
    assert answers["1/1"].same_as is None
    apart = ask(model, second, 1, share=False)
    assert [answers[id].text for id in ("1/0", "1/1")] == [apart[id].text for id in ("1/0", "1/1")]
    assert answers["1/1"].yes_no == pytest.approx(apart["1/1"].yes_no, abs=1e-4)
    again = [replace(s, id=f"2/{n}", follows=s.follows and "2/0") for n, s in enumerate(first)]
    answers = ask(model, [*first, *again], 8)
    assert answers["2/1"].same_as == "0/1"  # alike from the start


def test_turns_in_the_chat_template(model: VisionLanguageModel) -> None:
    history = (("is there a dog ?", "yes"), ("is there a cat ?", "no"))
    assert model.render("is there a car ?", history).split() == [
        "USER:", "<image>", *["is", "there", "a", "dog", "?", "ASSISTANT:", "yes"],
        "USER:", *["is", "there", "a", "cat", "?", "ASSISTANT:", "no"],
        "USER:", *["is", "there", "a", "car", "?", "ASSISTANT:"],
    ]  # fmt: skip
