"""OPERA says what its reference says, roll-backs included."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from halluc.decoding.batch_encoding import encoded
from halluc.interventions.beam_search import Options, Retries
from halluc.interventions.search_loop import SearchLoop
from halluc.methods import _over_trust
from halluc.methods.opera import OPERA
from halluc.models import VisionLanguageModel
from halluc.testing import batch_of_questions, reply
from tests.kit.families import build, picture
from tests.references import opera as reference

CLOSE = 1e-4
SMALL: dict[str, Any] = {"num_beams": 2, "n_can": 2, "threshold": 2}
GOLDEN = {  # of the published function itself, its first location 1
    "llava": (
        [(10, 5), (15, 3), (10, 3), (9, 2), (7, 2)],
        [50, 33, 16, 34, 34, 34, 25, 10, 50, 22, 3, 2, 27, 2, 27, 27, 3, 3, 3, 50],
    ),
    "qwen2_5_vl": (
        [(10, 4), (13, 6), (13, 2)],
        [39, 54, 14, 51, 65, 51, 35, 13, 26, 15, 5, 67, 35, 13, 25, 16, 14, 15, 22, 51],
    ),
}


class Noting(OPERA):
    """Keeps the penalised candidates of each sequence it looked at."""

    def __init__(self, params: OPERA.Params) -> None:
        super().__init__(params)
        self.scored: dict[tuple[int, ...], dict[int, float]] = {}

    def look(self, loop: SearchLoop) -> Options:
        before = loop.tokens.tolist()
        found = super().look(loop)
        for tokens, ids, logits in zip(
            before, found.tokens.tolist(), found.logits.tolist(), strict=True
        ):
            self.scored[tuple(tokens)] = dict(zip(ids, logits, strict=True))
        return found


def small(name: str, endless: bool) -> VisionLanguageModel:
    model = build(name)
    if endless:
        model.model.generation_config.eos_token_id = []
    return model


def both(
    model: VisionLanguageModel, tokens: int, **params: Any
) -> tuple[list[int], reference.Search, float]:
    """Our tokens, the reference's search, and how far candidates' scores are apart."""
    batch = encoded(model, batch_of_questions(["What is this?"], [picture(0)]))
    method = Noting(Noting.Params(**params))
    ours = reply(model, method, batch, tokens=tokens).tokens[0].tolist()
    own = dict(params)
    settings = reference.Settings(
        n_candidates=own.pop("n_can", 5), first_location=_over_trust.FIRST,
        variant=own.pop("variant", "paper"), **own,
    )  # fmt: skip
    found = reference.search(model.model, batch.inputs, n_tokens=tokens, settings=settings)
    apart = 0.0
    for step in found.steps:
        for beam, row in zip(step.beams, step.scored, strict=True):
            theirs = {int(token): float(row[token]) for token in row.isfinite().nonzero()}
            mine = method.scored[beam.tokens]
            assert mine.keys() == theirs.keys()
            for token, score in theirs.items():
                apart = max(apart, abs(mine[token] - score) / max(1.0, abs(score)))
    return ours, found, apart


@pytest.mark.parametrize("variant", ["paper", "official_code"])
@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test_at_defaults(name: str, variant: str) -> None:
    ours, found, apart = both(small(name, endless=False), 12, variant=variant)
    assert ours == list(found.best.tokens)
    assert apart < CLOSE


@pytest.mark.parametrize("params", [{}, {"most": 1}, {"window": 4}, {"alpha": 0.3, "scale": 20.0}])
@pytest.mark.parametrize("variant", ["paper", "official_code"])
@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test_with_roll_backs(
    name: str, variant: str, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_over_trust, "FIRST", 1)
    if variant == "official_code" and "window" in params:
        params = {"n_can": 3}  # it has no window
    model = small(name, endless=True)
    ours, found, apart = both(model, 16, **(SMALL | {"variant": variant} | params))
    assert ours == list(found.best.tokens)
    assert apart < CLOSE
    assert found.rollbacks


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test_the_fast_variant_is_the_codes_with_one_candidate(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_over_trust, "FIRST", 1)
    fast: dict[str, Any] = {"num_beams": 3, "n_can": 1, "threshold": 2}
    model = small(name, endless=True)
    ours, found, apart = both(model, 16, variant="official_code", **fast)
    assert found.rollbacks or name != "llava"
    assert apart < CLOSE
    batch = encoded(model, batch_of_questions(["What is this?"], [picture(0)]))
    method = OPERA.for_model(model, {"variant": "fast", "num_beams": 3, "threshold": 2})
    again = reply(model, method, batch, tokens=16).tokens[0].tolist()
    assert again == ours == list(found.best.tokens)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_published_function_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_over_trust, "FIRST", 1)
    rollbacks, tokens = GOLDEN[name]
    went: list[int] = []
    forward = Retries.go_back

    def noted(self: Any, loop: Any, steps: Any, token: int) -> Any:
        before = len(steps) - 1
        again = forward(self, loop, steps, token)
        went.extend([before, len(steps) - 1] if again is not None else [])
        return again

    monkeypatch.setattr(Retries, "go_back", noted)
    ours, found, _ = both(small(name, endless=True), 20, variant="official_code", **SMALL)
    assert ours == list(found.best.tokens) == tokens
    assert list(zip(went[::2], went[1::2], strict=True)) == found.rollbacks == rollbacks


def test_images_are_looked_at_by_the_same_measure() -> None:
    torch.manual_seed(0)
    attention = torch.rand(2, 9, 9).tril()
    attention = attention / attention.sum(-1, keepdim=True)
    image, start = torch.tensor([1, 2]), 5
    for variant in ("paper", "official_code"):
        settings = reference.Settings(variant=variant)
        params = OPERA.Params(variant=variant)
        mass = attention[:, -1, image].sum(-1)
        phi, column = OPERA(params).penalty(attention[:, start:, start:], mass)
        wanted = [reference.penalty(one, image, start, settings) for one in attention]
        assert phi.tolist() == pytest.approx([value for value, _ in wanted])
        assert column.tolist() == [at for _, at in wanted]
