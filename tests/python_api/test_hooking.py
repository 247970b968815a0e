"""A method on a model that other code calls: `halluc.intervene`."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import halluc
from halluc.errors import UserError
from halluc.interventions import REGISTRY
from halluc.interventions.attention_switch import SeamError
from halluc.python_api.hooking import HOOKS
from halluc.python_api.loaded_model import LoadedModel
from halluc.testing import batch_of_questions, reply
from tests.kit.asking import QUESTIONS, prepared
from tests.kit.families import picture
from tests.python_api.kit import loaded

HOOKED = [name for name in REGISTRY.names() if {*REGISTRY.get(name).declared()} <= {*HOOKS}]
HOOKED.remove("projectaway")  # it asks about the image, see below
FEW = 6


class Echo(halluc.Method):
    """Shifts the residual stream by what each row has said so far."""

    name = "echo"

    def hidden(self, at: halluc.At, hidden: torch.Tensor) -> torch.Tensor | None:
        if at.step == 0:
            return None
        return hidden + 2 * at.generated.sum(1).sin()[:, None, None]


@pytest.fixture(scope="module")
def m() -> LoadedModel:
    model = loaded()
    model.ask(picture(0), QUESTIONS[0], max_new_tokens=1)  # transformers sets hooks of its own once
    return model


def generated(m: LoadedModel, prompts: list[str], **options: Any) -> list[str]:
    """Ask as somebody who only knows transformers."""
    inputs = m.encode(picture(0), prompts)
    tokens = m.model.generate(**inputs, max_new_tokens=FEW, do_sample=False, **options)
    new = tokens[:, inputs["input_ids"].shape[1] :]
    return [t.strip() for t in m.processor.batch_decode(new, skip_special_tokens=True)]


def state(m: LoadedModel) -> tuple[Any, ...]:
    """What has to be the same afterwards."""
    weights = {name: value.data_ptr() for name, value in m.model.named_parameters()}
    kernels = [m.here.attention_of(part) for part in ("text", "vision")]
    return m.here.n_hooks, kernels, weights, "generate" in vars(m.model)


@pytest.mark.parametrize("name", HOOKED)
def test_generate_writes_what_ask_replies(m: LoadedModel, name: str) -> None:
    prepared(name, m.here)  # or skip
    before = state(m)
    with halluc.intervene(m, name):
        found = generated(m, [*QUESTIONS])
    wanted = m.ask(picture(0), QUESTIONS, name, max_new_tokens=FEW)
    assert found == [said.text for said in wanted]
    assert state(m) == before


def test_a_method_that_asks_about_the_image_is_refused(m: LoadedModel) -> None:
    before = state(m)
    with (
        pytest.raises(UserError, match=r"'projectaway' needs more than hooks .it asks the model"),
        halluc.intervene(m, "projectaway"),
    ):
        generated(m, [QUESTIONS[0]])
    assert state(m) == before


def test_a_pass_without_a_cache_is_edited(m: LoadedModel) -> None:
    vhr = prepared("vhr", m.here)
    inputs = m.encode(picture(0), QUESTIONS[0])
    asked = batch_of_questions(QUESTIONS[:1], [picture(0)])
    wanted = reply(m.here, vhr, asked).logits
    with torch.no_grad():
        plain = m.model(**inputs).logits[:, -1]
        with halluc.intervene(m, "vhr"):
            edited = m.model(**inputs, use_cache=False).logits[:, -1]
            bare = {key: inputs[key] for key in ("input_ids", "pixel_values")}
            unmasked = m.model(**bare).logits[:, -1]  # all tokens count where no mask is given
    assert torch.allclose(edited, wanted, atol=1e-4) and torch.allclose(unmasked, wanted, atol=1e-4)
    assert not torch.allclose(plain, wanted, atol=1e-4)


def test_every_prompt_begins_a_batch(m: LoadedModel) -> None:
    with halluc.intervene(m, "var", keep=0.1):
        first = generated(m, [QUESTIONS[0]])
        both = generated(m, [*QUESTIONS])
    wanted = m.ask(picture(0), QUESTIONS, "var", keep=0.1, max_new_tokens=FEW)
    assert first == [wanted[0].text] and both == [said.text for said in wanted]


def test_beams_are_followed(m: LoadedModel) -> None:
    prompts, beams = [*QUESTIONS], {"num_beams": 4}
    wanted = m.ask(picture(0), prompts, Echo, max_new_tokens=FEW, decoding=beams)
    with halluc.intervene(m, Echo):
        assert generated(m, prompts, **beams) == [said.text for said in wanted]
    plain = m.ask(picture(0), prompts, max_new_tokens=FEW, decoding=beams)
    assert [said.text for said in plain] != [said.text for said in wanted]


@pytest.mark.parametrize("name", ["var", "nullu", "vti"])
def test_an_exception_restores_the_model(m: LoadedModel, name: str) -> None:
    prepared(name, m.here)
    before = state(m)

    def broken() -> None:
        with halluc.intervene(m, name):
            generated(m, [QUESTIONS[0]])
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert state(m) == before
    assert m.ask(picture(0), QUESTIONS[0], max_new_tokens=1).tokens


@pytest.mark.parametrize("name", ["vcd", "opera", "recheck", "pba", "dola", "var+vcd"])
def test_a_method_that_needs_more_than_hooks_is_refused(m: LoadedModel, name: str) -> None:
    before = state(m)
    with pytest.raises(UserError) as refusal, halluc.intervene(m, name):
        pass
    (line,) = str(refusal.value).splitlines()
    assert "needs more than hooks" in line and f"m.ask(image, prompt, method={name!r})" in line
    assert state(m) == before


def test_one_method_acts_at_a_time(m: LoadedModel) -> None:
    with halluc.intervene(m, "var"):
        with (
            pytest.raises(UserError, match=r"join methods by \+, as in 'var\+vhr'"),
            halluc.intervene(m, "vhr"),
        ):
            pass
        with pytest.raises(UserError, match=r"m\.ask inside halluc\.intervene"):
            m.ask(picture(0), QUESTIONS[0])
    with halluc.intervene(m, "vhr+var"):
        found = generated(m, [QUESTIONS[0]])
    assert found == [m.ask(picture(0), QUESTIONS[0], "vhr+var", max_new_tokens=FEW).text]


def test_a_generate_of_somebody_else_is_put_back(m: LoadedModel) -> None:
    m.model.generate = theirs = m.model.generate
    try:
        with halluc.intervene(m, "var"):
            assert m.model.generate is not theirs
        assert m.model.generate is theirs
    finally:
        del m.model.generate


def test_a_seam_that_is_never_called_is_told(m: LoadedModel) -> None:
    class Nowhere(halluc.Method):
        """Waits for a phase that never comes."""

        name = "nowhere"
        hidden_phases = ()

        def hidden(self, at: halluc.At, hidden: torch.Tensor) -> None:
            raise AssertionError

    before = state(m)
    acting = halluc.intervene(m, Nowhere)
    acting.__enter__()
    generated(m, [QUESTIONS[0]])
    with pytest.raises(SeamError, match="bound to nothing"):
        acting.__exit__(None, None, None)
    assert state(m) == before


def test_nothing_happens_where_the_model_is_not_called(m: LoadedModel) -> None:
    before = state(m)
    with halluc.intervene(m, "var"):
        assert m.here.n_hooks == before[0] + 1
    assert state(m) == before
    assert "var" in HOOKED and "vcd" not in HOOKED


def test_a_prompt_given_as_embeddings_is_refused(m: LoadedModel) -> None:
    inputs = m.encode(picture(0), QUESTIONS[0])
    embedded = m.model.get_input_embeddings()(inputs["input_ids"])
    with (
        pytest.raises(UserError, match="called without input_ids"),
        halluc.intervene(m, "var"),
    ):
        m.model(inputs_embeds=embedded, attention_mask=inputs["attention_mask"])
