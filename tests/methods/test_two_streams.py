"""What every method promises that decodes another view of the prompt; new ones are picked up.

Answers in a batch and alone, with beams too, are compared in `test_promises`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.errors import UserError
from halluc.interventions import REGISTRY, Batch, Method, TwoStreams
from halluc.models import VisionLanguageModel
from halluc.testing import BatchReply, reply
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava
from tests.kit.places import combined
from tests.references.plain_loop import next_logits

ALL = [name for name in REGISTRY.names() if "streams" in REGISTRY.get(name).declared()]
PAIRS = [name for name in ALL if issubclass(REGISTRY.get(name), TwoStreams)]
EDITS = (
    "attention_bias", "attention_logits", "attention_weights", "head_gain", "hidden",
    "feed_forward", "image_tokens", "weights", "prepare",
)  # fmt: skip
"""Seams that may tell streams apart, and what prepares them."""

SETTINGS = {"paint": {"gamma": 1.5}}
"""Parameters under which a method has streams, if it has none by default."""

EVERY = pytest.mark.parametrize("name", ALL)
END = 2


class Step(NamedTuple):
    """What a method was given and gave, for one token.

    Attributes:
        generated: Tokens so far of all streams' rows [S * B, step].
        streams: Logits by stream [B, V].
        made: What they were joined into [B, V].
        forbidden: What was ruled out, bool [B, V].
    """

    generated: Tensor
    streams: dict[str, Tensor]
    made: Tensor
    forbidden: Tensor


@cache
def model() -> VisionLanguageModel:
    return llava()


def ready(name: str, **params: Any) -> Any:
    """A method with those of the parameters that it has."""
    wanted = SETTINGS.get(name, {}) | params
    known = {key: wanted[key] for key in wanted if key in REGISTRY.get(name).Params.model_fields}
    try:
        return prepared(name, model(), **known)
    except UserError as refused:
        pytest.skip(str(refused))


def at_rest(name: str, **params: Any) -> Any:
    """A method whose streams are what their inputs make them."""
    method = ready(name, **params)
    method.resting = {*method.resting, *EDITS}
    return method


def watched(method: Any, main_alone: bool = False, cut: bool = True) -> list[Step]:
    """Keep what the method is given and gives.

    Args:
        main_alone: Give the main stream's logits in place of what the method makes.
        cut: Let the method rule tokens out.
    """
    steps: list[Step] = []
    join = method.next_token_logits

    def next_token_logits(at: Any, logits: Mapping[str, Tensor]) -> Tensor:
        made: Tensor = join(at, logits)
        forbidden = at.forbidden.tokens
        ruled_out = torch.zeros_like(made).bool() if forbidden is None else forbidden
        if not cut or main_alone:
            at.forbidden.tokens = None
        kept = {key: value.clone() for key, value in logits.items()}
        steps.append(Step(at.generated.clone(), kept, made.clone(), ruled_out))
        return logits["main"] if main_alone else made

    method.next_token_logits = next_token_logits
    return steps


def inputs_of(method: Any, equal: bool = False) -> dict[str, Any]:
    """Keep the inputs of all streams, which are then filled in; or make them the main stream's."""
    inputs: dict[str, Any] = {}
    made = method.streams

    def streams(batch: Batch, model: VisionLanguageModel) -> dict[str, Any]:
        others = made(batch, model)
        if equal:
            others = {name: dict(batch.inputs) for name in others}
        inputs.update({"main": batch.inputs, **others})
        return dict(others)

    method.streams = streams
    return inputs


def with_equal_streams(name: str, **params: Any) -> Any:
    method = at_rest(name, **params)
    inputs_of(method, equal=True)
    return method


def stock(beams: int = 1, *rows: int) -> BatchReply:
    return answer(model(), prepared("baseline", model()), questions(model(), *rows), beams)


def test_there_are_such_methods() -> None:
    assert {"m3id", "icd", "nolan", "ritual", "code"} <= set(PAIRS)
    assert {"vcd", "agla"} <= set(ALL)


@EVERY
def test_strength_0_is_greedy_decoding(name: str) -> None:
    cls = REGISTRY.get(name)
    strengths = {key: value for key, value in cls.noop.items() if key != "beta"}
    found = answer(model(), prepared(name, model(), **strengths), questions(model(), 0, 1))
    assert torch.equal(found.tokens, stock(1, 0, 1).tokens)


@EVERY
@pytest.mark.parametrize("alpha", [0.5, 7.0])
def test_equal_streams_are_greedy_decoding_at_any_strength(name: str, alpha: float) -> None:
    batch = questions(model(), 0, 1)
    found = answer(model(), with_equal_streams(name, alpha=alpha), batch)
    assert torch.equal(found.tokens, stock(1, 0, 1).tokens)
    own = answer(model(), ready(name, alpha=alpha, decay=0.5), batch)  # and others do count
    assert not torch.allclose(own.logits, found.logits, atol=1e-3)


