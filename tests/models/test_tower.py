"""The vision half: its layers, and how patches become image tokens, with tiles and without."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from halluc.interventions import At, BatchState, Method
from halluc.interventions.engine import intervene
from halluc.methods.paint import PAINT
from halluc.models import VisionLanguageModel
from halluc.models.vision_tower import without_gaps
from tests.kit.asking import questions_about_shapes, thinned
from tests.kit.families import FAMILIES, build

PATCHES = pytest.mark.parametrize("family", ["llava", "llava_next"])


def patches(model: VisionLanguageModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """What the projector makes of each patch of each tile [N, P, D]."""
    tiles = inputs["pixel_values"]
    if tiles.dim() == 5:
        tiles = torch.cat([image[image.flatten(1).any(1)] for image in tiles])
    layer = model.model.config.vision_feature_layer
    tower = model.model.get_encoder(modality="image")
    hidden = tower(tiles, output_hidden_states=True).hidden_states[layer]
    projected: Tensor = model.tower.projector(hidden[:, 1:])
    return projected


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_is_found(family: str) -> None:
    tower = build(family).tower
    assert len(tower.layers) == len(tower.attention_modules) == 3


@PATCHES
@torch.inference_mode()
def test_numbers_of_patches_are_laid_out_as_features_are(family: str) -> None:
    model = build(family)
    inputs = questions_about_shapes(model, 0, 1).inputs
    features = model.encode_images(inputs).pooler_output
    laid = model.tower.lay_out(patches(model, inputs), None, inputs)
    for feature, tokens in zip(features, laid, strict=True):
        ends = ~tokens.any(-1)
        assert torch.allclose(tokens[~ends], feature[~ends], atol=1e-5)
        assert int(ends.sum()) == (feature.shape[0] - 16 > 0) * 4
        if ends.any():
            newline = model.model.base_model.image_newline
            assert torch.equal(feature[ends], newline.expand(int(ends.sum()), -1))


class EveryOther(Method):
    """Keeps every other patch of each tile where the language model reads them."""

    name = "every-other"

    def image_tokens(self, at: At, hidden: Tensor) -> Tensor:
        if at.layer != at.tower.features:
            return hidden
        kept = torch.arange(0, hidden.shape[1] - 1, 2)
        return at.tower.keep(hidden, kept.expand(len(hidden), -1))


@PATCHES
@torch.inference_mode()
def test_dropped_patches_leave_all_others_in_their_places(family: str) -> None:
    model = build(family)
    inputs = questions_about_shapes(model, 0, 1).inputs
    whole = patches(model, inputs)
    found = thinned(model, EveryOther(Method.Params()), inputs)
    left = found["mm_encoder_outputs"]["image"].pooler_output
    dropped = whole.clone()
    dropped[:, 1::2] = float("nan")
    for tokens_left, laid in zip(left, model.tower.lay_out(dropped, None, inputs), strict=True):
        tokens = without_gaps(laid)
        ends = ~tokens.any(-1)
        assert torch.allclose(tokens_left[~ends], tokens[~ends], atol=1e-5)
        assert len(tokens_left) == len(tokens)
    assert model.prompt_tokens(found).image_mask.sum(1).tolist() == [len(one) for one in left]


@PATCHES
def test_paint_reads_the_attention_of_the_cls_token(family: str) -> None:
    model = build(family)
    inputs = questions_about_shapes(model, 0, 1).inputs
    state = BatchState.of_inputs(model, inputs)
    with torch.inference_mode(), intervene(model, PAINT(PAINT.Params()), state):
        model.model(**inputs)
    tiles = inputs["pixel_values"].flatten(0, -4)
    tiles = tiles[tiles.flatten(1).any(1)]
    model.model.set_attn_implementation({"vision_config": "eager"})
    tower = model.model.get_encoder(modality="image")
    attentions = tower(tiles, output_attentions=True).attentions
    for layer in (0, -2):
        given = attentions[layer][:, :, 0, 1:].transpose(1, 2)
        expected = model.tower.lay_out(given, None, inputs)
        for found, tokens in zip(state.vision_attention[layer], expected, strict=True):
            assert torch.allclose(found, tokens, atol=1e-5)
    chosen = state.method["local"] | state.method["summary"]
    assert chosen.any(1).all()
    assert not (chosen & ~state.tokens.image_mask).any()
