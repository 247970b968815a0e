"""ProjectAway: confidence and erasing by hand; what is asked, read and edited, and when not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import MllamaConfig

from halluc.data.coco_names import COCO_NAMES
from halluc.errors import UserError
from halluc.interventions import At, Batch
from halluc.methods._object_lens import Objects, confidence, erased, spellings, text_states
from halluc.methods.projectaway import ProjectAway
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import build, llava

OBJECTS = ("dog", "car", "cat")


def test_erasing_by_hand() -> None:
    states = torch.tensor([[3.0, 4.0], [-3.0, 4.0]])
    text = torch.tensor([2.0, 0.0])
    # (3, 4).(2, 0) / 4 = 1.5: (3, 4) - .5 * 1.5 (2, 0); (-3, 4) points away and stays.
    assert erased(states, [text], 0.5).tolist() == [[1.5, 4.0], [-3.0, 4.0]]
    # Then of (1.5, 4) less (0, 1) 4 times .5, and of (-3, 4), too.
    both = erased(states, [text, torch.tensor([0.0, 1.0])], 0.5)
    assert both.tolist() == [[1.5, 2.0], [-3.0, 2.0]]
    # A text is taken off what the one before left: (3, 4) - (3, 0) has nothing of (1, 0).
    assert erased(states[:1], [text, torch.tensor([1.0, 0.0])], 1.0).tolist() == [[0.0, 4.0]]
    assert torch.equal(erased(states, [], 1.0), states)
    assert erased(states.bfloat16(), [text], 1.0).dtype == torch.bfloat16


def test_confidence_by_hand() -> None:
    logits = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.05, 0.6, 0.15, 0.2]]).log()
    assert float(confidence(logits, [0], None)) == pytest.approx(0.1)
    assert float(confidence(logits, [0, 2], None)) == pytest.approx(0.3)
    # Of the two likeliest: .3 / .7 and .6 / .8
    assert float(confidence(logits, [2], 2)) == pytest.approx(3 / 7)
    assert float(confidence(logits, [1], 2)) == pytest.approx(0.75)
    assert float(confidence(logits, [0], 2)) == 0
    assert float(confidence(logits, [0], 4)) == pytest.approx(0.1)


def test_spellings_are_tokens_with_and_without_a_space_in_front() -> None:
    pieces = {"dog": [5, 6], " dog": [7, 6, 8]}

    def tokenizer(text: str, add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        return SimpleNamespace(input_ids=pieces[text])

    words = {5: "do", 6: "g", 7: " ", 8: " dog"}
    tokenizer.decode = lambda ids: words[ids[0]]  # type: ignore[attr-defined]
    assert spellings(tokenizer, "dog") == [5, 6, 8]


def test_what_leaves_the_last_layer_alone_is_normed() -> None:
    read: list[tuple[int, bool]] = []
    sure: dict[int, dict[str, float]] = {}

    def read_off(states: Tensor, normed: bool) -> Tensor:
        read.append((len(states), normed))
        return torch.zeros(len(states), 4)

    objects = Objects(("dog",))
    objects.tokens = {"dog": [1]}
    image, model = torch.tensor([[True, False]] * 2), SimpleNamespace(read_off=read_off)
    for layer in (0, 3, 4):
        at: Any = SimpleNamespace(layer=layer, n_layers=4, image_mask=image, model=model)
        objects.look(at, torch.zeros(2, 2, 3), [["dog"], []], sure, None)
    assert read == [(1, False), (1, False), (1, True)]
    assert sure == {0: {"dog": 0.25}}


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_texts_are_read_alone(family: str) -> None:
    model = build(family)
    found = text_states(model, ["dog", "is there a cat", "cat"], 2)
    for name, state in zip(("dog", "is there a cat", "cat"), found, strict=True):
        ids = torch.tensor([model.processor.tokenizer(name).input_ids])
        with torch.no_grad():
            states = model.decoder(input_ids=ids, output_hidden_states=True).hidden_states
        assert torch.allclose(states[2][0, -1], state, atol=1e-5)


def test_defaults() -> None:
    def resolved(n_layers: int) -> Any:
        return ProjectAway.resolve(ProjectAway.Params(), llava(num_hidden_layers=n_layers))

    params = resolved(32)
    assert (params.variant, params.weight, params.threshold) == ("paper", 1.5, 0.1)
    assert (params.text_layer, params.image_layer) == (1, 3)
    assert (params.draft, params.draft_tokens, params.objects) == (None, 128, COCO_NAMES)
    assert (resolved(4).text_layer, resolved(4).image_layer) == (1, 1)


@pytest.mark.parametrize("name", ["text_layer", "image_layer"])
def test_layers_the_model_has_not_are_refused(name: str) -> None:
    assert prepared("projectaway", llava(), **{name: 3}, objects=OBJECTS)
    with pytest.raises(UserError, match=f"'projectaway': {name} names hidden state 4; 'tiny-llava"):
        prepared("projectaway", llava(), **{name: 4})


def test_layers_of_their_own_for_the_image_are_refused() -> None:
    with pytest.raises(UserError, match="'some/model' has layers for the image alone"):
        ProjectAway.requires(ProjectAway.Params(), MllamaConfig(), "some/model")


class Drafts:
    """Answers by prompt, and keeps what it was asked."""

    def __init__(self, **says: str) -> None:
        self.says, self.asked, self.cut = says, list[tuple[int, str]](), 0

    def __call__(self, questions: Any, max_new_tokens: int = 16, temperature: Any = None) -> Any:
        self.asked, self.cut = list(questions), max_new_tokens
        return [self.says.get(prompt.split()[0], "a dog") for _, prompt in questions]

    likelihood: Any = None


def begun(ask: Drafts, **params: Any) -> Any:
    method: Any = prepared("projectaway", llava(), objects=OBJECTS, **params)
    batch: Batch = replace(questions(llava(), 0, 1), ask=ask)
    return method.begin(batch)


def test_drafts_are_of_the_samples_own_prompts_or_of_one_prompt_for_all() -> None:
    ask = Drafts(please="there is a car and two dogs and a car", is_="")
    assert begun(ask).named == [["dog"], ["car", "dog"]]
    assert [prompt.split()[0] for _, prompt in ask.asked] == ["is", "please"]
    assert [row for row, _ in ask.asked] == [0, 1]
    assert ask.cut == 128
    begun(ask, draft="describe it", draft_tokens=7)
    assert ask.asked == [(0, "describe it"), (1, "describe it")]
    assert ask.cut == 7
    silent = Drafts()
    assert begun(silent, weight=0.0).named == []
    assert silent.asked == []


class Seen(ProjectAway):
    """Keeps what is edited."""

    edits: list[tuple[int, str, Tensor, Tensor]]

    def hidden(self, at: At, hidden: Tensor) -> Tensor | None:
        edited = super().hidden(at, hidden)
        if edited is not None:
            changed = (edited - hidden).abs().amax(-1) > 1e-6
            self.edits.append((at.layer, at.phase, changed, at.image_mask.clone()))
        return edited


Seen.name = "projectaway"


def seen(threshold: float, beams: int = 1) -> list[tuple[int, str, Tensor, Tensor]]:
    """Answer two prompts, of which the first one's draft names a dog and the other's nothing."""
    model = llava()
    method = Seen.for_model(model, {"objects": OBJECTS, "threshold": threshold, "image_layer": 2})
    method.edits = []
    begin = method.begin

    def begins(batch: Batch) -> Any:
        return begin(replace(batch, ask=Drafts(please="nothing")))

    method.begin = begins  # type: ignore[method-assign]
    answer(model, method, questions(model, 0, 1), beams)
    return method.edits


@pytest.mark.parametrize("beams", [1, 2])
def test_image_tokens_of_one_layer_are_edited_while_the_prompt_is_read(beams: int) -> None:
    ((layer, phase, changed, image),) = seen(1.0, beams)
    assert (layer, phase) == (2, "prefill")
    named, other = changed.view(2, beams, -1)
    assert named.any()
    assert not other.any()
    assert not (changed & ~image).any()


def test_what_image_tokens_are_sure_of_stays() -> None:
    assert seen(0.0) == []


def test_an_answer_that_names_nothing_costs_its_draft_alone() -> None:
    model, batch = llava(), questions(llava(), 0)
    plain = answer(model, prepared("baseline", model), batch)
    method = prepared("projectaway", model, objects=("zebra",), draft_tokens=5)
    made = answer(model, method, batch)
    assert torch.equal(made.tokens, plain.tokens)
    assert made.passes == [plain.passes[0] + 5]