@EVERY
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_the_main_streams_best_token_is_never_ruled_out(name: str, beta: float) -> None:
    method = ready(name, beta=beta, alpha=7.0)
    steps = watched(method)
    answer(model(), method, questions(model(), 0, 1))
    assert len(steps) == 6
    for step in steps:
        best = step.streams["main"].argmax(-1, keepdim=True)
        assert not step.forbidden.gather(1, best).any()
    if beta == 1.0 and name in PAIRS:
        assert any(step.forbidden.any() for step in steps)


@EVERY
def test_streams_share_no_cache(name: str) -> None:
    method = at_rest(name)
    inputs, steps = inputs_of(method), watched(method, main_alone=True)
    batch = questions(model(), 1)
    found = answer(model(), method, batch)
    assert torch.equal(found.tokens, stock(1, 1).tokens)
    assert len(inputs) > 1
    for step in steps:
        for stream, logits in step.streams.items():
            tokens = step.generated[0].tolist()
            alone = next_logits(model().model, inputs[stream], tokens)
            assert torch.allclose(logits[0], alone, atol=1e-4), (stream, tokens)


@EVERY
def test_all_streams_follow_the_beams(name: str) -> None:
    method = at_rest(name)
    inputs, steps = inputs_of(method), watched(method)
    reply(model(), method, questions(model(), 1), DecodingConfig(num_beams=3), tokens=4)
    assert len({tuple(row) for row in steps[-1].generated.tolist()}) == 3
    for step in steps:
        for stream, logits in step.streams.items():
            written = step.generated.unflatten(0, (len(step.streams), 3))
            assert all(torch.equal(written[0], rows) for rows in written)
            for row, tokens in enumerate(written[0].tolist()):
                alone = next_logits(model().model, inputs[stream], tokens).log_softmax(-1)
                assert torch.allclose(logits[row], alone, atol=1e-4), (stream, tokens)


@EVERY
def test_equal_streams_under_beams(name: str) -> None:
    method = with_equal_streams(name, alpha=2.0)
    steps = watched(method, cut=False)
    found = answer(model(), method, questions(model(), 0, 1), beams=3)
    factors = []
    for step in steps:  # what is made of equal streams is theirs, or their sum
        main, made = (row.log_softmax(-1) for row in (step.streams["main"], step.made))
        main, made = main - main.mean(-1, keepdim=True), made - made.mean(-1, keepdim=True)
        factors.append(float((made * main).sum() / (main * main).sum()))
        assert torch.allclose(made, factors[-1] * main, atol=1e-3)
    assert min(factors) > 1 - 1e-4
    if max(factors) < 1 + 1e-4:
        assert torch.equal(found.tokens, stock(3, 0, 1).tokens)


@pytest.mark.parametrize("name", PAIRS)
def test_passes_are_what_the_card_says(name: str) -> None:
    cost = REGISTRY.get(name).card.cost
    found = answer(model(), ready(name), questions(model(), 0, 1))
    for tokens, passes in zip(found.tokens.tolist(), found.passes, strict=True):
        length = tokens.index(END) + 1 if END in tokens else len(tokens)
        assert cost.token is not None
        if cost.prompt is None:
            assert passes > cost.token * length
        else:
            assert passes == cost.token * length + cost.prompt


class Pair(TwoStreams):
    """The base itself."""

    other = "view"


def test_the_base_contrasts_and_cuts_by_hand() -> None:
    main, other = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[1.0, 3.0, -5.0]])
    # (1 + 2) l - 2 l'; .3 of the best is 2 + log .3 = .796
    found = combined(Pair(Pair.Params(alpha=2.0, beta=0.3)), main=main, view=other)
    assert found.tolist() == [[4.0, -3.0, float("-inf")]]
    assert Pair.Params().model_dump() == {"alpha": 1.0, "beta": 0.1}


def test_a_method_may_rule_out_by_both_streams() -> None:
    class Agreeing(Pair):
        def rule_out(self, main: Tensor, other: Tensor) -> Tensor:
            return other > main

    found = combined(
        Agreeing(Pair.Params(alpha=0.0)), main=torch.tensor([[1.0, 0.0]]),
        view=torch.tensor([[0.0, 1.0]]),
    )  # fmt: skip
    assert found.tolist() == [[1.0, float("-inf")]]


def test_a_method_gives_its_view() -> None:
    method: Method = Pair(Pair.Params())
    with pytest.raises(NotImplementedError):
        method.streams(questions(model(), 0), model())
    assert set(Pair.declared()) == {"streams", "next_token_logits"}
