"""One layer of each family, worked out by hand: what a method makes of it is its pure function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import log
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.errors import UserError
from halluc.interventions import REGISTRY, At, Method
from halluc.interventions.attention import EditedAttention
from halluc.methods._image_emphasis import emphasise
from halluc.methods._sinks import redistribute, sink_tokens
from halluc.methods.paint import PAINT
from halluc.methods.zerotuning import ZeroTuning
from halluc.models import VisionLanguageModel
from tests.kit import families
from tests.kit.asking import logits_after, questions_about_shapes
from tests.kit.families import FAMILIES, image_layers

build = cache(families.build)


@dataclass
class Call:
    """One call of the attention function: what went in, what came out, [B, Q, H, d]."""

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scaling: float
    softcap: float | None
    output: Tensor


class PAI(Method):
    """PAI's boost: image columns by a share of their logit's size, in the last row."""

    name = "pai"
    rows = "last"
    cross_attention = True

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        return logits + 0.5 * logits.abs() * at.image_columns[:, None, None]


def eager(
    call: Call,
    scores: Callable[[Tensor], Tensor] = lambda x: x,
    weights: Callable[[Tensor], Tensor] = lambda x: x,
) -> Tensor:
    """Attention in full [B, Q, H, d], with its logits and its weights edited on the way."""
    groups = call.query.shape[1] // call.key.shape[1]
    key, value = (x.repeat_interleave(groups, 1) for x in (call.key, call.value))
    logits = call.query @ key.transpose(2, 3) * call.scaling
    if call.softcap is not None:
        logits = call.softcap * (logits / call.softcap).tanh()
    n_rows, n_keys = logits.shape[2:]
    seen = torch.ones(n_rows, n_keys, dtype=torch.bool).tril()
    if call.mask is not None:
        seen = call.mask if call.mask.dtype == torch.bool else call.mask > -1e30
    logits = scores(logits).masked_fill(~seen, -1e30)
    return (weights(logits.softmax(-1)) @ value).transpose(1, 2)


def watch(
    family: str, method: Method, layer: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Call], dict[str, Tensor], Tensor]:
    """Read two prompts; the layer's calls, the inputs, and what entered the layer."""
    model, calls = build(family), list[Call]()
    module = (model.self_attention | model.cross_attention)[layer]
    capped = model.text_attention != "sdpa"  # which has no softcap

    class Watching(EditedAttention):
        def __call__(self, *given: Any, **settings: Any) -> Any:
            output, nothing = super().__call__(*given, **settings)
            attention, query, key, value, mask = given
            if attention is module:
                scaling = settings["scaling"]
                softcap = settings.get("softcap") if capped else None
                calls.append(Call(query, key, value, mask, scaling, softcap, output))
            return output, nothing

    monkeypatch.setattr("halluc.interventions.engine.EditedAttention", Watching)
    inputs, hidden = dict(questions_about_shapes(model, 0, 1).inputs), list[Tensor]()
    hook = model.layers[layer].register_forward_pre_hook(
        lambda _, args, kwargs: hidden.append(args[0] if args else kwargs["hidden_states"]),
        with_kwargs=True,
    )
    logits_after(model, method, inputs)
    hook.remove()
    return calls, inputs, hidden[-1]


def resolved(name: str, family: str, **params: Any) -> Method:
    """The method for this family; skipped where it is refused."""
    try:
        return REGISTRY.get(name).for_model(build(family), params)
    except UserError as refusal:
        pytest.skip(str(refusal))


def layer_of(model: VisionLanguageModel, method: Method) -> int:
    """The last layer a method edits."""
    reached = model.self_attention if not method.cross_attention else image_layers(model)
    return max(set(reached) & set(method.layers(model.n_layers)))


def close(call: Call, expected: Tensor, stock: Tensor, inputs: dict[str, Tensor]) -> None:
    """Rows that are not padding are as expected, which is not what stock attention gives."""
    real = inputs["attention_mask"].bool()
    assert torch.allclose(call.output[real], expected[real], atol=1e-5)
    assert (expected[real] - stock[real]).abs().max() > 1e-4


