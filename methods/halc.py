"""HALC: fields of view around each object that is named are contrasted, and choose its word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.data.coco_names import COCO_NAMES
from halluc.interventions import Method, MethodCard, MethodParams, method
from halluc.interventions.base import Cost
from halluc.methods._detector_and_matcher import Onlookers
from halluc.methods._focal_search import FocalSearch, Settings
from halluc.methods._object_words import ObjectWords

if TYPE_CHECKING:
    from halluc.interventions.search_loop import SearchLoop
    from halluc.models import VisionLanguageModel

HUB_DETECTOR = "IDEA-Research/grounding-dino-tiny"  # the checkpoint of the published code
HUB_MATCHER = "Salesforce/blip-itm-large-coco"
THRESHOLDS = {"grounding-dino": 0.45, "owlv2": 0.05, "owlvit": 0.05}
"""The least score of a box, by the detector's kind, as in the published code."""
DRAWN_THRESHOLD = 0.3
"""The same for the detector of drawn scenes."""
CANDIDATES = {"paper": 6, "official_code": 4}


@method("halc")
class HALC(Method):
    """Chooses words for objects anew by what fields of view around the object say."""

    card = MethodCard(
        title="HALC: Object Hallucination Reduction via Adaptive Focal-Contrast Decoding",
        authors="Chen et al.",
        year=2024,
        venue="ICML",
        paper="arXiv:2403.00425",
        code="https://github.com/BillChan226/HALC@12ea8b5",
        licence="MIT",
        deviations=(
            "of the paper only formulas were at hand, and not how many fields are smaller than "
            "the box (here one), how many candidates there are (here 6, as in logged runs of the "
            "code) or which box is taken of several (here the surest)",
            "words for objects are those for COCO's categories; paper and code ask a tagger for "
            "nouns, and the paper for attributes and relations, too",
            "a detector is asked for the category, the code asks for the word",
            "the code leaves alone three words in ten, drawn at random, and 31 words of a list",
            "the code decodes by DoLa between objects, as dola+halc does; halc itself is greedy",
            "branches are compared whenever an object is named; the code does it at every token",
            "a word neither found nor corrected becomes the unknown token and is left out of the "
            "answer, which a tokenizer without one cannot do",
            "the code leaves a word out also where only a part of it was chosen again",
            "the code ranks texts by a captioning checkpoint of BLIP, which has no text encoder "
            "to match by; here it is a retrieval checkpoint",
            "the code stops after nine repeated tokens; ours goes on",
            "drawn scenes have a detector and a matcher of their own, which reads texts about one "
            "object: a text's score is the mean over the objects it names",
        ),
        cost=Cost(None, None),
    )
    prefix_depends_on = "nothing"
    noop = {"objects": ()}

    class Params(MethodParams):
        """HALC's parameters; None takes what fits variant and model."""

        variant: Literal["paper", "official_code"] = "paper"
        n_crops: int = Field(4, ge=2, description="fields of view of each object (n)")
        expand_ratio: float = Field(0.6, gt=0, description="growth between fields (lambda)")
        k_candidates: int | None = Field(
            None, ge=2, multiple_of=2, description="contrasts, two for each pair of fields (2m)"
        )
        beta: float = Field(0.05, ge=0, description="weight of what is contrasted with (alpha)")
        num_beams: int = Field(1, ge=1, description="unless the run's decoding has beams")
        objects: tuple[str, ...] = Field(COCO_NAMES, description="categories looked for")
        detector: str | None = Field(None, description='"glyph", a folder or a hub id')
        detector_revision: str | None = Field(None, description="commit; hash of a local detector")
        box_threshold: float | None = Field(None, ge=0, le=1, description="least score of a box")
        matcher: str | None = Field(None, description='"glyph", a folder or a hub id')
        matcher_revision: str | None = Field(None, description="commit; hash of a local matcher")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._onlookers: Onlookers | None = None

    @classmethod
    def requires(cls, params: Params, config: Any, model: str) -> None:
        """Refuse a detector or matcher that does not exist, where one is named.

        Raises:
            UserError: If one that is named cannot be found, or is of another kind.
        """
        from halluc.models.image_text_matcher import find_matcher
        from halluc.models.object_detector import find_detector

        if params.detector is not None:
            find_detector(params.detector, params.detector_revision)
        if params.matcher is not None:
            find_matcher(params.matcher, params.matcher_revision)

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Name detector and matcher, the state they are in, and what depends on variant and kind.

        Raises:
            UserError: If one of them cannot be found.
        """
        from halluc.models.image_text_matcher import find_matcher
        from halluc.models.names import EMBEDDED
        from halluc.models.object_detector import find_detector

        drawn = model.name in EMBEDDED or not model.model.name_or_path  # or built in memory
        detector = params.detector or ("glyph" if drawn else HUB_DETECTOR)
        matcher = params.matcher or ("glyph" if drawn else HUB_MATCHER)
        source = find_detector(detector, params.detector_revision)
        own = DRAWN_THRESHOLD if detector == "glyph" else THRESHOLDS[source.config.model_type]
        update = {
            "k_candidates": params.k_candidates or CANDIDATES[params.variant],
            "detector": detector,
            "detector_revision": source.revision,
            "box_threshold": own if params.box_threshold is None else params.box_threshold,
            "matcher": matcher,
            "matcher_revision": find_matcher(matcher, params.matcher_revision).revision,
        }
        return params.model_copy(update=update)

    def search(self, loop: SearchLoop) -> list[int]:
        """Search for an answer whose objects are seen."""
        p, tokenizer = self.params, loop.model.processor.tokenizer
        assert p.k_candidates is not None
        self._onlookers = self._onlookers or Onlookers(p, loop.model.device)
        search = FocalSearch(
            loop,
            Settings(p.variant, p.n_crops, p.expand_ratio, p.k_candidates, p.beta),
            ObjectWords(p.objects, tokenizer),
            self._onlookers,
            tokenizer.unk_token_id,
        )
        return search.run(loop.beams if loop.beams > 1 else p.num_beams)
