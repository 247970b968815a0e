"""Models that look at an image next to the one that writes: a detector, and a matcher of texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from halluc.methods._named_objects import Vocabulary

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from halluc.models.image_text_matcher import Matcher
    from halluc.models.object_detector import Box, Detector


class Onlookers:
    """A detector and a matcher; each is loaded when it is first needed, and serves all samples.

    Args:
        params: HALC's, resolved.
        device: Where they run.
    """

    def __init__(self, params: Any, device: Any) -> None:
        self.params, self.device = params, device
        self.vocabulary = Vocabulary(params.objects)

    @cached_property
    def detector(self) -> Detector:
        """The detector."""
        from halluc.models.object_detector import Detector, find_detector

        p = self.params
        return Detector(find_detector(p.detector, p.detector_revision), self.device)

    @cached_property
    def matcher(self) -> Matcher:
        """The matcher."""
        from halluc.models.image_text_matcher import Matcher, find_matcher

        p = self.params
        return Matcher(find_matcher(p.matcher, p.matcher_revision), 0, self.device)

    def detect(self, image: Image, name: str) -> list[Box]:
        """Find what a name says, the surest box first."""
        return self.detector.detect(image, name, self.params.box_threshold)

    def fit(self, image: Image, texts: Sequence[str]) -> Tensor:
        """Return how well texts fit the image [N]; glyph's matcher is asked object by object.

        Then a text's score is the mean chance of "There is a dog." over the objects it names.
        """
        from halluc.world.language import article

        if self.params.matcher != "glyph":
            return self.matcher.similarities(image, texts)
        named = [self.vocabulary.named(text) for text in texts]
        names = sorted({name for group in named for name in group}) or ["person"]
        chances = self.matcher.chances(
            image, [f"There is {article(name)} {name}." for name in names]
        )
        rows = [[names.index(name) for name in group] for group in named]
        return chances.new_tensor([float(chances[row].mean()) if row else 0.0 for row in rows])
