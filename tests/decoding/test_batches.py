"""Who is asked together, and that nobody is lost or asked twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from halluc.config import DecodingConfig
from halluc.decoding import answer_samples
from halluc.decoding.batch_encoding import encode_once
from halluc.decoding.batching import batches, distinct, planned
from halluc.methods.baseline import Baseline
from halluc.models import VisionLanguageModel
from halluc.types import Answer, Sample
from tests.kit.families import llava, picture

GREEDY = Baseline(Baseline.Params())
WORDS = ("is there a dog ?", "is there a red car in the image ?", "is there a cat ?")


def load(seed: int) -> Callable[[], Image.Image]:
    return lambda: picture(seed)


def about(image: int, *questions: str, most: int = 4) -> list[Sample]:
    return [
        Sample(f"{image}-{most}-{n}", f"i{image}", question, load(image), max_new_tokens=most)
        for n, question in enumerate(questions)
    ]


def test_groups_stay_together_and_everybody_is_in_one_batch() -> None:
    samples = [*about(0, *WORDS), *about(1, *WORDS[:2]), *about(2, *WORDS), *about(3, "a", most=64)]
    made = list(batches(samples[::-1], 5))
    assert sorted(s.id for batch in made for s in batch) == sorted(s.id for s in samples)
    assert [len(batch) for batch in made] == [5, 3, 1]
    assert [len({s.image_id for s in batch}) for batch in made] == [2, 1, 1]
    assert made[-1][0].max_new_tokens == 64


def test_a_group_too_large_is_split_evenly() -> None:
    samples = about(0, *(f"is there {n} ?" for n in range(18)))
    assert [len(batch) for batch in batches(samples, 8)] == [6, 6, 6]


def test_what_is_asked_twice_is_asked_once() -> None:
    first, again = about(0, *WORDS), [replace(s, id=f"again-{s.id}") for s in about(0, *WORDS)]
    longer, other = about(0, *WORDS, most=9), about(1, *WORDS)
    asked, others = distinct([*first, *again, *longer, *other])
    assert [s.id for s in asked] == [s.id for s in [*first, *longer, *other]]
    assert {key: [s.id for s in value] for key, value in others.items()} == {
        one.id: [two.id] for one, two in zip(first, again, strict=True)
    }


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


def test_repeated_questions_cost_nothing_and_keep_their_targets(
    model: VisionLanguageModel,
) -> None:
    first = about(0, *WORDS)
    again = [replace(s, id=f"z{s.id}", group="other", target="no") for s in first]
    answers = {a.id: a for a in answer_samples(model, GREEDY, first + again, DecodingConfig())}
    for sample in again:
        answer, source = answers[sample.id], answers[sample.id[1:]]
        assert (answer.text, answer.yes_no, answer.same_as) == (
            source.text, source.yes_no, source.id
        )  # fmt: skip
        assert (answer.group, answer.target, answer.forward_passes) == ("other", "no", 0)
    drawn = DecodingConfig(do_sample=True)
    assert all(a.same_as is None for a in answer_samples(model, GREEDY, first + again, drawn))


def test_an_image_is_encoded_once(model: VisionLanguageModel) -> None:
    answers = list(
        answer_samples(model, GREEDY, about(0, *WORDS) + about(1, *WORDS), DecodingConfig(), 6)
    )
    assert sum(a.images_encoded for a in answers) == pytest.approx(2)
    plain = answer_samples(model, GREEDY, about(0, *WORDS), DecodingConfig(), 6, share=False)
    assert sum(a.images_encoded for a in plain) == pytest.approx(3)


def test_running_out_of_memory_halves_the_batch_for_good(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halluc.decoding import answering as room

    sizes: list[int] = []
    whole = room._Answering.together

    def cramped(self: Any, batch: Any, *args: Any) -> Any:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, batch, *args)

    monkeypatch.setattr(room._Answering, "together", cramped)
    samples = [s for image in range(4) for s in about(image, *WORDS)]
    answers = list(answer_samples(model, GREEDY, samples, DecodingConfig(), 6))
    assert sorted(a.id for a in answers) == sorted(s.id for s in samples)
    assert {a.status for a in answers} == {"ok"}
    assert sizes[:2] == [6, 3] and max(sizes[2:]) <= 2


def test_encoding_once_equals_encoding_all(model: VisionLanguageModel) -> None:
    images = [picture(0), picture(1)]
    seen = [images[0], images[1], images[0], images[0], images[1]]
    rendered = [model.render(WORDS[n % 3]) for n in range(5)]
    once, every = encode_once(model, rendered, seen), model.encode(rendered, seen)
    assert once.keys() == every.keys()
    for key, value in every.items():
        assert torch.equal(once[key], value)


def test_what_is_known_keeps_its_place_in_batches() -> None:
    samples = [s for image in range(5) for s in about(image, *WORDS[:2])]
    there = {samples[number].id for number in (0, 1, 5)}
    known = [Answer.of(s) for s in samples if s.id in there]
    left = list(planned([s for s in samples if s.id not in there], known, 4))
    whole = [[s for s in batch if s.id not in there] for batch in batches(samples, 4)]
    assert left == [batch for batch in whole if batch]
    assert [len(batch) for batch in left] != [len(batch) for batch in batches(samples, 4)]


def test_batches_do_not_depend_on_the_order_of_samples() -> None:
    samples = [s for image in range(5) for s in about(image, *WORDS)]
    assert list(batches(samples, 7)) == list(batches(samples[::-1], 7))
