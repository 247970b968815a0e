"""Descriptions of drawn scenes, and where in them things are named that are not there."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import batch_of
from halluc.decoding.generation import generate, lengths
from halluc.interventions import Method, no_method
from halluc.lab.questions import MOST_TOKENS, caption, named
from halluc.scoring.chair.metric import tally
from halluc.world import Scene
from halluc.world.controlled import Variant

if TYPE_CHECKING:
    from halluc.models import VisionLanguageModel

AnyMethod = TypeVar("AnyMethod", bound=Method)

_BATCH = 16


@dataclass(frozen=True)
class Named:
    """A thing that a description names.

    Attributes:
        category: What it is.
        token: Number of the generated token in which its name begins, counted from 0.
        made_up: It is not in the scene.
    """

    category: str
    token: int
    made_up: bool


@dataclass(frozen=True)
class Description:
    """What a model wrote about a scene.

    Attributes:
        scene: The scene.
        text: The description.
        tokens: How many tokens were generated, the end token included.
        named: What it names, in order.
    """

    scene: Scene
    text: str
    tokens: int
    named: tuple[Named, ...]

    @property
    def counts(self) -> dict[str, float]:
        """CHAIR's counts of it, for `halluc.scoring.chair.metric.metrics`."""
        return tally(named(self.text), set(self.scene.categories))


def described(
    model: VisionLanguageModel, method: Callable[[], AnyMethod], drawn: Sequence[Scene]
) -> Iterator[tuple[AnyMethod, list[Description]]]:
    """Let a model with a method describe scenes, greedily.

    Args:
        method: Makes the method, once for each batch, so that a probe keeps what it saw of it.

    Yields:
        By batch, the method and the descriptions.
    """
    for start in range(0, len(drawn), _BATCH):
        some = drawn[start : start + _BATCH]
        probe = method()
        batch = batch_of(model, no_method(), [caption(Variant(one)) for one in some])
        made = generate(model, probe, batch, DecodingConfig(), max_new_tokens=MOST_TOKENS)
        ends = lengths(made.tokens, model).tolist()
        written = zip(some, made.tokens.tolist(), ends, strict=True)
        yield probe, [_description(model, one, ids[:end]) for one, ids, end in written]


def _description(model: VisionLanguageModel, drawn: Scene, ids: list[int]) -> Description:
    decode = model.processor.tokenizer.decode
    reach = [len(decode(ids[: n + 1], skip_special_tokens=True)) for n in range(len(ids))]
    text: str = decode(ids, skip_special_tokens=True)
    return Description(drawn, text, len(ids), tuple(_places(drawn, text, reach)))


def _places(drawn: Scene, text: str, reach: Sequence[int]) -> Iterator[Named]:
    """Find what a text names, and where.

    Args:
        reach: How many characters of the text are there after each token.
    """
    starts = [word.start() for word in re.finditer(r"[a-z0-9]+", text.lower())]
    for mention in named(text).mentions:
        token = bisect_right(reach, starts[mention.index])
        yield Named(mention.node, token, mention.node not in drawn.categories)
