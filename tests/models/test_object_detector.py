"""Detectors give boxes in pixels of the image, whichever of transformers' classes they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForZeroShotObjectDetection,
    BertConfig,
    GroundingDinoConfig,
    GroundingDinoProcessor,
    Owlv2Config,
    Owlv2Processor,
    OwlViTConfig,
    OwlViTProcessor,
    PreTrainedTokenizerFast,
    SwinConfig,
)
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
    GroundingDinoImageProcessorPil,
)
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil
from transformers.models.owlvit.image_processing_pil_owlvit import OwlViTImageProcessorPil

from halluc.errors import UserError
from halluc.models.object_detector import (
    Box,
    Detector,
    boxes_in_pixels,
    find_detector,
    one_each,
)
from tests.kit.families import llava, picture

WORDS = ("[PAD]", "[UNK]", "a", "dog", "cat", ".", "?", "[CLS]", "[SEP]")


def tokenizer() -> PreTrainedTokenizerFast:
    numbered = {word: number for number, word in enumerate(WORDS)}
    made = Tokenizer(models.WordLevel(numbered, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends: list[Any] = [("[CLS]", 7), ("[SEP]", 8)]
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=16,
    )  # fmt: skip


def owl(kind: str) -> tuple[Any, Any]:
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    shape |= {"num_hidden_layers": 1}
    text = shape | {"vocab_size": len(WORDS), "bos_token_id": 7, "eos_token_id": 8}
    vision = shape | {"image_size": 32, "patch_size": 8}
    cls, process, images = (
        (Owlv2Config, Owlv2Processor, Owlv2ImageProcessorPil)
        if kind == "owlv2"
        else (OwlViTConfig, OwlViTProcessor, OwlViTImageProcessorPil)
    )
    config = cls(text_config=text, vision_config=vision, projection_dim=16)
    size = {"height": 32, "width": 32}
    return config, process(image_processor=images(size=size), tokenizer=tokenizer())


def dino() -> tuple[Any, Any]:
    stages: dict[str, Any] = {"out_features": ["stage1", "stage2"]}
    swin = SwinConfig(
        embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=2, image_size=32,
        **stages,
    )  # fmt: skip
    bert = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=bert, d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2,
        decoder_attention_heads=2, num_queries=6, num_feature_levels=2, max_text_len=16,
    )  # fmt: skip
    size = {"shortest_edge": 32, "longest_edge": 64}
    images = GroundingDinoImageProcessorPil(size=size)
    return config, GroundingDinoProcessor(image_processor=images, tokenizer=tokenizer())


def saved(kind: str, folder: Path) -> Path:
    """A random detector."""
    config, processor = dino() if kind == "grounding-dino" else owl(kind)
    torch.manual_seed(0)
    model = AutoModelForZeroShotObjectDetection.from_config(config)
    for name, weight in model.named_parameters():
        if name.startswith("box_head"):  # drawn so large that boxes would be lines
            weight.data *= 0.2
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["owlvit", "owlv2", "grounding-dino"])
@pytest.mark.parametrize("size", [(48, 32), (32, 80)])
def test_boxes_are_those_the_processor_makes_in_pixels(
    kind: str, size: tuple[int, int], tmp_path: Path
) -> None:
    source = find_detector(str(saved(kind, tmp_path)))
    assert (source.config.model_type, len(source.revision or "")) == (kind, 10)
    detector, image = Detector(source, "cpu"), picture(0, *size)
    wide, high = size

    text: Any = "a dog." if kind == "grounding-dino" else [["a dog"]]
    inputs = detector.processor(images=image, text=text, return_tensors="pt")
    with torch.no_grad():
        output = detector.model(**inputs)
    more = {"input_ids": inputs["input_ids"]} if kind == "grounding-dino" else {}
    (stock,) = detector.processor.post_process_grounded_object_detection(
        output, threshold=0.0, target_sizes=[(high, wide)], **more
    )
    low, most = torch.zeros(4), torch.tensor([wide, high, wide, high])
    pairs = zip(stock["scores"].tolist(), stock["boxes"], strict=True)
    clipped = [Box._make([*box.clamp(low, most).tolist(), score]) for score, box in pairs]
    inside = sorted((box for box in clipped if box.area > 0), key=lambda box: -box.score)
    expected = one_each(inside)

    found = detector.detect(image, "a dog", 0.0)
    assert len(found) == len(expected) > 0
    for box, other in zip(found, expected, strict=True):
        assert box == pytest.approx(other, abs=1e-3)
        assert 0 <= box.left < box.right <= wide and 0 <= box.top < box.bottom <= high
    middle = (found[0].score + found[-1].score) / 2
    assert [box.score for box in detector.detect(image, "a dog", middle)] == [
        box.score for box in found if box.score > middle
    ]


def test_words_matter(tmp_path: Path) -> None:
    detector = Detector(find_detector(str(saved("owlv2", tmp_path))), "cpu")
    dog, cat = (detector.detect(picture(0), name, 0.0)[0] for name in ("dog", "cat"))
    assert dog.score != cat.score
    grey = Image.new("L", (32, 32), 90)
    assert detector.detect(grey, "dog", 0.0)


def test_shares_become_pixels() -> None:
    # middle (.5, .5), size (.25, .5) of 40 x 20: 15 to 25, 5 to 15; the other leaves the image
    found = torch.tensor([[0.5, 0.5, 0.25, 0.5], [0.0, 1.0, 0.5, 0.5]])
    boxes = boxes_in_pixels(found, torch.tensor([0.25, 0.75]), (40, 20), (40, 20))
    assert boxes == [(0, 15, 10, 20, 0.75), (15, 5, 25, 15, 0.25)]
    # of a square of 40, as OWLv2 pads it: 15 to 25, 10 to 30, of which the image has 10 to 20
    (box,) = boxes_in_pixels(found[:1], torch.tensor([0.25]), (40, 20), (40, 40))
    assert box == (15, 10, 25, 20, 0.25)


def test_overlap_by_hand() -> None:
    one, other = Box(0, 0, 10, 10, 1), Box(5, 0, 15, 10, 0.5)
    assert one.overlap(other) == pytest.approx(50 / 150)
    assert one.overlap(Box(20, 20, 30, 30, 1)) == 0
    assert one.overlap(Box(20, 0, 30, 10, 1)) == 0  # beside it
    # 8 of 10 shared: 80 / (100 + 100 - 80) = .67 is one thing; 7: 70 / 130 = .54 are two
    same, apart = Box(2, 0, 12, 10, 0.9), Box(3, 0, 13, 10, 0.8)
    assert one_each([one, same, apart]) == [one, apart]


def test_a_wrong_detector_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"detector 'no/such/detector' cannot be loaded"):
        find_detector("no/such/detector")
    llava().model.config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"is a llava model; .*: owlvit, owlv2, grounding-dino"):
        find_detector(str(tmp_path))
    folder = saved("owlv2", tmp_path / "damaged")
    (folder / "model.safetensors").write_bytes(b"{}")
    with pytest.raises(UserError, match=r"^detector '.*' cannot be loaded: its weights") as refused:
        Detector(find_detector(str(folder)), "cpu")
    assert "\n" not in str(refused.value)
