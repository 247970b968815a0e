"""AGLA: Assembly of Global and Local Attention.

A matcher finds the parts of the image that bear on the question; the rest is blackened, and the
logits of that view are added to those of the whole image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Cost, Method, MethodCard, MethodParams, method
from halluc.interventions.contrast import implausible
from halluc.methods._masked_views import mask_image, question_in

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Inputs
    from halluc.models import VisionLanguageModel
    from halluc.models.auxiliary import AuxiliaryModel
    from halluc.models.image_text_matcher import Matcher

HUB_MATCHER = "Salesforce/blip-itm-large-coco"  # the retrieval checkpoint of the published code


@method("agla")
class AGLA(Method):
    """Adds the logits of a view masked to what a matcher finds relevant to the question."""

    card = MethodCard(
        title="Mitigating Object Hallucinations in Large Vision-Language Models with Assembly of "
        "Global and Local Attention",
        authors="An et al.",
        year=2025,
        venue="CVPR",
        paper="arXiv:2406.12718",
        code="https://github.com/Lackel/AGLA@efa1263",
        deviations=(
            "the masked image is a stream with a cache of its own; the code reads the whole "
            "image's cache from the second token on, so that the masked one acts on the first "
            "token only (variant official_code does the same)",
            "the image is masked at its own size; the code squashes it to the matcher's square "
            "first (variant official_code does the same)",
            "the question is cut behind its last question mark, as the code's matcher never sees "
            "the sentence that asks for one word; on MME the code's question keeps it",
            "the matcher's text keeps its case, punctuation and length; the code lower-cases it, "
            "drops some marks and cuts it at 50 words",
            "the code ran LLaVA-1.5 with Vicuna's system prompt: --model-args system_prompt=vicuna",
            "decoding is the run's own, greedy by default; the paper samples at temperature 1",
            "glyph is matched by a matcher trained on drawn scenes",
        ),
        cost=Cost(token=2),
        needs=("an image-text matcher",),
    )
    prefix_depends_on = "nothing"
    noop = {"alpha": 0.0, "beta": 0.0}

    class Params(MethodParams):
        """AGLA's parameters; None takes what fits the model."""

        variant: Literal["paper", "official_code"] = "paper"
        alpha: float = Field(2.0, ge=0, description="weight of the masked image's logits")
        beta: float = Field(0.5, ge=0, le=1, description="least share of the best token's chance")
        matcher: str | None = Field(None, description='"glyph", a folder or a hub id')
        matcher_revision: str | None = Field(None, description="commit; hash of a local matcher")
        cam_layer: int | None = Field(None, ge=0, description="text layer read, 0-based; the 7th")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._matcher: Matcher | None = None

    @classmethod
    def requires(cls, params: Params, config: Any, model: str) -> None:
        """Refuse a matcher that does not exist, where one is named.

        Raises:
            UserError: If the matcher named cannot be found, or lacks the layer to read.
        """
        if params.matcher is not None:
            cls._found(params, params.matcher)

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Name the matcher, the state it is in, and the layer read (index 6 of 12 layers).

        Raises:
            UserError: If the matcher cannot be found, or lacks the layer to read.
        """
        from halluc.models.names import EMBEDDED

        drawn = model.name in EMBEDDED or not model.model.name_or_path  # or built in memory
        name = params.matcher or ("glyph" if drawn else HUB_MATCHER)
        source, layer = cls._found(params, name)
        update = {"matcher": name, "matcher_revision": source.revision, "cam_layer": layer}
        return params.model_copy(update=update)

    @staticmethod
    def _found(params: Params, name: str) -> tuple[AuxiliaryModel, int]:
        """Find the matcher, and the layer of it that is read."""
        from halluc.models.image_text_matcher import find_matcher

        source = find_matcher(name, params.matcher_revision)
        last = source.config.text_config.num_hidden_layers - 1
        layer = (last + 1) // 2 if params.cam_layer is None else params.cam_layer
        if layer >= last:  # behind the last layer only the first token is read
            raise UserError(f"agla: cam_layer {layer} of matcher {name!r}: choose 0 to {last - 1}")
        return source, layer

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Inputs]:
        """Ask the same about masked images."""
        from halluc.models.image_text_matcher import attention_map

        matcher = self._load(model)
        images = [image.convert("RGB") for image in batch.images]
        relevance, similarity = matcher.match(images, [question_in(q) for q in batch.prompts])
        if self.params.variant == "official_code":
            images = [image.resize((matcher.side, matcher.side)) for image in images]
        masked = [
            mask_image(image, attention_map(patches, (image.height, image.width)), score)
            for image, patches, score in zip(images, relevance, similarity.tolist(), strict=True)
        ]
        return {"masked": model.encode(batch.rendered, masked)}

    def _load(self, model: VisionLanguageModel) -> Matcher:
        """Load the matcher when it is first needed; it is kept, as it serves all samples."""
        from halluc.models.image_text_matcher import Matcher

        if self._matcher is None:
            assert self.params.matcher is not None
            source, layer = self._found(self.params, self.params.matcher)
            self._matcher = Matcher(source, layer, model.device)
        return self._matcher

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Add alpha times the masked stream's logits; the published code adds the main ones."""
        full, masked = logits["main"], logits["masked"]
        if self.params.variant == "official_code" and at.step > 0:
            masked = full
        at.forbid(implausible(full, self.params.beta))
        return full + self.params.alpha * masked
