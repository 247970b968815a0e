"""Where a seam stands: phases, tokens in a window, facts that follow beams, weights put back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LogitsProcessor

from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import encoded
from halluc.decoding.generation import generate
from halluc.interventions import REGISTRY, At, Batch, BatchState, Method
from halluc.interventions import method as register
from halluc.interventions.compose import find
from halluc.interventions.engine import intervene
from halluc.interventions.vision_hooks import _among
from halluc.models import VisionLanguageModel
from halluc.models.tokens import PromptTokens
from halluc.testing import batch_of_questions
from tests.kit.asking import QUESTIONS, logits_after, questions
from tests.kit.families import llava, picture, prompts


@cache
def model() -> VisionLanguageModel:
    return llava()


def three_questions() -> Batch:
    """Two about one picture, one about another."""
    texts = (*QUESTIONS, "describe this image")
    images = [picture(number) for number in (0, 0, 1)]
    return encoded(model(), batch_of_questions(texts, images))


def in_window(n_tokens: int, n_keys: int) -> At:
    """A layer that sees the last keys only, behind a prompt of five tokens."""
    ids = torch.ones(1, 5, dtype=torch.long)
    tokens = PromptTokens(ids, ids, ids == 0)
    memory = BatchState(Batch(["0"], [""], [], [""], [()]), tokens)
    served: Any = None
    return At(
        model=served, memory=memory, phase="decode", layer=0, n_layers=1, n_heads=1,
        rows=torch.ones(1, 1, dtype=torch.bool), n_keys=n_keys, n_tokens=n_tokens,
    )  # fmt: skip


def test_keys_of_a_window_are_taken_back_to_the_tokens_they_stand_for() -> None:
    keys = torch.tensor([[4.0, 5.0, 6.0, 7.0]])  # of tokens 4 to 7, of which the prompt has 4 and 5
    assert in_window(7, 4).of_prompt(keys).tolist() == [[0, 0, 0, 4, 5]]
    assert in_window(7, 7).of_prompt(torch.arange(7.0)[None]).tolist() == [[0, 1, 2, 3, 4]]


def test_tokens_are_laid_over_the_keys_of_a_window() -> None:
    tokens = torch.arange(1.0, 6.0)[None]
    assert in_window(7, 4).on_keys(tokens).tolist() == [[4, 5, 0, 0]]
    assert in_window(7, 7).on_keys(tokens).tolist() == [[1, 2, 3, 4, 5, 0, 0]]


def test_patches_that_stay_keep_their_order_and_their_attention() -> None:
    attention = torch.tensor([[[0.1, 0.2, 0.3, 0.4]]])
    before, kept = torch.tensor([[0, 2, 3, 5]]), torch.tensor([[2, 5]])
    assert _among(attention, before, kept).tolist() == [[[pytest.approx(0.2), pytest.approx(0.4)]]]
    whole = torch.tensor([[1, 3]])
    assert torch.equal(_among(attention, None, whole), attention[:, :, [1, 3]])
    assert torch.equal(_among(attention, None, None), attention)


class Diary(Method):
    """Writes down where it is called."""

    name = "diary"
    prefix_depends_on = "nothing"
    calls: list[tuple[str, int, int]]

    def layers(self, n_layers: int) -> range:
        return range(1)

    def prefix_key(self) -> str:
        return self.name

    def hidden(self, at: At, hidden: Tensor) -> None:
        self.calls.append((at.phase, at.step, hidden.shape[1]))


def diary(share: bool, **settings: Any) -> list[tuple[str, int, int]]:
    method = Diary(Diary.Params())
    method.calls = []
    for name, value in settings.items():
        setattr(method, name, value)
    generate(model(), method, three_questions(), DecodingConfig(), max_new_tokens=3, share=share)
    return method.calls


def test_a_prompt_is_read_once_and_then_a_token_a_pass() -> None:
    (first, step, read), *decoded = diary(share=False)
    assert (first, step) == ("prefill", 0) and read > 16
    assert decoded == [("decode", 1, 1), ("decode", 2, 1)]


def test_a_shared_prefix_is_a_phase_of_its_own() -> None:
    phases = [(phase, step) for phase, step, _ in diary(share=True)]
    assert phases == [("prefix", 0), ("prefill", 0), ("decode", 1), ("decode", 2)]


@pytest.mark.parametrize("phase", ["prefix", "prefill", "decode"])
def test_hidden_is_called_in_the_phases_it_asks_for_alone(phase: str) -> None:
    assert {called for called, _, _ in diary(share=True, hidden_phases=(phase,))} == {phase}


class Glances(Method):
    """Writes down in which phases its edits of attention are called."""

    name = "glances"
    prefix_depends_on = "method"
    rows = "all"
    seen: set[tuple[str, str]]

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        self.seen.add(("logits", at.phase))
        return logits

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        self.seen.add(("weights", at.phase))
        return weights

    def head_gain(self, at: At, outputs: Tensor) -> Tensor:
        self.seen.add(("gain", at.phase))
        return outputs.new_ones(1, 1)


EVERY_PHASE = ("prefix", "prefill", "decode")
PHASES_ASKED_FOR = pytest.mark.parametrize(
    "asked", [("prefix",), ("prefill",), ("decode",), ("prefix", "prefill"), EVERY_PHASE]
)


def glanced(method: Method) -> None:
    generate(model(), method, three_questions(), DecodingConfig(), max_new_tokens=3)


def wanted(asked: tuple[str, ...]) -> set[tuple[str, str]]:
    edits = {(seam, phase) for seam in ("logits", "weights") for phase in asked}
    return edits | {("gain", phase) for phase in EVERY_PHASE}  # other seams are called as ever


@PHASES_ASKED_FOR
def test_attention_is_shown_in_the_phases_asked_for_alone(asked: tuple[str, ...]) -> None:
    method = Glances(Glances.Params())
    method.attention_phases, method.seen = asked, set()
    glanced(method)
    assert method.seen == wanted(asked)


@PHASES_ASKED_FOR
def test_and_so_to_each_part_of_a_composite(asked: tuple[str, ...]) -> None:
    with REGISTRY.scratch():
        for name in ("one", "other"):
            register(name)(type("Part", (Glances,), {}))
        both = find("one+other").for_model(model())
        one, other = parts = [part for part in both.methods if isinstance(part, Glances)]
        for part in parts:
            part.seen = set()
        one.attention_phases, other.attention_phases = asked, ("decode",)
        both.attention_phases = {*asked, "decode"}
        glanced(both)
    assert one.seen == wanted(asked)
    assert other.seen == wanted(("decode",))


def test_a_composite_is_shown_attention_where_any_part_is() -> None:
    both = find("adaptvis+var").for_model(model())
    assert set(both.attention_phases) == set(EVERY_PHASE)
    assert set(both.methods[0].attention_phases) == {"prefill"}
    looks = find("adaptvis+vhr").for_model(model())
    assert set(looks.attention_phases) == {"prefill"}


class Recalls(Method):
    """Remembers each prompt token's embedding, and keeps what it is told of them later."""

    name = "recalls"
    prefix_depends_on = "nothing"
    hidden_phases = ("prefix", "prefill")
    told: list[list[Tensor]]

    def layers(self, n_layers: int) -> range:
        return range(1)

    def prefix_key(self) -> str:
        return self.name

    def hidden(self, at: At, hidden: Tensor) -> None:
        at.remember(hidden)

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        facts = at.on_keys(at.remembered.transpose(1, 2))
        real = at.on_keys(at.tokens.attention_mask.bool())
        self.told.append([row[:, mask] for row, mask in zip(facts, real, strict=True)])
        return weights


