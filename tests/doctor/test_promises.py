"""Each promise is kept by a sound model, and broken by one that is unsound in that way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.doctor import PROMISES, check, probe, promises
from halluc.doctor.method_fit import fit
from halluc.doctor.probes import Identity, LooksAway, NoSeam
from halluc.interventions import At, Batch, Method, MethodParams
from halluc.methods.baseline import Baseline
from halluc.methods.flowcut import FlowCut
from halluc.methods.var import VAR
from halluc.models import VisionLanguageModel
from tests.kit.families import FAMILIES, build, llava, picture

QUESTIONS = ("is there a dog ?", "please describe this image is there a car in the image ?")


@pytest.fixture
def model() -> VisionLanguageModel:
    return llava()


def asked(model: VisionLanguageModel) -> Batch:
    return probe(model, QUESTIONS, [picture(0), picture(1)])


def status(name: str, model: VisionLanguageModel) -> str:
    return check(PROMISES[name], model, asked(model)).status


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_keeps_them(family: str) -> None:
    model = build(family)
    questions = asked(model)
    checks = {name: check(promise, model, questions) for name, promise in PROMISES.items()}
    assert not {name: one.measured for name, one in checks.items() if one.status != "kept"}


def test_a_model_that_answers_differently_every_time(model: VisionLanguageModel) -> None:
    torch.manual_seed(0)
    model.model.lm_head.register_forward_hook(lambda m, i, out: out + torch.randn_like(out))
    assert status("no seam changes nothing", model) == "broken"
    assert status("leaving restores the model", model) == "broken"


def test_not_a_number_is_broken(model: VisionLanguageModel) -> None:
    with torch.no_grad():
        model.model.lm_head.weight.fill_(torch.nan)
    for name in ("no seam changes nothing", "identity gives stock logits", "an edit is felt"):
        assert status(name, model) == "broken"


class Damps(Identity):
    """Nearly the identity."""

    def head_gain(self, at: At, outputs: Tensor) -> Tensor:
        return outputs.new_full((1, 1), 0.9)


def test_an_engine_whose_identity_is_none(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promises, "Identity", Damps)
    assert status("identity gives stock logits", model) == "broken"
    monkeypatch.setattr(promises, "Identity", LooksAway)
    assert status("greedy decoding is stock", model) == "broken"
    assert status("three beams are stock", model) == "broken"


def test_an_edit_that_goes_nowhere(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promises, "LooksAway", NoSeam)
    assert status("an edit is felt", model) == "broken"


def test_a_method_that_leaves_something_behind(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scribbles(LooksAway):
        def attention_logits(self, at: At, logits: Tensor) -> Tensor:
            model.model.lm_head.weight.data[0, 0] += 1
            return super().attention_logits(at, logits)

    class Hooks(LooksAway):
        def attention_logits(self, at: At, logits: Tensor) -> Tensor:
            model.model.lm_head.register_forward_hook(lambda m, i, out: None)
            return super().attention_logits(at, logits)

    for cls in (Scribbles, Hooks):
        monkeypatch.setattr(promises, "LooksAway", cls)
        assert status("leaving restores the model", model) == "broken"


def test_a_model_that_sees_padding(model: VisionLanguageModel) -> None:
    def blind(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        mask = kwargs["attention_mask"]
        return args, kwargs | {"attention_mask": torch.ones_like(mask)}

    model.model.register_forward_pre_hook(blind, with_kwargs=True)
    assert status("left padding changes nothing", model) == "broken"


def test_an_edit_that_depends_on_its_company(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FirstRow(LooksAway):
        def attention_logits(self, at: At, logits: Tensor) -> Tensor:
            edited = logits.clone()
            edited[:1] = super().attention_logits(at, logits)[:1]
            return edited

    monkeypatch.setattr(promises, "LooksAway", FirstRow)
    assert status("batches change no edit", model) == "broken"


def test_other_tokens_than_the_image_s(model: VisionLanguageModel) -> None:
    batch = asked(model)
    model.model.config.image_token_id = model.processor.tokenizer.convert_tokens_to_ids("dog")
    checked = check(PROMISES["image tokens match features"], model, batch)
    assert checked.status == "broken"
    assert "0 tokens, 16 features" in checked.measured


def test_tokens_are_not_compared_where_rounding_may_change_them() -> None:
    model = llava()
    model.model.to(torch.bfloat16)
    assert status("greedy decoding is stock", model) == "skipped"
    assert status("identity gives stock logits", model) == "kept"


def test_what_cannot_be_checked_is_broken(model: VisionLanguageModel) -> None:
    other = replace(model, processor=None)
    checked = check(PROMISES["left padding changes nothing"], other, asked(model))
    assert checked.status == "broken"
    assert "AttributeError" in checked.measured


class TestFits:
    def test_a_method_applies_or_says_why_not(self, model: VisionLanguageModel) -> None:
        assert fit(Baseline, model, asked(model)).status == "applies"
        assert fit(VAR, model, asked(model)).status == "applies"
        model.model.config.vision_config.model_type = "siglip_vision_model"
        refused = fit(FlowCut, model, asked(model))
        assert refused.status == "refused"
        assert "has no CLS token" in refused.reason

    def test_a_method_that_breaks_is_no_refusal(self, model: VisionLanguageModel) -> None:
        class Breaks(Method):
            name = "breaks"

            def attention_logits(self, at: At, logits: Tensor) -> Tensor:
                raise IndexError("no such head")

        broken = fit(Breaks, model, asked(model))
        assert (broken.status, broken.reason) == ("fails", "IndexError: no such head")

    def test_a_method_without_layers_is_refused(self, model: VisionLanguageModel) -> None:
        class Nowhere(LooksAway):
            name = "nowhere"

            def __init__(self, params: MethodParams) -> None:
                super().__init__(params)

            def layers(self, n_layers: int) -> range:
                return range(0)

        found = fit(Nowhere, model, asked(model))
        assert found.status == "refused"
        assert "'nowhere' acts in layers none" in found.reason
