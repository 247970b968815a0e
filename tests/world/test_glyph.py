"""The shipped model loads like any hub model and answers; its tokenizer loses no word."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, set_seed

from halluc.world import GLYPH, NAMES, language, render, scene, true_captions
from halluc.world.training.tokenizer import build_tokenizer


def test_tokenizer_round_trip() -> None:
    tokenizer = build_tokenizer()
    for index in range(40):
        for caption in true_captions(scene("test", index)):
            ids = tokenizer.encode(caption, add_special_tokens=False)
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids) == caption


def test_one_token_a_name_and_no_unknown_word_in_a_question() -> None:
    tokenizer = build_tokenizer()
    for name in NAMES:
        assert len(tokenizer.encode(name, add_special_tokens=False)) == 1
        texts = [language.exists(name), language.exists_here(name), language.coloured(name, "red")]
        texts += [language.count(name, number) for number in language.NUMBERS]
        texts += [language.position(name, "right"), language.colour(name, "blue")]
        for text in texts:
            ids = tokenizer.encode(text + language.YES_OR_NO, add_special_tokens=False)
            assert tokenizer.unk_token_id not in ids


shipped = pytest.mark.skipif(not (GLYPH / "config.json").exists(), reason="run `make world` first")


@shipped
def test_the_folder_is_small() -> None:
    size = sum(path.stat().st_size for path in GLYPH.rglob("*") if path.is_file())
    assert size <= 8 * 2**20


@shipped
def test_the_model_answers() -> None:
    set_seed(0)
    processor = AutoProcessor.from_pretrained(GLYPH)
    model: Any = AutoModelForImageTextToText.from_pretrained(GLYPH)
    assert model.dtype == torch.float32
    questions = [language.exists("dog"), language.CAPTION_PROMPTS[0]]
    image = render(scene("test", 0))
    prompts = [
        processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}],
            add_generation_prompt=True,
        )
        for question in questions
    ]
    assert prompts[0] == "USER: <image>\nIs there a dog in the image? ASSISTANT:"
    inputs = processor(text=prompts, images=[image, image], return_tensors="pt", padding=True)
    assert (inputs["input_ids"] == model.config.image_token_id).sum(1).tolist() == [64, 64]
    tokens = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :]
    answer, caption = processor.batch_decode(tokens, skip_special_tokens=True)
    assert answer in ("Yes", "No")
    assert caption.endswith(".")
    assert caption.count(".") >= 3
