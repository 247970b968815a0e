"""AGLA's mask and sum by hand, its GradCAM by plain autograd, its two caches apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import BlipConfig, BlipForImageTextRetrieval, BlipProcessor

from halluc.config import DecodingConfig
from halluc.decoding.generation import generate
from halluc.errors import UserError
from halluc.interventions import At, Batch
from halluc.methods._masked_views import kept, mask_image, question_in
from halluc.methods.agla import AGLA
from halluc.models import VisionLanguageModel
from halluc.models.image_text_matcher import Matcher, attention_map, find_matcher, relevance
from halluc.world import MATCHER, render, scene
from halluc.world.language import exists
from halluc.world.scenes import outline
from halluc.world.training.train_matcher import build_processor
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava, picture
from tests.kit.places import combined

INF = float("inf")


def test_the_share_masked_is_half_the_similarity() -> None:
    ranks = torch.arange(10.0).view(2, 5)
    # 1 - 0.4 / 2 = 0.8; the threshold is the value of rank 8, which itself stays: one goes
    assert kept(ranks, 0.4).tolist() == [[False, True, True, True, True], [True] * 5]
    # 1 - 1 / 2 = 0.5: rank 5 holds 4.0, so 0 to 3 go
    assert kept(ranks, 1.0).tolist() == [[False] * 4 + [True], [True] * 5]
    assert kept(ranks, 0.0).all() and kept(ranks, -0.5).all()
    assert kept(torch.zeros(2, 5), 1.0).all()  # nothing stands out, nothing goes


def test_what_goes_turns_black() -> None:
    masked = mask_image(Image.new("RGB", (2, 2), (9, 8, 7)), torch.tensor([[3.0, 1], [2, 0]]), 1.0)
    assert [masked.getpixel((x, y)) for y in (0, 1) for x in (0, 1)] == [
        (9, 8, 7), (9, 8, 7), (9, 8, 7), (0, 0, 0),
    ]  # fmt: skip


def test_combine_by_hand() -> None:
    full, masked = torch.tensor([[2.0, 1.5, 1.0, 0.0]]), torch.tensor([[0.0, 1, 3, 9]])
    # plausible: at least 2 + log 0.5 = 1.307
    agla, whole = AGLA(AGLA.Params(alpha=2.0, beta=0.5)), AGLA(AGLA.Params(alpha=2.0, beta=0.0))
    assert combined(agla, main=full, masked=masked).tolist() == [[2.0, 3.5, -INF, -INF]]
    assert combined(whole, main=full, masked=masked).tolist() == [[2.0, 3.5, 7.0, 18.0]]
    edge = torch.tensor([[0.0, log(0.5)]])
    one = AGLA(AGLA.Params(alpha=1.0, beta=0.5))
    assert combined(one, main=edge, masked=edge)[0, 1] > -INF  # only what lies below is ruled out


def test_relevance_by_hand() -> None:
    # two heads; [CLS] word word [SEP] padding; CLS and two patches
    attention, gradient = torch.zeros(1, 2, 5, 3), torch.zeros(1, 2, 5, 3)
    attention[0, 0, 1] = torch.tensor([0.5, 0.3, 0.2])
    gradient[0, 0, 1] = torch.tensor([9.0, 2.0, -1.0])
    attention[0, 1, 2] = torch.tensor([0.2, 0.4, 0.4])
    gradient[0, 1, 2] = torch.tensor([9.0, 0.5, 1.0])
    attention[0, :, [0, 3, 4]] = gradient[0, :, [0, 3, 4]] = 7.0
    mask = torch.tensor([[1, 1, 1, 1, 0]]).bool()
    # patch 1: (0.3 * 2 + 0.4 * 0.5) / 2 heads / 2 words; patch 2: 0.4 * 1 / 4
    assert torch.allclose(relevance(attention, gradient, mask), torch.tensor([[0.2, 0.1]]))


def test_the_map_peaks_where_the_patch_does() -> None:
    patches = torch.zeros(4, 4)
    patches[1, 2] = 3.0
    spread = attention_map(patches, (64, 32))
    assert (spread.shape, float(spread.min()), float(spread.max())) == ((64, 32), 0.0, 1.0)
    row, column = divmod(int(spread.argmax()), 32)
    assert 16 <= row < 32 and 16 <= column < 24
    assert not attention_map(torch.full((4, 4), 0.3), (64, 32)).any()


def test_the_matcher_reads_the_question_alone() -> None:
    assert question_in("Is there a dog? Please answer this question with one word.") == (
        "Is there a dog?"
    )
    assert question_in("Please describe this image in detail.") == (
        "Please describe this image in detail."
    )


# -- the matcher --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random matcher of four text layers on 4 x 4 patches."""
    torch.manual_seed(0)
    processor = build_processor()
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    vision = shape | {"num_hidden_layers": 1, "image_size": 32, "patch_size": 8}
    text = shape | {"num_hidden_layers": 4, "vocab_size": len(processor.tokenizer) + 2}
    ranges: dict[str, Any] = {"initializer_range": 0.5}
    config = BlipConfig(vision_config=vision | ranges, text_config=text | ranges, **ranges)
    folder = tmp_path_factory.mktemp("matcher")
    BlipForImageTextRetrieval(config).save_pretrained(folder)
    processor.image_processor.size = {"height": 32, "width": 32}
    processor.save_pretrained(folder)
    return folder


