"""Answers: batches change none, failures stay alone, sampling is each sample's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
import torch
from PIL import Image
from scipy.stats import chisquare

from halluc.config import DecodingConfig
from halluc.decoding import answer_samples
from halluc.decoding.logits_processors import GumbelNoise
from halluc.interventions.context import seed_of
from halluc.methods.baseline import Baseline
from halluc.models import VisionLanguageModel
from halluc.types import Answer, Sample
from tests.kit.families import llava, picture

GREEDY = Baseline(Baseline.Params())


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


def samples(n: int) -> list[Sample]:
    words = ("is there a dog ?", "describe this image please", "is there a car in the image ?")
    return [
        Sample(f"s{i}", f"i{i % 3}", words[i % 3], load(i % 3), max_new_tokens=5) for i in range(n)
    ]


def load(seed: int) -> Callable[[], Image.Image]:
    return lambda: picture(seed)


def in_order(answers: Iterable[Answer]) -> list[Answer]:
    return sorted(answers, key=lambda answer: answer.id)


def broken() -> Image.Image:
    raise OSError("image file is truncated")


def texts(model: VisionLanguageModel, decoding: DecodingConfig, size: int) -> list[str]:
    return [a.text for a in in_order(answer_samples(model, GREEDY, samples(7), decoding, size))]


@pytest.mark.parametrize(
    "decoding",
    [
        DecodingConfig(),
        DecodingConfig(num_beams=3),
        DecodingConfig(do_sample=True, temperature=0.8, top_p=0.9, top_k=20, seed=3),
    ],
)
def test_batch_size_changes_no_answer(model: VisionLanguageModel, decoding: DecodingConfig) -> None:
    assert texts(model, decoding, 1) == texts(model, decoding, 4) == texts(model, decoding, 7)


def test_seeds_change_samples(model: VisionLanguageModel) -> None:
    first, second = (DecodingConfig(do_sample=True, seed=seed) for seed in (0, 1))
    assert texts(model, first, 4) == texts(model, first, 4)
    assert texts(model, first, 4) != texts(model, second, 4)


def test_a_broken_image_fails_its_sample_alone(model: VisionLanguageModel) -> None:
    batch = samples(5)
    batch[3] = replace(batch[3], image_id="broken", load_image=broken)
    answers = in_order(answer_samples(model, GREEDY, batch, DecodingConfig(), 5))
    assert [a.status for a in answers] == ["ok", "ok", "ok", "failed", "ok"]
    assert answers[3].error == "OSError: image file is truncated"
    whole = in_order(answer_samples(model, GREEDY, samples(5), DecodingConfig(), 5))
    assert [a.text for a in answers if a.status == "ok"] == [
        a.text for i, a in enumerate(whole) if i != 3
    ]


def test_costs_are_counted(model: VisionLanguageModel) -> None:
    (answer,) = answer_samples(model, GREEDY, samples(1), DecodingConfig(), 1)
    assert answer.prompt_tokens == 1 + 1 + 16 + 5 + 1  # BOS, USER:, image, question, ASSISTANT:
    assert 1 <= answer.tokens <= 5
    assert answer.forward_passes == answer.tokens
    (beams,) = answer_samples(model, GREEDY, samples(1), DecodingConfig(num_beams=3), 1)
    assert beams.forward_passes == 3 * beams.tokens


def test_yes_and_no_are_read_at_the_first_position(model: VisionLanguageModel) -> None:
    sample = samples(1)[0]
    (answer,) = answer_samples(model, GREEDY, [sample], DecodingConfig(), 1)
    inputs = model.encode([model.render(sample.prompt)], [picture(0)])
    with torch.inference_mode():
        log_p = model.model(**inputs).logits[0, -1].float().log_softmax(-1)
    words = model.processor.tokenizer
    for found, spellings in zip(answer.yes_no or (), (("yes", "Yes"), ("no", "No")), strict=True):
        expected = log_p[words.convert_tokens_to_ids(list(spellings))].logsumexp(0)
        assert found == pytest.approx(float(expected), abs=1e-5)


def test_gumbel_noise_draws_from_the_softmax() -> None:
    scores = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    draws = 4000
    noisy = GumbelNoise([seed_of(0, f"s{i}") for i in range(draws)])(
        scores, scores.expand(draws, -1)
    )
    counts = noisy.argmax(-1).bincount(minlength=4).tolist()
    expected = (scores.double().softmax(-1)[0] * draws).tolist()
    assert chisquare(counts, expected).pvalue > 0.001
