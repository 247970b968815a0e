"""Does a view masked to what a matcher finds relevant help to answer yes/no questions?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from halluc.lab.base import Experiment, Finding, Row, Setting, experiment
from halluc.lab.estimates import cells, intervals, paired, spoken, verdict
from halluc.scoring.confusion_rates import ratio

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    from halluc.lab.estimates import Counts
    from halluc.lab.yes_no import ExistenceQuestion, FirstTokens
    from halluc.models.image_text_matcher import Matcher
    from halluc.scoring.bootstrap import Interval

    Array = NDArray[np.float64]

WHOLE, MASKED, BOTH = "whole image", "masked view", "both, as AGLA adds them"
AT_RANDOM, BOTH_AT_RANDOM = "random mask", "both, with the random mask"
_BATCH = 32


@experiment("masked")
class Masked(Experiment):
    """Asks about whole images, AGLA's masked views, random masks of the same size, and sums."""

    question = "Do views masked to what bears on the question help to answer yes or no?"
    claim = "Adding the logits of a view masked to what is relevant makes answers better."
    source = "AGLA (arXiv:2406.12718), abstract"
    scenes = 150

    def run(self, setting: Setting) -> Finding:
        """Ask about each view once; sums of views are sums of their logits."""
        import torch

        from halluc.interventions import no_method
        from halluc.lab.questions import scenes
        from halluc.lab.yes_no import first_tokens, questions, rights
        from halluc.methods.agla import AGLA
        from halluc.models.auxiliary import EMBEDDED
        from halluc.models.image_text_matcher import Matcher, find_matcher

        agla = AGLA.for_model(setting.model, {"matcher": EMBEDDED}).params  # it knows drawn scenes
        assert agla.cam_layer is not None
        matcher = Matcher(find_matcher(EMBEDDED), agla.cam_layer, setting.model.device)
        asked = questions(scenes(setting.scenes))
        shown = views(matcher, asked, torch.Generator().manual_seed(setting.seed))

        def say(images: Sequence[Image] | None) -> FirstTokens:
            samples = [one.sample for one in asked]
            if images is not None:
                samples = [
                    replace(s, image_id=f"{s.id}/view", load_image=partial(_given, image))
                    for s, image in zip(samples, images, strict=True)
                ]
            return first_tokens(setting.model, no_method(), samples)

        alpha = agla.alpha
        whole, masked, other = say(None), say(shown[MASKED]), say(shown[AT_RANDOM])
        said = {
            WHOLE: whole,
            MASKED: masked,
            BOTH: whole.plus(masked, alpha),
            AT_RANDOM: other,
            BOTH_AT_RANDOM: whole.plus(other, alpha),
        }
        return judged({name: rights(asked, one) for name, one in said.items()}, setting.seed)


def views(
    matcher: Matcher, asked: Sequence[ExistenceQuestion], draw: torch.Generator
) -> dict[str, list[Image]]:
    """Mask the images of questions as AGLA does, and as much of them at random.

    A random mask is made as AGLA's is, of relevances that are drawn for each patch, so it has the
    same number of pixels in patches as large and edges as soft.
    """
    import torch

    from halluc.methods._masked_views import question_in

    made: dict[str, list[Image]] = {MASKED: [], AT_RANDOM: []}
    for start in range(0, len(asked), _BATCH):
        some = asked[start : start + _BATCH]
        images = [one.sample.load_image() for one in some]
        relevance, similarity = matcher.match(
            images, [question_in(one.sample.prompt) for one in some]
        )
        noise = torch.rand(relevance.shape, generator=draw)
        for name, maps in ((MASKED, relevance), (AT_RANDOM, noise)):
            made[name] += map(masked_to, images, maps, similarity.tolist())
    return made


def masked_to(image: Image, relevance: Tensor, similarity: float) -> Image:
    """Blacken what AGLA would by the relevance of patches [h, w]."""
    from halluc.methods._masked_views import mask_image
    from halluc.models.image_text_matcher import attention_map

    pixels = attention_map(relevance, (image.height, image.width))
    return mask_image(image, pixels, similarity)


def _given(image: Image) -> Image:
    return image


def rates(totals: Mapping[str, Array]) -> dict[str, Array]:
    """Compute accuracy, the share of yes, and the log-odds of the right answer from counts."""
    return {
        "accuracy": ratio(totals["right"], totals["n"]),
        "yes": ratio(totals["yes"], totals["n"]),
        "favour": ratio(totals["favour"], totals["n"]),
    }


def judged(views: Mapping[str, Counts], seed: int) -> Finding:
    """Compare each view with the whole image, and AGLA's sum with that of random masks."""
    values = {name: intervals(counts, rates, seed) for name, counts in views.items()}
    gaps = {name: paired(counts, views[WHOLE], rates, seed) for name, counts in views.items()}
    rows: list[Row] = [
        {
            "view": name,
            **cells("accuracy", values[name]["accuracy"], 100),
            **cells("difference", gaps[name]["accuracy"], 100),
            **cells("yes", values[name]["yes"], 100),
            **cells("favour", values[name]["favour"]),
        }
        for name in views
    ]
    over_random = paired(views[BOTH], views[BOTH_AT_RANDOM], rates, seed)["accuracy"]
    gain = gaps[BOTH]["accuracy"]
    because = (
        f"The masked view added changes accuracy by {spoken(gain, 100, '+')} points, a random mask "
        f"of the same size by {spoken(gaps[BOTH_AT_RANDOM]['accuracy'], 100, '+')}; one minus the "
        f"other is {spoken(over_random, 100, '+')}. Alone, the masked view changes it by "
        f"{spoken(gaps[MASKED]['accuracy'], 100, '+')}, the random one by "
        f"{spoken(gaps[AT_RANDOM]['accuracy'], 100, '+')}."
    )
    shown = {name: one["accuracy"] for name, one in gaps.items() if name != WHOLE}
    return Finding(tuple(rows), verdict(gain), because, partial(_draw, shown), (6.4, 2.4))


def _draw(changes: Mapping[str, Interval], figure: Figure) -> None:
    from halluc.lab.drawing import bars, plain

    panel = figure.subplots()
    bars(panel, list(changes), list(changes.values()), 100)
    panel.axvline(0, color="#777777", lw=0.8)
    plain(panel, "accuracy, difference to the whole image (points)", "")
