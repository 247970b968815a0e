"""A sample whose logits are not finite fails alone; tokens may be ruled out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from halluc.config import DecodingConfig, MethodConfig, RunConfig
from halluc.decoding import answer_samples
from halluc.decoding.generation import generate
from halluc.errors import UserError
from halluc.evaluation import evaluate
from halluc.interventions import REGISTRY, At, Batch, Method
from halluc.interventions.search_loop import SearchLoop
from halluc.models import VisionLanguageModel
from halluc.types import Answer, Sample
from tests.kit.asking import BATCHED, able_to_ask, prepared, questions
from tests.kit.families import llava, picture

GREEDY, BEAMS = DecodingConfig(), DecodingConfig(num_beams=3)
DECODINGS = [GREEDY, DecodingConfig(do_sample=True, temperature=0.8, top_k=20), BEAMS]
WORDS = ("is there a dog ?", "describe this image please", "is there a car in the image ?")
LENGTH, END = 5, 2


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


def samples() -> list[Sample]:
    def load(number: int) -> Callable[[], Image.Image]:
        return lambda: picture(number)

    return [
        Sample(f"s{n}", f"i{n}", words, load(n), max_new_tokens=LENGTH)
        for n, words in enumerate(WORDS)
    ]


@dataclass
class Breakage:
    """What is put into one sample's logits, from which token on, and into how many of them."""

    value: float
    token: int = 3
    whole: bool = False
    sample: str = "s1"


class Breaks(Method):
    """Makes one sample's logits what a test says."""

    name = "breaks"
    breakage: Breakage

    @classmethod
    def by(cls, breakage: Breakage) -> Breaks:
        method = cls(cls.Params())
        method.breakage = breakage
        return method

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        main, how = logits["main"].clone(), self.breakage
        if at.step + 1 >= how.token and how.sample in at.batch.ids:
            beams = len(main) // at.batch.size
            rows = slice(at.batch.ids.index(how.sample) * beams, None)
            rows = slice(rows.start, rows.start + beams)
            main[rows, slice(None) if how.whole else 7] = how.value
        return main


def answers(model: VisionLanguageModel, method: Method, decoding: DecodingConfig) -> list[Answer]:
    found = answer_samples(model, method, samples(), decoding, 3)
    return sorted(found, key=lambda answer: answer.id)


def told(found: Sequence[Answer]) -> list[object]:
    return [(a.id, a.text, a.yes_no, a.tokens, a.forward_passes, a.error) for a in found]


@pytest.mark.parametrize("decoding", DECODINGS, ids=["greedy", "sampling", "beams"])
@pytest.mark.parametrize(
    "how",
    [Breakage(nan), Breakage(inf), Breakage(-inf, whole=True), Breakage(nan, 1, whole=True)],
    ids=["nan", "inf", "all-minus-inf", "at-once"],
)
def test_it_fails_alone(
    how: Breakage, decoding: DecodingConfig, model: VisionLanguageModel
) -> None:
    model.model.generation_config.eos_token_id = None  # all answers are of full length
    whole = answers(model, Breaks.by(Breakage(0.0, LENGTH + 1)), decoding)
    found = answers(model, Breaks.by(how), decoding)
    assert [a.status for a in whole] == ["ok"] * 3
    assert found[1] == Answer.failed(
        samples()[1], f"its logits are not finite at token {how.token}"
    )
    assert told([found[0], found[2]]) == told([whole[0], whole[2]])


def test_a_few_tokens_that_are_ruled_out_are_no_matter(model: VisionLanguageModel) -> None:
    for decoding in DECODINGS:
        found = answers(model, Breaks.by(Breakage(-inf, 1)), decoding)
        assert [a.status for a in found] == ["ok"] * 3


class ForbidsAll(Method):
    """Rules every token out at the second position."""

    name = "forbids-all"

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        if at.step == 1:
            at.forbid(torch.ones_like(logits["main"]).bool())
        return logits["main"]


@pytest.mark.parametrize("decoding", DECODINGS, ids=["greedy", "sampling", "beams"])
def test_nothing_can_be_said_where_everything_is_ruled_out(
    decoding: DecodingConfig, model: VisionLanguageModel
) -> None:
    found = answers(model, ForbidsAll(ForbidsAll.Params()), decoding)
    assert [a.error for a in found] == ["its logits are not finite at token 2"] * 3


