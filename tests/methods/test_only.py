"""ONLY: the heads that are kept and the two ways of joining by hand, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import MllamaConfig

from halluc.errors import UserError
from halluc.methods._textual_heads import entropy, textual, without_outliers
from halluc.methods.only import ONLY, joined
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import build, llava


def rows(*heads: list[float]) -> Tensor:
    """Weights [1, H, 1, K]."""
    return torch.tensor(heads)[None, :, None]


def keys(*marks: int) -> Tensor:
    return torch.tensor(marks).bool()[None, None, None]


def test_outliers_by_hand() -> None:
    # Mean .2, variance (3 * .01 + .09) / 3 = .04: what exceeds .4 is zeroed.
    found = without_outliers(rows([0.1, 0.1, 0.1, 0.5]), keys(1, 1, 1, 1))
    assert found.flatten().tolist() == pytest.approx([0.1, 0.1, 0.1, 0.0])
    # Mean .333, variance (.111 + .004 + .071) / 2 = .093: .639 is not exceeded.
    kept = without_outliers(rows([0.0, 0.4, 0.6]), keys(1, 1, 1))
    assert kept.flatten().tolist() == pytest.approx([0.0, 0.4, 0.6])


def test_outliers_are_those_of_the_group_alone() -> None:
    # Of the first three: mean .2, variance (.01 + .01 + .04) / 2 = .03: .373 is exceeded.
    found = without_outliers(rows([0.1, 0.1, 0.4, 0.4], [0.2, 0.3, 0.2, 0.4]), keys(1, 1, 1, 0))
    assert found[0, 0, 0].tolist() == pytest.approx([0.1, 0.1, 0.0, 0.4])
    # Of [.2, .3, .2]: mean .233, std .058: .291 is exceeded.
    assert found[0, 1, 0].tolist() == pytest.approx([0.2, 0.0, 0.2, 0.4])
    one = without_outliers(rows([0.5, 0.5]), keys(1, 0))
    assert one.flatten().tolist() == [0.5, 0.5]  # one key has no deviation


def test_entropy_by_hand() -> None:
    weights = rows([0.1, 0.1, 0.8], [0.3, 0.1, 0.6])
    # Shares .5 and .5: log 2. Shares .75 and .25: .75 * .287682 + .25 * 1.386294 = .562335
    found = entropy(weights, keys(1, 1, 0))[0, :, 0]
    assert found.tolist() == pytest.approx([0.693147, 0.562335], abs=1e-5)
    assert entropy(weights, keys(0, 0, 0)).isnan().all()


def test_heads_by_hand() -> None:
    image, text = keys(0, 1, 1, 1, 0, 0, 0), keys(0, 0, 0, 0, 1, 1, 1)
    even = [0.125] * 7
    narrow = [0.125, 0.125, 0.125, 0.125, 0.25, 0.25, 0.0]  # log 2 over log 3 = .631
    # The mean of 1 and .631 is .815, so that the second head says nothing.
    found = textual(rows(even, narrow), text, image)[0, :, 0]
    assert torch.equal(found[0], torch.tensor(even))
    assert torch.equal(found[1], torch.zeros(7))
    # Among its equals it stays, the first token too, which is of neither group.
    assert torch.equal(textual(rows(narrow, narrow), text, image)[0, 0, 0], torch.tensor(narrow))


def test_heads_that_see_no_image_are_removed() -> None:
    image, text = keys(1, 1, 0, 0), keys(0, 0, 1, 1)
    blind, seeing = [0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 0.25, 0.25]
    found = textual(rows(blind, seeing), text, image)[0, :, 0]
    assert torch.equal(found, torch.tensor([[0.0] * 4, seeing]))
    # A head without text has ratio 0, too.
    mute = [0.5, 0.5, 0.0, 0.0]
    assert torch.equal(textual(rows(mute, seeing), text, image)[0, 0, 0], torch.zeros(4))
    # A prompt without an image: all have ratio 0, and none is below the mean.
    assert torch.equal(textual(rows(seeing, blind), text, keys(0, 0, 0, 0))[0, 0, 0, 2:] > 0,
                       torch.tensor([True, True]))  # fmt: skip


def test_the_two_ways_by_hand() -> None:
    main, other = torch.tensor([[0.5, 0.3, 0.2]]).log(), torch.tensor([[0.45, 0.35, 0.2]]).log()
    # |.5 - .45| + |.3 - .35| + 0 = .1, not below .09: 2 l - l'
    apart = joined(main, other, 0.09, 3.0, 1.0)
    # 2 log .5 - log .45 = -.587787, 2 log .3 - log .35 = -1.358123, log .2 = -1.609438
    assert apart[0].tolist() == pytest.approx([-0.587787, -1.358123, -1.609438], abs=1e-5)
    # below .11: l + 3 l' = -.693147 - 2.395523, -1.203973 - 3.149466, 4 log .2
    alike = joined(main, other, 0.11, 3.0, 1.0)
    assert alike[0].tolist() == pytest.approx([-3.088670, -4.353439, -6.437752], abs=1e-5)
    both = joined(torch.cat([main, main]), torch.cat([main, other]), 0.05, 3.0, 1.0)
    assert torch.allclose(both[0], 4 * main[0])  # each row has a distance of its own
    assert torch.allclose(both[1], apart[0])
    assert torch.allclose(joined(main, other, 0.0, 3.0, 2.0), 3 * main - 2 * other)


def test_defaults() -> None:
    params = ONLY.resolve(ONLY.Params(), llava())
    assert (params.collaborate, params.contrast) == (3.0, 1.0)
    assert (params.gamma, params.beta) == (0.1, 0.1)
    assert ONLY(params).layers(32) == (0, 31)


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("gemma3", "goes through the second half of the last layer"),
        ("qwen3_5", "reads the attention of layer 0 again"),
    ],
)
def test_layers_built_otherwise_are_refused(family: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"method 'only' {reason}"):
        prepared("only", build(family))


def test_layers_of_their_own_for_the_image_are_refused() -> None:
    with pytest.raises(UserError, match="'some/model' has layers for the image alone"):
        ONLY.requires(ONLY.Params(), MllamaConfig(), "some/model")


@pytest.mark.parametrize("beams", [1, 3])
def test_no_row_is_read_but_the_last(beams: int) -> None:
    model = llava()
    method = prepared("only", model, gamma=0.7)
    together = answer(model, method, questions(model, 0, 1), beams)
    for row in (0, 1):
        alone = answer(model, method, questions(model, row), beams)
        finite = alone.logits[0].isfinite()
        assert torch.equal(together.logits[row].isfinite(), finite)
        assert torch.allclose(together.logits[row][finite], alone.logits[0][finite], atol=1e-4)
