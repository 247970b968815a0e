"""What a checkpoint, a batch or an option must not do to an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding.answering import answer_samples
from halluc.errors import UserError
from halluc.interventions import At, Method, MethodParams
from halluc.models import VisionLanguageModel
from halluc.types import Sample
from halluc.validation import checked
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava, picture

PLAIN = Method(MethodParams())

LEAKS: dict[str, Any] = {
    "suppress_tokens": [50, 51, 52, 60, 61], "begin_suppress_tokens": [50, 51, 52],
    "min_new_tokens": 5, "length_penalty": 3.0, "guidance_scale": 3.0, "early_stopping": True,
    "encoder_repetition_penalty": 2.0, "repetition_penalty": 3.0, "no_repeat_ngram_size": 1,
    "exponential_decay_length_penalty": (1, 50.0), "num_return_sequences": 2, "max_time": 1e-9,
    "forced_eos_token_id": 2, "return_dict_in_generate": True, "stop_strings": ["dog"],
    "cache_implementation": "static", "min_p": 0.9, "renormalize_logits": True,
    "output_scores": True,
}  # fmt: skip


@pytest.fixture
def model() -> VisionLanguageModel:
    made = llava()
    made.model.generation_config.eos_token_id = 2
    return made


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", LEAKS)
def test_a_checkpoints_generation_defaults_do_not_leak(
    name: str, beams: int, model: VisionLanguageModel
) -> None:
    batch = questions(model, 0, 1)
    clean = answer(model, PLAIN, batch, beams)
    setattr(model.model.generation_config, name, LEAKS[name])
    leaked = answer(model, PLAIN, batch, beams)
    assert leaked.tokens.tolist() == clean.tokens.tolist()
    assert getattr(model.model.generation_config, name) == LEAKS[name]  # and it is put back


def test_words_a_checkpoint_must_not_write_stay_forbidden(model: VisionLanguageModel) -> None:
    batch = questions(model, 0)
    first = int(answer(model, PLAIN, batch).tokens[0, 0])
    model.model.generation_config.bad_words_ids = [[first]]
    assert int(answer(model, PLAIN, batch).tokens[0, 0]) != first


def test_a_checkpoint_without_an_end_token_takes_the_tokenizers(
    model: VisionLanguageModel,
) -> None:
    model.model.generation_config.eos_token_id = None
    sample = Sample("0", "0", "is there a dog ?", lambda: picture(0), max_new_tokens=4)
    (given,) = answer_samples(model, PLAIN, [sample], DecodingConfig())
    assert (given.status, given.error) == ("ok", None)
    assert model.end_tokens == [model.processor.tokenizer.eos_token_id]


@pytest.mark.parametrize("share", [True, False])
def test_each_answer_is_cut_at_its_own_limit(share: bool, model: VisionLanguageModel) -> None:
    model.model.generation_config.eos_token_id = None
    model.processor.tokenizer.eos_token = None
    samples = [
        Sample(str(limit), "0", "is there a dog ?", lambda: picture(0), max_new_tokens=limit)
        for limit in (3, 12)
    ]
    given = answer_samples(model, PLAIN, samples, DecodingConfig(), share=share)
    assert {one.id: one.tokens for one in given} == {"3": 3, "12": 12}


def test_beams_that_sample_are_refused() -> None:
    with pytest.raises(UserError, match="beams do not sample"):
        checked(DecodingConfig, {"num_beams": 3, "do_sample": True}, "--gen-kwargs")


def test_passes_are_counted_where_they_happen(model: VisionLanguageModel) -> None:
    batch = questions(model, 0, 1)

    def counts(name: str, **params: Any) -> tuple[list[float], list[int]]:
        found = answer(model, prepared(name, model, **params), batch, tokens=5)
        lengths = [row.index(2) + 1 if 2 in row else len(row) for row in found.tokens.tolist()]
        return found.passes, lengths

    plain, length = counts("baseline")
    assert plain == length  # one a token, and none for a row that has ended
    vhr, length = counts("vhr")
    assert vhr == [count + 2 for count in length]  # the prompt with and without its image
    guided, length = counts("paint", gamma=1.1)
    assert guided == [2 * count for count in length]  # two streams


def test_passes_of_beams_count_every_beam(model: VisionLanguageModel) -> None:
    found = answer(model, PLAIN, questions(model, 0), beams=3, tokens=5)
    assert found.passes[0] % 3 == 0
    assert 3 <= found.passes[0] <= 15


class Sharpened(Method):
    """Follows the gradient of the distribution's peakedness."""

    name = "sharpened"

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        with torch.enable_grad():
            own = logits["main"].clone().requires_grad_()
            own.softmax(-1).pow(2).sum().backward()
        assert own.grad is not None
        return logits["main"] + own.grad


def test_a_method_may_ask_for_gradients_of_its_own_inputs(model: VisionLanguageModel) -> None:
    method = Sharpened(MethodParams())
    method.takes_gradients = True
    assert answer(model, method, questions(model, 0)).tokens.numel() > 0
    method.takes_gradients = False
    with pytest.raises(RuntimeError, match=r"does not require grad|nference"):
        answer(model, method, questions(model, 0))
