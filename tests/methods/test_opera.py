"""OPERA's penalty, its roll-back rules and its record of attention by hand; beam search without."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding.generation import generate
from halluc.errors import UserError
from halluc.interventions import At, Batch, Method
from halluc.interventions.beam_search import Beams, Options, Step
from halluc.interventions.compose import _composite
from halluc.methods import _over_trust, opera
from halluc.methods._over_trust import Recorded, over_trust, summary_in_code, summary_in_paper
from halluc.methods.opera import OPERA
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import build, llava

OFF: dict[str, Any] = {"alpha": 0.0, "threshold": None}
A = torch.tensor(
    [
        [0.10, 0.90, 0.90, 0.90],  # what lies above the diagonal is not looked at
        [0.04, 0.02, 0.90, 0.90],
        [0.06, 0.01, 0.05, 0.90],
        [0.08, 0.03, 0.02, 0.04],
    ]
)


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


def method(**params: Any) -> OPERA:
    return OPERA(OPERA.Params(**params))


@pytest.mark.parametrize(
    ("window", "phi", "column"), [(9, 120.0, 0), (4, 120.0, 0), (3, 2.5, 2), (2, 2.5, 2), (1, 2, 3)]
)
def test_phi_is_the_largest_product_down_a_column(window: int, phi: float, column: int) -> None:
    # times 50: [[5], [2, 1], [3, .5, 2.5], [4, 1.5, 1, 2]]: products 120, .75, 2.5, 2
    found, where = over_trust(A[None], 50.0, window)
    assert found.tolist() == [pytest.approx(phi)] and where.tolist() == [column]
    assert found.dtype == torch.float64


def test_the_scale_multiplies_each_entry() -> None:
    found, where = over_trust(A[None], 10.0, 9)  # .8 * .6 * .4 * 1, .3 * .1 * .2, .2 * .5, .4
    assert found.tolist() == [pytest.approx(0.4)] and where.tolist() == [3]


def test_each_row_has_its_own_phi_and_the_first_of_equal_columns_counts() -> None:
    twin = torch.tensor([[0.5, 0.0], [0.5, 0.5]])  # both products are 1
    zero = torch.tensor([[0.5, 0.0], [0.0, 1.0]])
    found, where = over_trust(torch.stack([twin, zero]), 2.0, 9)
    assert found.tolist() == [1.0, pytest.approx(2.0)] and where.tolist() == [0, 1]


def test_a_product_too_large_for_a_float_stays_a_number() -> None:
    found, where = over_trust(torch.ones(1, 500, 500), 50.0, 512)
    assert found.isfinite().all() and float(found) > 1e300 and where.tolist() == [0]


def test_the_paper_takes_phi_as_it_is() -> None:
    phi, column = method().penalty(A[None], torch.tensor([0.5]))
    assert phi.tolist() == [pytest.approx(120.0)] and column.tolist() == [0]
    phi, column = method(window=2).penalty(A[None], torch.tensor([0.5]))
    assert phi.tolist() == [pytest.approx(2.5)] and column.tolist() == [2]


def test_the_code_rewards_the_image_in_ten_tokens_then_scales_phi() -> None:
    code = method(variant="official_code", window=2)
    image = torch.tensor([0.3 + 0.2])
    for size in (4, 10):
        omega = torch.eye(size)[None].clone()
        omega[0, :4, :4] = A
        phi, column = code.penalty(omega, image)
        assert phi.tolist() == [pytest.approx(-0.5)]
    assert code.penalty(A[None], image)[1].tolist() == [0]  # the column is still phi's
    long = torch.full((1, 11, 11), 0.02)
    long[0, 4:, 0] = 0.06
    phi, column = code.penalty(long, image)  # 3 ** 7, whatever the window
    assert phi.tolist() == [pytest.approx(1e-7 * 3**7)] and column.tolist() == [0]
    assert method().penalty(torch.full((1, 4, 4), 0.02), image)[0].tolist() == [pytest.approx(1.0)]


def test_the_codes_summary_needs_more_than_the_threshold_in_every_beams_history() -> None:
    one, other = [0, 1, 1] + [11] * 16, [0, 0, 2] + [11] * 16
    steps = [list(pair) for pair in zip(one, other, strict=True)]
    assert summary_in_code(steps, 15) == 11
    assert summary_in_code(steps, 16) is None
    fewer = [list(pair) for pair in zip(one, [0, 0, 2, 3, *[11] * 15], strict=True)]
    assert summary_in_code(fewer, 15) is None
    assert summary_in_code([[10]] + [[10, 10]] * 16, 15) == 10
    assert summary_in_code([[9, 9]] * 30, 15) is None  # never before the eleventh token


def test_the_codes_summary_is_the_mode_of_the_newest_step() -> None:
    steps = [[11, 12, 12]] * 20
    assert summary_in_code(steps, 15) is None  # 12, which the first beam never had
    steps = [[12, 12, 12]] * 20
    assert summary_in_code([*steps, [13, 12, 13]], 15) is None
    assert summary_in_code([*steps, [13, 12, 12]], 15) == 12
    assert summary_in_code([*steps, [13, 12]], 15) == 12  # the smaller of equals
    # of one beam at the first step there are as many copies as are looked at
    assert summary_in_code([[11], *[[11, 11]] * 15], 15) == 11
    assert summary_in_code([[3], *[[11, 11]] * 15], 15) is None


@pytest.mark.parametrize(
    ("histories", "r", "earlier", "found"),
    [
        ([[1, 3, 3], [3, 3, 0]], 2, 0, 3),
        ([[1, 3, 3], [3, 3, 0]], 3, 0, None),  # not often enough
        ([[3, 3, 3], [3, 3, 0]], 3, 0, None),  # not in each
        ([[3, 3, 1], [1, 1, 3]], 2, 0, None),  # beams do not agree
        ([[3, 1, 3, 1, 0], [1, 1]], 2, 0, 1),  # the smaller of equals
        ([[3, 3], [3, 3]], 2, 3, 3),
        ([[3, 3], [3, 3]], 2, 4, None),  # never before the last summary
        ([[], []], 2, 0, None),
        ([[0, 0]], 2, 0, 0),
    ],
)
def test_the_papers_summary(
    histories: list[list[int]], r: int, earlier: int, found: int | None
) -> None:
    assert summary_in_paper(histories, r, earlier) == found


def where(step: int, image: Tensor, state: Recorded) -> Any:
    return SimpleNamespace(step=step, image_columns=image, state=state)


def test_the_record_takes_the_largest_head_then_divides_by_all_keys() -> None:
    # two heads over an image token, another token of the prompt, and the first generated one
    weights = torch.tensor([[[[0.6, 0.3, 0.1]], [[0.1, 0.3, 0.6]]]])
    image = torch.tensor([[True, False, False]])
    state, record = Recorded(), method()
    assert record.attention_weights(where(1, image, state), weights) is weights
    assert state.omega is not None and state.image is not None
    assert state.omega.flatten().tolist() == pytest.approx([0.4])
    assert state.image.tolist() == pytest.approx([0.4])
    weights = torch.tensor([[[[0.0, 0.2, 0.3, 0.5]]]])
    record.attention_weights(where(2, torch.tensor([[1, 0, 0, 0]]).bool(), state), weights)
    assert state.omega.flatten().tolist() == pytest.approx([0.4, 0, 0.3, 0.5])
    assert state.image.tolist() == [0.0]


def test_the_record_forgets_what_was_taken_back() -> None:
    state, record, nothing = Recorded(), method(), torch.zeros(1, 5).bool()
    for step, last in ((1, 0.1), (2, 0.2), (3, 0.3), (2, 0.4)):
        row = torch.full((1, 1, 1, 5), (1 - last) / 4)
        row[..., -1] = last
        record.attention_weights(where(step, nothing, state), row)
    assert state.omega is not None
    assert state.omega[0].tolist() == [pytest.approx([0.1, 0]), pytest.approx([0.15, 0.4])]
    record.attention_weights(where(0, nothing, state), torch.ones(1, 1, 3, 5))  # the prompt
    assert state.omega.shape == (1, 2, 2)


def test_tokens_that_left_a_sliding_window_have_no_attention() -> None:
    state = Recorded(torch.ones(1, 2, 2), torch.zeros(1))
    method().attention_weights(
        where(3, torch.zeros(1, 2).bool(), state), torch.tensor([[[[0.25, 0.75]]]])
    )
    assert state.omega is not None and state.omega[0, 2].tolist() == [0.0, 0.25, 0.75]


def test_the_record_follows_forks() -> None:
    state = Recorded(torch.arange(2.0).view(2, 1, 1), torch.tensor([5.0, 6.0]))
    moved = method().reorder(state, torch.tensor([1, 0, 1]))
    assert moved.omega is not None and moved.image is not None
    assert moved.omega.flatten().tolist() == [1, 0, 1] and moved.image.tolist() == [6, 5, 6]
    assert method().reorder(Recorded(), torch.tensor([0, 0])) == Recorded()


def test_defaults_are_the_papers() -> None:
    found = OPERA.Params().model_dump()
    assert found == {
        "variant": "paper", "num_beams": 5, "n_can": 5, "alpha": 1.0, "scale": 50.0, "window": 512,
        "threshold": 15, "most": None,
    }  # fmt: skip
    assert (opera.REWARDED, _over_trust.FIRST) == (10, 10)
    assert list(method().layers(7)) == [6] and OPERA.rows == "last"
    with pytest.raises(UserError, match="threshold"):
        OPERA.parameters({"threshold": 1})  # the code restores a wrong state there


@pytest.mark.parametrize(
    ("variant", "given", "most"),
    [("paper", None, 5), ("official_code", None, 3), ("paper", 2, 2), ("official_code", 2, 2)],
)
def test_how_often_and_how_a_place_is_chosen_anew(
    variant: str, given: int | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(opera, "Retries", lambda *settings: made.append(settings))
    monkeypatch.setattr(opera, "search_beams", lambda *rest: [])
    loop: Any = SimpleNamespace(beams=1)
    method(variant=variant, most=given, n_can=3).search(loop)
    paper = variant == "paper"
    assert made == [(most, not paper, paper)]


@pytest.mark.parametrize(("beams", "width"), [(1, 4), (2, 2), (3, 3)])
def test_the_runs_beams_come_first(beams: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opera, "search_beams", lambda loop, n, *rest: [n])
    loop: Any = SimpleNamespace(beams=beams)
    assert method(num_beams=4).search(loop) == [width]


def scripted(monkeypatch: pytest.MonkeyPatch, **params: Any) -> Any:
    """What the search is told to do about a history, and what it then asks for."""
    kept: list[Any] = []
    asked: list[int] = []

    class Noting:
        def __init__(self, *settings: Any) -> None: ...

        def go_back(self, loop: Any, steps: Any, token: int) -> Options | None:
            asked.append(token)
            return SimpleNamespace() if params.get("agrees", True) else None  # type: ignore[return-value]

    monkeypatch.setattr(opera, "Retries", Noting)
    monkeypatch.setattr(opera, "search_beams", lambda loop, n, look, back: kept.append(back))
    loop: Any = SimpleNamespace(beams=1)
    method(**{key: value for key, value in params.items() if key != "agrees"}).search(loop)
    return kept[0], asked


def beams_of(*marks: tuple[int, ...]) -> list[Step]:
    options = Options(torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([[11, 12, 12]]))
    running: Any = [SimpleNamespace(marks=own) for own in marks]
    return [Step(Beams(running, []), options)]


def test_the_paper_looks_at_each_beams_last_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    back, asked = scripted(monkeypatch, threshold=2, window=3)
    assert back(beams_of((4, 4, 1, 1, 4), (1, 1, 1))) is not None and asked == [1]
    assert (
        back(
            beams_of(
                (0, 0, 0),
            )
        )
        is None
    )  # 0 is before 1
    assert back(
        beams_of(
            (1, 2, 2),
        )
    ) is not None and asked == [1, 2]
    assert (
        back(
            beams_of(
                (1, 1, 1),
            )
        )
        is None
    )


def test_a_roll_back_that_did_not_happen_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    back, asked = scripted(monkeypatch, threshold=2, agrees=False)
    assert back(beams_of((5, 5))) is None and back(beams_of((1, 1))) is None
    assert asked == [5, 1]


def test_without_a_threshold_nothing_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    back, asked = scripted(monkeypatch, threshold=None)
    assert back(beams_of((5,) * 99)) is None and asked == []


def test_the_codes_location_is_the_mode_over_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    back, asked = scripted(monkeypatch, threshold=2, variant="official_code")
    assert back(beams_of((1,)) * 2) is None
    assert back(beams_of((1,)) * 3) is not None and asked == [12]


@pytest.mark.parametrize("beams", [1, 2, 3, 5])
@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test_without_penalty_it_is_transformers_beam_search(name: str, beams: int) -> None:
    model = build(name)
    for row in (0, 1):
        batch = questions(model, row)
        stock = answer(model, prepared("baseline", model), batch, beams, tokens=10)
        plain = prepared("opera", model, num_beams=beams, n_can=10**6, **OFF)
        assert answer(model, plain, batch, tokens=10).tokens.tolist() == stock.tokens.tolist()
        if beams > 1:
            again = answer(model, prepared("opera", model, n_can=10**6, **OFF), batch, beams, 10)
            assert again.tokens.tolist() == stock.tokens.tolist()


@pytest.mark.parametrize("name", ["gemma3", "instructblip", "paligemma"])
def test_at_no_op_every_kind_of_cache_gives_greedy_answers(name: str) -> None:
    model = build(name)
    batch = questions(model, 0)
    stock = answer(model, prepared("baseline", model), batch)
    silent = answer(model, prepared("opera", model, **OPERA.noop), batch)
    assert silent.tokens.tolist() == stock.tokens.tolist()
    assert torch.allclose(silent.logits, stock.logits, atol=1e-4)


def test_a_last_layer_without_self_attention_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="'opera' acts in layers 3; the attention of 'tiny-mllama'"):
        prepared("opera", build("mllama"))


def test_first_logits_are_the_models_own_and_each_candidate_costs_a_pass() -> None:
    endless = llava()
    endless.model.generation_config.eos_token_id = []
    batch = questions(endless, 0)
    given = {"num_beams": 2, "n_can": 3, "threshold": None}
    made = answer(endless, prepared("opera", endless, **given), batch, tokens=3)
    stock = answer(endless, prepared("baseline", endless), batch, tokens=3)
    assert torch.allclose(made.logits, stock.logits, atol=1e-5)
    assert made.passes == [1 + 3 + 2 * 3 + 2 * 3]


def test_one_candidate_is_greedy(model: VisionLanguageModel) -> None:
    batch = questions(model, 0)
    fast = prepared("opera", model, n_can=1, threshold=None)
    stock = answer(model, prepared("baseline", model), batch)
    assert answer(model, fast, batch).tokens.tolist() == stock.tokens.tolist()


class Blind(Method):
    """Decodes a second stream, and leaves the first as it is."""

    name = "blind"
    noop = {"": ""}

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Mapping[str, Any]]:
        return {"blind": model.without_image(batch.inputs)}

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        return logits["main"]


class Other(Method):
    """Searches, too."""

    name = "other"

    def search(self, loop: Any) -> list[int]:
        return [7]


@pytest.mark.parametrize("variant", ["paper", "official_code"])
def test_further_streams_do_not_disturb_it(variant: str, model: VisionLanguageModel) -> None:
    batch = questions(model, 0)
    given = {"variant": variant, "num_beams": 2, "n_can": 2, "threshold": 2}
    alone = answer(model, prepared("opera", model, **given), batch, tokens=10)
    both = _composite("blind+opera", (Blind, OPERA))
    made = answer(model, both.for_model(model, {"opera": given}), batch, tokens=10)
    assert made.tokens.tolist() == alone.tokens.tolist()
    assert made.passes == [2 * alone.passes[0]]


def test_with_other_methods(model: VisionLanguageModel) -> None:
    batch = questions(model, 0)
    silent = {f"opera.{key}": value for key, value in OPERA.noop.items()}
    vhr = answer(model, prepared("vhr", model), batch)
    both = answer(model, prepared("vhr+opera", model, **silent), batch)
    assert both.tokens.tolist() == vhr.tokens.tolist()
    given = {"num_beams": 2, "n_can": 2, "threshold": 2}
    alone = answer(model, prepared("opera", model, **given), batch, tokens=10)
    still = prepared("vhr+opera", model, vhr={"gain": 1.0}, opera=given)
    assert answer(model, still, batch, tokens=10).tokens.tolist() == alone.tokens.tolist()


def test_two_searches_are_refused_by_name(model: VisionLanguageModel) -> None:
    with pytest.raises(UserError, match="opera and other cannot be combined; each has a search"):
        _composite("opera+other", (OPERA, Other)).for_model(model)


def test_sampling_is_refused_by_name(model: VisionLanguageModel) -> None:
    with pytest.raises(UserError, match="'opera' searches; leave out do_sample"):
        generate(
            model, prepared("opera", model), questions(model, 0), DecodingConfig(do_sample=True),
            max_new_tokens=2,
        )  # fmt: skip


def test_the_fast_variant_has_one_candidate_unless_it_is_told_otherwise(
    model: VisionLanguageModel,
) -> None:
    def resolved(**params: Any) -> tuple[str, int, int | None]:
        found = OPERA.resolve(OPERA.Params(**params), model)
        return found.variant, found.n_can, found.threshold

    assert resolved(variant="fast") == ("fast", 1, 25)
    assert resolved(variant="fast", threshold=None) == ("fast", 1, None)
    assert resolved(variant="fast", n_can=2) == ("fast", 2, 25)
    assert resolved(variant="official_code") == ("official_code", 5, 15)
    assert resolved() == ("paper", 5, 15)


def test_the_fast_variant_reads_a_token_a_pass(model: VisionLanguageModel) -> None:
    """One beam runs, with one candidate; it costs what greedy search does."""
    batch = questions(model, 0)
    greedy = answer(model, prepared("baseline", model), batch, tokens=8)
    fast = answer(model, prepared("opera", model, variant="fast"), batch, tokens=8)
    assert fast.tokens.tolist() == greedy.tokens.tolist()
    assert fast.passes[0] <= greedy.passes[0] + 1
