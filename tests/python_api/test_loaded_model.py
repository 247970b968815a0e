"""A loaded model is asked: `m.ask`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import halluc
from halluc.errors import UserError
from halluc.interventions import REGISTRY
from halluc.python_api.loaded_model import LoadedModel
from halluc.testing import batch_of_questions, reply
from tests.kit.asking import QUESTIONS
from tests.kit.fake_endpoint import FakeEndpoint
from tests.kit.families import picture
from tests.python_api.kit import loaded

FEW = 6


@pytest.fixture(scope="module")
def m() -> LoadedModel:
    return loaded()


def written(m: LoadedModel, prompt: str, count: int) -> torch.Tensor:
    """Ids that transformers' own greedy search writes."""
    inputs = m.encode(picture(0), prompt)
    tokens = m.model.generate(**inputs, max_new_tokens=count, do_sample=False)
    found: torch.Tensor = tokens[:, inputs["input_ids"].shape[1] :]
    return found


def test_a_reply_is_what_generate_writes(m: LoadedModel) -> None:
    said = m.ask(picture(0), QUESTIONS[1], max_new_tokens=FEW)
    (text,) = m.processor.batch_decode(written(m, QUESTIONS[1], FEW), skip_special_tokens=True)
    assert said.text == str(said) == text.strip()
    assert said.passes == len(said.tokens)


def test_log_probabilities_are_those_of_a_pass_over_the_whole_answer(m: LoadedModel) -> None:
    said = m.ask(picture(0), QUESTIONS[1], max_new_tokens=FEW)
    tokens = written(m, QUESTIONS[1], FEW)[0]
    inputs = m.encode(picture(0), QUESTIONS[1])
    with torch.no_grad():
        logits = m.model(**m.here.continued(inputs, tokens)).logits[0].float()
    rows = logits[inputs["input_ids"].shape[1] - 1 : -1].log_softmax(-1)
    wanted = rows.gather(1, tokens[:, None])[:, 0].tolist()
    assert said.log_probabilities == pytest.approx(wanted[: len(said.tokens)], abs=1e-4)
    assert [*said.tokens] == [m.processor.tokenizer.decode([t]) for t in tokens[: len(said.tokens)]]


def test_log_probabilities_are_of_what_the_method_makes(m: LoadedModel) -> None:
    vcd = REGISTRY.get("vcd").for_model(m.here)
    said = m.ask(picture(0), QUESTIONS[1], "vcd", max_new_tokens=FEW)
    batch = batch_of_questions([QUESTIONS[1]], [picture(0)], [f"{QUESTIONS[1]} 0"])
    made = reply(m.here, vcd, batch, tokens=FEW)
    first = made.logits[0].log_softmax(-1)[made.tokens[0, 0]]
    assert said.log_probabilities is not None
    assert said.log_probabilities[0] == pytest.approx(first.item(), abs=1e-4)
    assert len(said.log_probabilities) == len(said.tokens)


@pytest.mark.parametrize("method", ["baseline", "vcd"])
def test_several_prompts_get_the_replies_they_get_alone(m: LoadedModel, method: str) -> None:
    prompts = [*QUESTIONS, QUESTIONS[0]]
    together = m.ask(picture(0), prompts, method, max_new_tokens=FEW)
    alone = [m.ask(picture(0), prompt, method, max_new_tokens=FEW) for prompt in QUESTIONS]
    for one, other in zip(together, [*alone, alone[0]], strict=True):
        assert (one.text, one.tokens) == (other.text, other.tokens)
        assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-3)


def test_what_is_drawn_depends_on_the_prompt_and_the_seed_alone(m: LoadedModel) -> None:
    drawn = {"do_sample": True, "seed": 1}
    one, two, again = m.ask(
        picture(0), [*QUESTIONS, QUESTIONS[0]], decoding=drawn, max_new_tokens=FEW
    )
    assert m.ask(picture(0), QUESTIONS[1], decoding=drawn, max_new_tokens=FEW).text == two.text
    assert one.text != again.text  # the same prompt twice is drawn twice
    other = m.ask(picture(0), QUESTIONS[1], decoding=drawn | {"seed": 2}, max_new_tokens=FEW)
    assert other.text != two.text


def test_beams_and_searches_have_no_log_probability_of_each_token(m: LoadedModel) -> None:
    beams = m.ask(picture(0), QUESTIONS[0], decoding={"num_beams": 2}, max_new_tokens=FEW)
    assert beams.log_probabilities is None and beams.tokens
    opera = {"opera": {"num_beams": 2}}
    searched = m.ask(picture(0), QUESTIONS[0], opera, max_new_tokens=FEW)
    assert searched.log_probabilities is None and searched.tokens