def told(beams: int, share: bool) -> list[list[Tensor]]:
    """What is told in each pass of each row's prompt tokens, [D, L] for each row."""
    method, decoding = Recalls(Recalls.Params()), DecodingConfig(num_beams=beams)
    method.told = []
    generate(model(), method, three_questions(), decoding, max_new_tokens=4, share=share)
    return method.told


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("beams", [1, 3])
def test_what_is_remembered_is_of_each_prompts_own_tokens(beams: int, share: bool) -> None:
    alone = told(1, share=False)[0]
    found = told(beams, share)
    assert len(found) > 2 and len(found[-1]) == 3 * beams
    for rows in found:
        each = len(rows) // 3
        for number, row in enumerate(rows):
            assert torch.allclose(row, alone[number // each], atol=1e-5)


class Negated(Method):
    """Turns the vocabulary head round."""

    name = "negated"

    def weights(self, model: VisionLanguageModel) -> Mapping[str, Tensor]:
        return {"lm_head.weight": -model.model.lm_head.weight}


def test_weights_are_others_within_a_batch_and_the_models_own_after_it() -> None:
    made, inputs = model(), prompts(model(), *QUESTIONS)
    own = made.model.lm_head.weight
    before, place = own.clone(), own.data_ptr()
    stock = logits_after(made, Method(Method.Params()), inputs)
    assert torch.allclose(logits_after(made, Negated(Negated.Params()), inputs), -stock)
    assert made.model.lm_head.weight is own
    assert torch.equal(own, before) and own.data_ptr() == place
    with (
        pytest.raises(KeyError),
        intervene(made, Negated(Negated.Params()), BatchState.of_inputs(made, inputs)),
    ):
        raise KeyError
    assert torch.equal(own, before) and own.data_ptr() == place


class Counts(Method):
    """Keeps what had been generated at each step."""

    name = "counts"
    seen: list[Tensor]

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        self.seen.append(at.generated.clone())
        return logits["main"]


class Rows(LogitsProcessor):
    """Keeps the tokens transformers holds at each step."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.seen.append(input_ids.clone())
        return scores


@pytest.mark.parametrize("beams", [1, 3])
def test_generated_tokens_are_those_of_each_row_and_follow_its_beams(beams: int) -> None:
    method, rows = Counts(Counts.Params()), Rows()
    method.seen = []
    generate(
        model(), method, questions(model(), 0, 1), DecodingConfig(num_beams=beams),
        max_new_tokens=6, watch=[rows],
    )  # fmt: skip
    assert len(method.seen) > 2
    for step, (generated, held) in enumerate(zip(method.seen, rows.seen, strict=True)):
        assert generated.shape == (2 * beams, step)
        assert torch.equal(generated, held[:, held.shape[1] - step :])
