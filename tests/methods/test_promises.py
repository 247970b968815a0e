"""What every method promises; a new method is held to it by being registered."""

from __future__ import annotations

from functools import cache

import pytest

from halluc import testing
from halluc.config import DecodingConfig
from halluc.decoding.generation import lengths
from halluc.interventions import REGISTRY
from halluc.models import VisionLanguageModel
from tests.kit.asking import prepared, questions
from tests.kit.families import llava

ALL = REGISTRY.names()
EVERY = pytest.mark.parametrize("name", ALL)
SAMPLED = [name for name in ALL if "search" not in REGISTRY.get(name).declared()]


@cache
def model() -> VisionLanguageModel:
    return llava()


@pytest.mark.parametrize("name", [name for name in ALL if name != "baseline"])
def test_no_op_parameters_equal_the_baseline(name: str) -> None:
    testing.changes_nothing_at_no_op(model(), REGISTRY.get(name), questions(model(), 0, 1))


@pytest.mark.parametrize("beams", [1, 3])
@EVERY
def test_batch_and_padding_change_nothing(name: str, beams: int) -> None:
    decoding = DecodingConfig(num_beams=beams)
    testing.needs_no_company(model(), prepared(name, model()), questions(model(), 0, 1), decoding)


@pytest.mark.parametrize("name", SAMPLED)
def test_sampling_depends_on_no_batch(name: str) -> None:
    decoding = DecodingConfig(do_sample=True, seed=3)
    testing.needs_no_company(model(), prepared(name, model()), questions(model(), 0, 1), decoding)


@EVERY
def test_sharing_changes_nothing(name: str) -> None:
    testing.needs_no_sharing(model(), prepared(name, model()), questions(model(), 0, 1))


@EVERY
def test_no_state_leaks_from_one_sample_to_the_next(name: str) -> None:
    batch = questions(model(), 0, 1)
    testing.leaks_nothing(model(), prepared(name, model()), batch, lambda: prepared(name, model()))


@EVERY
def test_leaving_restores_the_model(name: str) -> None:
    testing.restores_the_model(model(), prepared(name, model()), questions(model(), 0, 1))


@EVERY
def test_cost_is_what_is_counted(name: str) -> None:
    batch = testing.batch_of_questions(questions(model(), 0).prompts, questions(model(), 0).images)
    made = testing.reply(model(), prepared(name, model()), batch, share=False)
    written = int(lengths(made.tokens, model())[0])
    token, prompt = REGISTRY.get(name).card.cost
    if token is not None and prompt is not None:
        assert made.passes == [token * written + prompt]
    else:
        assert made.passes[0] >= (token or 1) * written


def test_kinds_follow_from_seams() -> None:
    kinds = {name: REGISTRY.get(name).kinds() for name in ALL}
    assert kinds["baseline"] == ()
    assert kinds["vcd"] == ("contrast",) and kinds["dola"] == ("early layers",)
    assert kinds["apc"] == ("logits",) and kinds["opera"] == ("search", "attention")
    assert kinds["vhr"] == ("heads",) and kinds["nullu"] == ("weights",)
    assert all(kinds[name] for name in ALL if name != "baseline")


@EVERY
def test_card_says_where_the_method_comes_from(name: str) -> None:
    card = REGISTRY.get(name).card
    assert card.title
    ours = name in ("baseline", "recheck")
    known = card.paper.startswith(("arXiv:", "https://openreview.net/"))
    assert ours or (known and card.year >= 2018)