def test_yes_and_no_are_the_probabilities_of_the_first_token(m: LoadedModel) -> None:
    said = m.ask(picture(0), QUESTIONS[0], max_new_tokens=1)
    inputs = m.encode(picture(0), QUESTIONS[0])
    with torch.no_grad():
        log_p = m.model(**inputs).logits[0, -1].float().log_softmax(-1)
    assert m.here.yes_no_tokens is not None
    yes, no = (log_p[ids].logsumexp(0).item() for ids in m.here.yes_no_tokens)
    assert [said.yes, said.no] == pytest.approx([yes, no], abs=1e-4)


def test_drafts_and_withheld_answers_are_told(m: LoadedModel) -> None:
    class Shouting(halluc.Method):
        """Revises every answer, and trusts none."""

        name = "shouting"
        withhold_below = 0.5

        def revise(self, batch: halluc.Batch, texts: list[str], ask: object) -> list[str]:
            return [f"{text}!" for text in texts]

        def confidence(self, batch: halluc.Batch, texts: list[str], ask: object) -> list[float]:
            return [0.25] * len(texts)

    said = m.ask(picture(0), QUESTIONS[0], Shouting, max_new_tokens=FEW)
    plain = m.ask(picture(0), QUESTIONS[0], max_new_tokens=FEW)
    assert said.text == f"{plain.text}!" and said.drafts == (plain.text,)
    assert (said.confidence, said.withheld) == (0.25, True)
    assert (plain.confidence, plain.withheld, plain.drafts) == (None, False, ())


def test_a_method_is_prepared_once(m: LoadedModel) -> None:
    assert m.prepared("var", {"keep": 0.4}) is m.prepared({"var": {"keep": 0.4}}, {})
    assert m.prepared("var", {"keep": 0.5}) is not m.prepared("var", {"keep": 0.4})
    assert m.prepared("vhr+var", {}) is m.prepared("vhr+var", {})
    assert m.prepared("vhr+var", {}).name != m.prepared("var+vhr", {}).name


def test_what_cannot_be_asked_is_said_in_one_line(m: LoadedModel) -> None:
    with pytest.raises(UserError, match="decoding: parameter 'max_new_tokens'"):
        m.ask(picture(0), "is there a dog ?", max_new_tokens=0)
    with pytest.raises(
        UserError, match=r"unknown parameter 'temperature'.* \(decoding={'temperature"
    ):
        m.ask(picture(0), "is there a dog ?", method="var", temperature=1.0)
    with pytest.raises(UserError, match=r"unknown parameter 'kep'; did you mean 'keep'\?$"):
        m.ask(picture(0), "is there a dog ?", method="var", kep=1.0)
    with pytest.raises(UserError, match="unknown parameter 'sampel'"):
        m.ask(picture(0), "is there a dog ?", decoding={"sampel": True})
    with pytest.raises(UserError, match=r"tiny: .* failed: "):
        m.ask(picture(0), "is there a dog ? " * 2000)
    with pytest.raises(UserError, match="tiny: "):
        m.encode(picture(0), "is there a dog ? " * 2000)


def test_load_checks_before_it_loads() -> None:
    with pytest.raises(UserError, match="unknown parameter 'dtpye'; did you mean 'dtype'"):
        halluc.load("glyph", dtpye="float32")
    with pytest.raises(UserError, match="unknown model 'glyhp'"):
        halluc.load("glyhp")


def test_a_folder_is_loaded(tiny: Path) -> None:
    model = halluc.load(str(tiny), image_aspect="pad")
    assert model.config.image_aspect == model.here.image_aspect == "pad"
    assert repr(model) == f"LoadedModel({str(tiny)!r}, LlavaForConditionalGeneration)"


def test_a_model_behind_an_endpoint_is_asked_too(endpoint: FakeEndpoint) -> None:
    remote = halluc.load("openai:fake")
    said = remote.ask(picture(0), "Is there a dog?")
    assert said.text and said.tokens == () and said.log_probabilities is None
    assert repr(remote) == "LoadedModel('openai:fake', endpoint)"
    with pytest.raises(UserError, match="behind an endpoint"):
        remote.ask(picture(0), "Is there a dog?", "var")
    with pytest.raises(UserError, match="take no num_beams"):
        remote.ask(picture(0), "Is there a dog?", decoding={"num_beams": 2})
    with pytest.raises(UserError, match=r"behind an endpoint: only m\.ask works"):
        _ = remote.model
    with pytest.raises(UserError, match="leave out dtype"):
        halluc.load("openai:fake", dtype="float32")