@pytest.mark.parametrize("decoding", [GREEDY, BEAMS], ids=["greedy", "beams"])
def test_what_follows_the_end_of_an_answer_is_no_matter(decoding: DecodingConfig) -> None:
    made, plain = llava(), Breaks.by(Breakage(0.0, LENGTH + 1))
    asked = samples()[:2]

    def alone(sample: Sample) -> Answer:
        return next(answer_samples(made, plain, [sample], decoding, 1))

    for last in range(4, 60):
        made.model.generation_config.eos_token_id = list(range(3, last))
        first, second = map(alone, asked)
        if first.forward_passes < second.forward_passes:
            break
    assert first.forward_passes < second.forward_passes
    later = first.forward_passes // decoding.num_beams + 1
    method = Breaks.by(Breakage(nan, later, whole=True, sample="s0"))
    both = sorted(answer_samples(made, method, asked, decoding, 2), key=lambda a: a.id)
    assert told(both) == [
        (a.id, a.text, pytest.approx(a.yes_no), a.tokens, a.forward_passes, None)
        for a in (first, second)
    ]


def norm_of(model: VisionLanguageModel) -> Tensor:
    norm: Any = model.layers[0].input_layernorm
    weight: Tensor = norm.weight.data
    return weight


@pytest.mark.parametrize("method", ["baseline", "opera", "dola", "vcd"])
@pytest.mark.parametrize("value", [nan, inf])
def test_weights_that_are_not_finite_fail_every_sample(method: str, value: float) -> None:
    made = llava()
    ready = prepared(method, made)
    norm_of(made)[0] = value
    found = answers(made, ready, GREEDY)
    assert {a.error for a in found} == {"its logits are not finite at token 1"}
    assert [a.yes_no for a in found] == [None] * 3


class EndsOneRow(Method):
    """Feeds an end token to one row of two, and breaks the logits of rows that end with a token."""

    name = "ends-one-row"
    broken_behind: int

    def search(self, loop: SearchLoop) -> list[int]:
        loop.fork(torch.tensor([0, 0]))
        loop.step(torch.tensor([END, 5]))
        return [5, END]

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        last = at.generated[:, -1:] if at.step else torch.full((1, 1), -1)
        return logits["main"].masked_fill(last == self.broken_behind, nan)


@pytest.mark.parametrize(("token", "found"), [(END, {}), (5, {0: 1})])
def test_of_a_search_only_rows_that_go_on_count(
    token: int, found: dict[int, int], model: VisionLanguageModel
) -> None:
    method = EndsOneRow(EndsOneRow.Params())
    method.broken_behind = token
    model.model.generation_config.eos_token_id = END
    made = generate(model, method, questions(model, 0), GREEDY, max_new_tokens=LENGTH)
    assert made.broken == found


class AsksAgain(Method):
    """Asks about the first answer once the model is broken, and about the second when it is not."""

    name = "asks-again"
    model: VisionLanguageModel

    def revise(
        self, batch: Batch, texts: list[str], ask: Callable[[Sequence[tuple[int, str]]], list[str]]
    ) -> list[str]:
        weight = norm_of(self.model)
        kept = weight[0].clone()
        ask([(1, "is there a dog ?")])
        weight[0] = nan
        ask([(0, "is there a dog ?")])
        weight[0] = kept
        return texts


def test_questions_that_a_method_asks_count() -> None:
    made = llava()
    method = AsksAgain(AsksAgain.Params())
    method.model = made
    found = answers(made, method, GREEDY)
    assert [a.status for a in found] == ["failed", "ok", "ok"]
    assert found[0].error == "its logits are not finite at token 1"


@pytest.mark.parametrize("name", ["baseline", *REGISTRY.names()])
def test_no_method_of_ours_makes_any(name: str, model: VisionLanguageModel) -> None:
    """Nor where a checkpoint rules out words of its own."""
    own = model.model.generation_config
    own.bad_words_ids = [[33], [9]]
    try:
        parts = [questions(model, 0, 1)] if name in BATCHED else [questions(model, 0)]
        for beams in (1, 3):
            decoding = DecodingConfig(num_beams=beams)
            for batch in parts:
                method = prepared(name, model)
                asking = able_to_ask(model, batch)
                made = generate(model, method, asking, decoding, max_new_tokens=4)
                assert made.broken == {}
                assert not torch.isin(made.tokens, torch.tensor([33, 9])).any()
    finally:
        own.bad_words_ids = None


@pytest.mark.parametrize("benchmark", ["glyph_chair", "glyph_pope"])
def test_nothing_is_scored_where_every_sample_failed(benchmark: str, tmp_path: Path) -> None:
    config = RunConfig(
        method=MethodConfig(name="vhr", params={"gain": 1e308}), benchmarks=(benchmark,), limit=1
    )
    with pytest.raises(UserError, match=r"samples failed, first .*: its logits are not finite at"):
        evaluate(config, tmp_path)
    assert not list(tmp_path.rglob("scores_*.json"))
