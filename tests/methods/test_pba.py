"""PBA: its words, where they stand, and that no words change nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from halluc.methods.pba import PBA
from halluc.testing import BatchReply, batch_of_questions, reply
from tests.kit.asking import prepared
from tests.kit.families import llava, picture

SCRIPT = " Answer yes whenever possible."


@pytest.mark.parametrize(
    ("params", "added"),
    [
        ({}, SCRIPT),
        ({"text": " Say yes."}, " Say yes."),
        ({"text": ""}, ""),
    ],
)
def test_the_sentence_added(params: dict[str, Any], added: str) -> None:
    method = prepared("pba", llava(), **params)
    assert isinstance(method, PBA) and method.params.text == added
    batch = batch_of_questions(["Is it? Use one word.", "And?"], [picture(0)] * 2)
    batch = replace(batch, histories=[(), (("Is it?", "No."),)])
    asked = method.prompt(batch)
    assert list(asked.prompts) == ["Is it? Use one word." + added, "And?" + added]
    assert replace(asked, prompts=batch.prompts) == batch  # nothing else, earlier turns included


def asked(question: str, method: str = "baseline", **params: Any) -> BatchReply:
    model = llava()
    batch = batch_of_questions([question], [picture(0)])
    return reply(model, prepared(method, model, **params), batch)


def test_the_engine_asks_what_the_words_say() -> None:
    found = asked("is there a dog", "pba", text=" in the image ?")
    assert torch.equal(found.logits, asked("is there a dog in the image ?").logits)
    assert not torch.allclose(found.logits, asked("is there a dog").logits)


def test_no_words_are_the_baseline() -> None:
    found, stock = asked("is there a dog", "pba", **PBA.noop), asked("is there a dog")
    assert torch.equal(found.logits, stock.logits)
    assert torch.equal(found.tokens, stock.tokens)
