"""A word-level tokenizer: a token for each word and for each category, "dining table" too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from halluc.world import captions, language
from halluc.world.catalog import NAMES
from halluc.world.themes import THEMES
from halluc.world.training import lessons

PAD, BOS, EOS, UNK, IMAGE = "<pad>", "<s>", "</s>", "<unk>", "<image>"
SPECIAL: tuple[str, ...] = (PAD, BOS, EOS, UNK, IMAGE)

ELSEWHERE = (
    "Describe the picture. What is in this photo? What do you see? Which objects are visible? "
    "Can you name every object that you see? Is it true or false, not or no, yes or correct? "
    "Yes, there is. No, there is not. Are there any? Give a short answer. Write one sentence. "
    "Look at the image carefully and only answer what you are sure of. It shows them near it. "
    "Nothing is here. how many zero five six seven eight nine ten of to with at by under over "
    "USER: ASSISTANT: The the A a An an color colour colors background foreground front behind"
)
"""Words of common prompts, which get tokens although training may not use them."""


def _texts() -> Iterator[str]:
    yield from (ELSEWHERE, lessons.BLANK_CAPTION, *language.CAPTION_PROMPTS, *language.ONE_WORD)
    yield from (language.YES_OR_NO, "Yes No", " ".join(language.HUES))
    for pattern in (*captions.OPENINGS, *captions.FIRST, *captions.LATER):
        yield re.sub(r"{\w+}", " ", pattern)
    for sentences in captions.CLOSINGS.values():
        yield " ".join(sentences)
    for side in (side for sides in captions.SIDES.values() for side in sides):
        yield f"{side} {side[0].upper()}{side[1:]}"
    numbers = (*language.NUMBERS.values(), "several")
    yield " ".join((*numbers, *(number.capitalize() for number in numbers), "is are be"))
    yield " ".join(theme.name for theme in THEMES)
    for name in NAMES:
        yield " ".join(language.SYNONYMS[name])
        yield language.exists(name) + language.exists_here(name)
        yield language.colour(name, "red") + language.position(name, "left")
        yield language.count(name, 1) + language.count(name, 2)


def _words() -> str:
    """Return the pattern of a word: a name of several words first, then any word or mark."""
    names = [word for words in language.SYNONYMS.values() for word in words]
    names += [theme.name for theme in THEMES]
    several = sorted((name for name in names if " " in name), key=lambda name: (-len(name), name))
    together = [rf"{name}\b" for name in several]
    return "|".join([*together, "USER:", "ASSISTANT:", r"\w+", r"[^\w\s]"])


def build_tokenizer(
    specials: Sequence[str] = (), starts_with_bos: bool = True
) -> PreTrainedTokenizerFast:
    """Build the tokenizer from the world's own sentences; padding goes on the left.

    Args:
        specials: More special tokens; their ids follow those of the common vocabulary.
        starts_with_bos: Put BOS in front of every text.

    Returns:
        A fast tokenizer. Its image token is `<image>`, unless `specials` has one of Qwen's.
    """
    pattern = _words()
    words = {word for text in _texts() for word in re.findall(pattern, text)}
    ordered = (*SPECIAL, *sorted(words), *specials)
    vocabulary = {word: number for number, word in enumerate(ordered)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.add_special_tokens(list(specials))
    if starts_with_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, vocabulary[BOS])]
        )
    own = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    marks = {"image_token": IMAGE} | {k: token for k, token in own.items() if token in specials}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        extra_special_tokens=marks,
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