TEXTS = ("Is there a dog in the image?", "Is there a dining table on the left side of the image?")


def test_gradcam_equals_plain_autograd(tiny: Path) -> None:
    source = find_matcher(str(tiny))
    with torch.inference_mode():  # as the decoding calls it
        found, similarity = Matcher(source, 2, "cpu").match([picture(0), picture(1)], TEXTS)
    model = BlipForImageTextRetrieval.from_pretrained(tiny).eval()
    processor = BlipProcessor.from_pretrained(tiny)
    for row, text in enumerate(TEXTS):
        inputs = processor(images=picture(row), text=text, return_tensors="pt")
        stock = model(**inputs, use_itm_head=False).itm_score
        assert torch.allclose(similarity[row], stock[0, 0], atol=1e-5)

        inputs["input_ids"][0, 0] = model.config.text_config.vocab_size - 1  # [ENC]
        caught: list[Tensor] = []
        layer = model.text_encoder.encoder.layer[2].crossattention.self
        hook = layer.register_forward_hook(lambda _m, _a, output: caught.append(output[1]))  # noqa: B023
        score = model(**inputs).itm_score[0, 1]
        hook.remove()
        caught[0].retain_grad()
        score.backward()
        assert caught[0].grad is not None
        attention, gradient = caught[0][0].detach(), caught[0].grad[0]
        words, total = attention.shape[1] - 2, torch.zeros(16)
        for head in range(2):
            for word in range(1, 1 + words):
                total += attention[head, word, 1:] * gradient[head, word, 1:].clamp(min=0)
        assert torch.allclose(found[row].flatten(), total / words / 2, rtol=1e-3, atol=1e-8)
        assert float(found[row].max()) > 0


def test_the_layer_read_scales_with_the_text_encoder(tiny: Path) -> None:
    resolved = AGLA.resolve(AGLA.Params(matcher=str(tiny)), llava())
    assert (resolved.cam_layer, len(resolved.matcher_revision or "")) == (2, 10)
    with pytest.raises(UserError, match="choose 0 to 2"):
        AGLA.resolve(AGLA.Params(matcher=str(tiny), cam_layer=3), llava())


def test_a_wrong_matcher_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no/such/matcher"):
        find_matcher("no/such/matcher")
    llava().model.config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="is a llava model; those that serve: blip"):
        find_matcher(str(tmp_path))


def test_the_shipped_matcher_is_small() -> None:
    size = sum(path.stat().st_size for path in MATCHER.rglob("*") if path.is_file())
    assert 10**6 < size <= 4 * 10**6


