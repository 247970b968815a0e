"""Asking again: replies drawn or not, likelihoods, what it costs, and answers that are withheld."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Metaspace
from transformers import PreTrainedTokenizerFast

from halluc.config import DecodingConfig
from halluc.decoding import answer_samples
from halluc.decoding.asking_again import AskingAgain, lead
from halluc.interventions import Ask, Batch, Method, MethodParams
from halluc.testing import batch_of_questions
from halluc.types import Sample
from tests.kit.asking import QUESTIONS, questions
from tests.kit.families import build, llava, picture

LONG = "please describe this image"


def asking(*rows: int) -> AskingAgain:
    return AskingAgain(llava(), questions(llava(), *rows))


def test_replies_are_greedy_and_cost_their_passes() -> None:
    ask = asking(0, 1)
    replies = ask([(1, QUESTIONS[0]), (0, QUESTIONS[1]), (1, QUESTIONS[0])], max_new_tokens=3)
    assert replies[0] == replies[2]
    assert ask.passes == [3, 6]  # a pass a token
    alone = AskingAgain(llava(), questions(llava(), 1))
    assert alone([(0, QUESTIONS[0])], max_new_tokens=3) == replies[:1]


def test_drawn_replies_differ_and_depend_on_no_batch() -> None:
    both = asking(0, 1)([(0, LONG)] * 3 + [(1, LONG)] * 3, 8, temperature=5.0)
    assert len(set(both[:3])) > 1 and both[:3] != both[3:]
    alone = AskingAgain(llava(), questions(llava(), 1))
    assert [*alone([(0, LONG)], 8, 5.0), *alone([(0, LONG)] * 2, 8, 5.0)] == both[3:]


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_likelihood_is_that_of_a_plain_pass(family: str) -> None:
    model = build(family)
    images = [picture(0), picture(1, 64, 48)]
    batch = batch_of_questions(QUESTIONS, images, ["a", "b"])
    wanted = [(0, LONG, " there is", " a dog"), (1, QUESTIONS[0], "", " no")]
    ask = AskingAgain(model, batch)
    for (row, prompt, before, after), found in zip(wanted, ask.likelihood(wanted), strict=True):
        inputs = model.encode([model.render(prompt) + before + after], [images[row]])
        count = len(model.processor.tokenizer.tokenize(after.strip()))
        with torch.no_grad():
            log_p = model.model(**inputs).logits[0].float().log_softmax(-1)
        ids = inputs["input_ids"][0]
        places = range(len(ids) - count, len(ids))
        expected = sum(float(log_p[place - 1, ids[place]]) for place in places)
        assert found == pytest.approx(expected, abs=1e-4)
    assert ask.passes == [1, 1]
    assert ask.likelihood([(0, LONG, "", "")]) == [0.0]  # nothing that has to be said


@pytest.mark.parametrize(("first", "space"), [("first", " "), ("never", "")])
def test_a_reply_is_read_as_it_is_written(first: Any, space: str) -> None:
    words = ["[UNK]", "▁ASSISTANT:", "ASSISTANT:", "▁The", "▁dog", "The"]
    known = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    known.pre_tokenizer = Metaspace(prepend_scheme=first)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=known, unk_token="[UNK]")
    assert lead(tokenizer, "ASSISTANT:" + " " * (not space), "The dog") == space


def test_nobody_answers_outside() -> None:
    batch = questions(llava(), 0)
    with pytest.raises(ValueError, match="exists in `streams`"):
        batch.ask([(0, "?")])
    with pytest.raises(ValueError, match="exists in `streams`"):
        batch.ask.likelihood([])


class Doubts(Method):
    """Trusts what is asked first, and asks in the seams that may."""

    name = "doubts"
    prefix_depends_on = "nothing"
    withhold_below = 0.5

    def streams(self, batch: Batch, model: Any) -> dict[str, Any]:
        self.told = batch.ask([(0, LONG)], 2)
        return {"again": batch.inputs}

    def next_token_logits(self, at: Any, logits: Any) -> Any:
        return logits["main"]

    def confidence(self, batch: Batch, texts: list[str], ask: Ask) -> Sequence[float]:
        return [0.5 if name == "first" else 0.25 for name in batch.ids]


def test_answers_below_the_limit_are_withheld() -> None:
    samples = [
        Sample(name, "image", QUESTIONS[0], lambda: picture(0), max_new_tokens=2)
        for name in ("first", "second")
    ]
    method = Doubts(MethodParams())
    found = {
        a.id: a for a in answer_samples(llava(), method, samples, DecodingConfig(), share=False)
    }
    assert (found["first"].status, found["first"].confidence) == ("ok", 0.5)
    assert (found["second"].status, found["second"].confidence) == ("withheld", 0.25)
    assert found["second"].text == found["first"].text
    # two streams of two tokens each, and two more for the one that was asked before
    assert sorted(a.forward_passes for a in found.values()) == [4, 6]
    plain = Method(MethodParams())
    (same, _) = answer_samples(llava(), plain, samples, DecodingConfig(), share=False)
    assert (same.status, same.confidence) == ("ok", None)