def image_tokens(model: VisionLanguageModel, inputs: dict[str, Tensor]) -> Tensor:
    is_image: Tensor = inputs["input_ids"] == model.model.config.image_token_id
    return is_image


EVERY = pytest.mark.parametrize("family", FAMILIES)


@EVERY
def test_a_bias_in_proportion_to_the_logit(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, method = build(family), PAI(Method.Params())
    layer = layer_of(model, method)
    (call,), inputs, _ = watch(family, method, layer, monkeypatch)
    boost = image_tokens(model, inputs)[:, None, None] * 0.5
    if layer in model.cross_attention:
        boost = torch.tensor(0.5)

    def last(logits: Tensor) -> Tensor:
        before, row = logits[:, :, :-1], logits[:, :, -1:]
        return torch.cat([before, row * (1 + boost * row.sign())], 2)

    close(call, eager(call, last), eager(call), inputs)


@EVERY
def test_zerotuning(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where a prompt starts with the image, `resolve` refuses; the engine serves it all the same.
    model, method = build(family), ZeroTuning(ZeroTuning.Params(gamma=0.2, last_layer=2))
    (call,), inputs, _ = watch(family, method, layer_of(model, method), monkeypatch)
    first = torch.zeros_like(inputs["attention_mask"], dtype=torch.bool)
    for row, mask in enumerate(inputs["attention_mask"]):
        first[row, int(mask.nonzero()[0])] = True
    expected = eager(call, lambda logits: logits + log(0.2) * first[:, None, None])
    close(call, expected, eager(call), inputs)


@EVERY
def test_vhr(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(family)
    layer = max(image_layers(model))
    method: Any = resolved("vhr", family, layers=(layer,), gain=3.0)
    (chosen, call), inputs, _ = watch(family, method, layer, monkeypatch)
    seen, unseen = eager(chosen)[:, -1].chunk(2)
    if layer in model.cross_attention:
        unseen = torch.zeros_like(seen)
    heads = method.choose(seen, unseen)
    assert heads.any() and not heads.all()
    stock = eager(call)
    close(call, stock * (1 + 2 * heads)[:, None, :, None], stock, inputs)


@EVERY
def test_var(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, own = build(family), {"min_image_mass": 0.0, "rho": 1.0, "sink_dims": (0,), "tau": 1.0}
    layer = layer_of(model, resolved("var", family, **own))
    _, inputs, hidden = watch(family, Method(Method.Params()), layer, monkeypatch)
    image, real = image_tokens(model, inputs), inputs["attention_mask"].bool()
    massive = hidden[..., 0].abs() / (hidden.pow(2).mean(-1) + 1e-6).sqrt()
    tau = float(massive[image].median())  # half of the image tokens are sinks
    method = resolved("var", family, **own | {"tau": tau})
    (call,), *_ = watch(family, method, layer, monkeypatch)
    after = image.flip(1).cumsum(1).flip(1) == 0

    def moved(attention: Tensor) -> Tensor:
        return redistribute(
            attention, sink_tokens(hidden, (0,), tau) & real, image, after & real,
            keep=0.4, rho=1.0, min_image_mass=0.0, without_visual_sinks=True,
        )  # fmt: skip

    close(call, eager(call, weights=moved), eager(call), inputs)


class EveryOther(PAINT):
    """PAINT with image tokens chosen by turns, as most vision towers have no CLS token."""

    vision_layers: tuple[int, ...] = ()

    def _select(self, at: At) -> None:
        image = at.tokens.image_mask
        turn = image.cumsum(1) % 3
        at.state.update(local=image & (turn == 1), summary=image & (turn == 2))


@EVERY
def test_paint(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(family)
    method = EveryOther(EveryOther.Params(alpha=2.0, beta=1.0))
    if model.cross_attention:
        pytest.skip("no image token stands in a prompt")
    (call,), inputs, _ = watch(family, method, layer_of(model, method), monkeypatch)
    image = image_tokens(model, inputs)
    turn, last = image.cumsum(1) % 3, torch.zeros_like(image)
    last[:, -1] = True
    local, summary = image & (turn == 1), image & (turn == 2)
    expected = eager(call, lambda s: emphasise(s, local, summary, last, alpha=2.0, beta=1.0))
    close(call, expected, eager(call), inputs)