def test_masks_keep_what_is_asked_for() -> None:
    images, texts, outlines = [], [], []
    for index in range(40):
        one = scene("matcher-test", index)
        thing = max(one.things, key=lambda thing: thing.evidence)
        if thing.band == "clear" and thing.area < 2000:
            images.append(render(one))
            texts.append(exists(thing.category))
            outlines.append(torch.from_numpy(outline(thing)))
    patches, _ = Matcher(find_matcher("glyph"), 1, "cpu").match(images, texts)
    most = [kept(attention_map(cam, (128, 128)), 1.0) for cam in patches]  # half, at the most

    def share(masks: list[Tensor]) -> float:
        pairs = zip(masks, outlines, strict=True)
        return sum(float(mask[thing].float().mean()) for mask, thing in pairs) / len(masks)

    assert sum(float(mask.float().mean()) for mask in most) / len(most) < 0.51
    assert share(most) > 0.9
    assert share(most) > share([*most[1:], most[0]]) + 0.1  # not only because things are central


# -- two streams --------------------------------------------------------------------------------


class Same(AGLA):
    """Masks nothing."""

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Mapping[str, Any]]:
        return {"masked": batch.inputs}


class Black(AGLA):
    """Masks everything, and remembers the logits that are combined."""

    seen: list[Tensor]

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Mapping[str, Any]]:
        self.seen = []
        return {"masked": blackened(model, batch).inputs}

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        self.seen.append(torch.stack([*logits.values()]))
        return super().next_token_logits(at, logits)


def blackened(model: VisionLanguageModel, batch: Batch) -> Batch:
    black = [Image.new("RGB", image.size) for image in batch.images]
    return replace(batch, images=black, inputs=model.encode(batch.rendered, black))


def tokens(model: VisionLanguageModel, method: Any, decoding: DecodingConfig) -> Tensor:
    return generate(model, method, questions(model, 0, 1), decoding, max_new_tokens=6).tokens


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_identical_images_are_a_temperature(alpha: float) -> None:
    model = llava()
    same = Same(AGLA.Params(alpha=alpha, beta=0.0))
    logits = answer(model, same, questions(model, 0, 1)).logits
    stock = answer(model, prepared("baseline", model), questions(model, 0, 1)).logits
    assert torch.allclose(logits, (1 + alpha) * stock, atol=1e-4)
    cooler = DecodingConfig(do_sample=True, seed=3, temperature=1 / (1 + alpha))
    warm = DecodingConfig(do_sample=True, seed=3)
    assert torch.equal(
        tokens(model, same, warm), tokens(model, prepared("baseline", model), cooler)
    )


def without_cache(model: VisionLanguageModel, inputs: Mapping[str, Any], written: Tensor) -> Tensor:
    """Logits behind each written token, from one pass over the whole sequence [T, V]."""
    ids = torch.cat([inputs["input_ids"], written[None, :-1]], 1)
    grown = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.inference_mode():
        logits: Tensor = model.model(**grown, use_cache=False).logits[0, -len(written) :]
    return logits


@pytest.mark.parametrize("variant", ["paper", "official_code"])
def test_each_stream_has_a_cache_of_its_own(variant: Any) -> None:
    model, batch = llava(), questions(llava(), 0)
    method = Black(AGLA.Params(variant=variant, alpha=2.0, beta=0.0))
    written = answer(model, method, batch).tokens
    full = without_cache(model, batch.inputs, written[0])
    masked = without_cache(model, blackened(model, batch).inputs, written[0])
    seen = torch.stack(method.seen)[:, :, 0]
    assert torch.allclose(seen[:, 0], full, atol=1e-4)
    assert torch.allclose(seen[:, 1], masked, atol=1e-4)  # fails if it read the main cache
    assert (masked - full)[1:].abs().max() > 0.1
    if variant == "official_code":  # the published mistake, from the second token on
        masked = torch.cat([masked[:1], full[1:]])
    assert written[0].tolist() == (full + 2 * masked).argmax(-1).tolist()


def test_the_stream_is_the_prompt_with_a_masked_image(tiny: Path) -> None:
    model, batch = llava(), questions(llava(), 0, 1)
    for variant in ("paper", "official_code"):
        method = prepared("agla", model, matcher=str(tiny), variant=variant)
        stream = method.streams(batch, model)["masked"]
        assert torch.equal(stream["input_ids"], batch.inputs["input_ids"])
        assert stream["pixel_values"].shape == batch.inputs["pixel_values"].shape
