"""What the adapter and the engine promise of every family."""

from __future__ import annotations

import inspect
from functools import cache

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import encoded
from halluc.decoding.generation import generate
from halluc.decoding.prefix_sharing import share_prefixes, why_not_shared
from halluc.doctor.probes import Identity
from halluc.errors import UserError
from halluc.interventions import At, BatchState, Method
from halluc.interventions.engine import intervene
from halluc.models import VisionLanguageModel
from halluc.models.embed_prompt import ENCODED, refuse_mixed_tiles
from halluc.models.families import FAMILIES as KNOWN
from halluc.models.inputs import PER_TOKEN
from halluc.testing import batch_of_questions
from tests.kit import families
from tests.kit.asking import QUESTIONS, logits_after, questions_about_shapes, written
from tests.kit.families import FAMILIES, image_layers, picture
from tests.kit.loud import LoudBias, LoudLogits
from tests.kit.twins import Blind

EVERY = pytest.mark.parametrize("family", FAMILIES)

build = cache(families.build)  # no test may change a model


class Boost(LoudLogits):
    """Boosts the image in rows after it, wherever its keys are."""

    name = "boost"
    cross_attention = True


class Bias(LoudBias):
    """The same in all rows, by a mask."""

    name = "bias"
    cross_attention = True


class Blurred(Method):
    """Flattens attention after the softmax."""

    name = "blurred"

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        flat = weights.sqrt()
        return flat / flat.sum(-1, keepdim=True)


class OneHead(Method):
    """Doubles the first head."""

    name = "one-head"

    def head_gain(self, at: At, outputs: Tensor) -> Tensor:
        gain = torch.ones(1, outputs.shape[2])
        gain[:, 0] = 2
        return gain


class Blinder(Blind):
    """Contrasts by half as much."""

    weight = 0.5


SEAMS = (Identity, Bias, Boost, Blurred, OneHead, Blinder)


def beams(model: VisionLanguageModel, cls: type[Method] = Method) -> list[int]:
    """Numbers of beams to try.

    Transformers before 5.18 mixes up tiles under beams, and is refused there; GLM-4V's expects an
    image in every row then.
    """
    try:
        refuse_mixed_tiles(model, questions_about_shapes(model, 1).inputs)
    except UserError:
        return [1]
    old = ENCODED not in inspect.signature(model.model.forward).parameters
    return [1] if old and cls is Blinder and model.model.config.model_type == "glm4v" else [1, 3]


def test_every_known_family_is_in_the_zoo() -> None:
    assert {build(family).model.config.model_type for family in FAMILIES} == set(KNOWN)


@EVERY
def test_identity_leaves_logits_alone_and_restores_exactly(family: str) -> None:
    model = build(family)
    inputs = questions_about_shapes(model, 0, 1).inputs
    state = {name: p.clone() for name, p in model.model.named_parameters()}
    with torch.inference_mode():
        stock = model.model(**inputs).logits
        same = logits_after(model, Identity(Method.Params()), inputs)
        assert torch.allclose(same, stock[:, -1], atol=1e-5)
        assert (logits_after(model, OneHead(Method.Params()), inputs) - same).abs().max() > 1e-3
        assert torch.equal(model.model(**inputs).logits, stock)
    assert all(torch.equal(p, state[name]) for name, p in model.model.named_parameters())
    assert model.text_attention in ("sdpa", "eager")
    assert not any(module._forward_pre_hooks for module in model.model.modules())


@EVERY
@pytest.mark.parametrize("cls", SEAMS)
def test_batch_padding_and_beams_change_nothing(family: str, cls: type[Method]) -> None:
    model, method = build(family), cls(Method.Params())
    for n in beams(model, cls):
        batch = written(model, method, questions_about_shapes(model, 0, 1), n)
        alone = [
            written(model, method, questions_about_shapes(model, row), n)[0] for row in range(2)
        ]
        assert batch == alone


@EVERY
def test_a_prompt_without_its_image_is_text_alone(family: str) -> None:
    model = build(family)
    inputs = questions_about_shapes(model, 0, 1).inputs
    text = model.without_image(inputs)
    words = {key: text[key] for key in PER_TOKEN if key in text and key != "cross_attention_mask"}
    bare = getattr(model.model, "language_model", model.model)  # Q-Formers' forward wants images
    with torch.inference_mode():
        seen = model.model(**inputs).logits[:, -1]
        unseen = bare(**words).logits[:, -1]
    both = logits_after(model, Identity(Method.Params()), model.stacked(inputs, text))
    assert torch.allclose(both, torch.cat([seen, unseen]), atol=1e-4)
    assert (seen - unseen).abs().max() > 1e-2


@EVERY
def test_image_columns_are_as_many_as_features(family: str) -> None:
    model = build(family)
    batch = questions_about_shapes(model, 0, 1)
    seen: list[At] = []

    class Spy(Boost):
        def attention_logits(self, at: At, logits: Tensor) -> Tensor:
            seen.append(at)
            return logits

    written(model, Spy(Method.Params()), batch, length=3)
    with torch.inference_mode():
        features = model.encode_images(batch.inputs).pooler_output
    held = [at for at in seen if at.layer in image_layers(model)]
    widest = max(int(at.image_columns.sum()) for at in held)
    assert widest == sum(image.numel() for image in features) // 32
    assert widest == int(model.n_image_tokens(batch.inputs).sum())
    for image in batch.images:
        grid = model.grid(image)
        alone = model.encode([model.render("?")], [image])
        assert grid is None or grid[0] * grid[1] == int(model.n_image_tokens(alone))


@pytest.mark.parametrize("family", ["aya_vision", "gemma3", "mistral3", "paligemma2"])
def test_columns_move_with_the_window(family: str) -> None:
    """A bias on image columns means the same with a cache, which forgets what left the window."""
    model, method = build(family), Bias(Method.Params())
    batch = questions_about_shapes(model, 0)
    windowed: list[bool] = []

    class Watched(Bias):
        def attention_bias(self, at: At) -> Tensor:
            windowed.append(at.real.shape[1] < at.n_tokens)
            return super().attention_bias(at)

    answer = written(model, Watched(Method.Params()), batch, length=8)[0]
    assert any(windowed) and not all(windowed)
    grown = dict(batch.inputs)
    after = {"token_type_ids": family.startswith("paligemma"), "attention_mask": 1}
    for token in answer:
        with (
            torch.inference_mode(),
            intervene(model, method, BatchState.of_inputs(model, batch.inputs)),
        ):
            scores = model.model(**grown, use_cache=False).logits[0, -1]
        assert int(scores.argmax()) == token
        for key in set(grown) & {"input_ids", *after}:
            new = grown[key].new_full((1, 1), int(after.get(key, token)))
            grown[key] = torch.cat([grown[key], new], 1)


@EVERY
def test_questions_about_one_image_share_its_reading(family: str) -> None:
    model, method = build(family), Bias(Method.Params())
    method.prefix_depends_on = "method"
    numbers = (0, 1, 0, 1)
    images = {number: picture(number, 32 + 16 * number, 32) for number in (0, 1)}
    questions = [*QUESTIONS, "is there a cat ?", "is there a car ?"]
    seen = [images[number] for number in numbers]
    batch = encoded(model, batch_of_questions(questions, seen))
    once, plain = batch.inputs, model.encode(batch.rendered, seen)
    assert once.keys() == plain.keys()
    assert all(torch.equal(value, plain[key]) for key, value in once.items())
    common = share_prefixes(model, method, dict(once))
    assert (common is None) == bool(why_not_shared(model))
    for n in beams(model):
        made = [
            generate(
                model, method, batch, DecodingConfig(num_beams=n), max_new_tokens=4, share=share
            ).tokens.tolist()
            for share in (True, False)
        ]  # fmt: skip
        assert made[0] == made[1]
