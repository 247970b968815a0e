"""VTI: visual and textual intervention.

States move from hallucinated captions to true ones, and from a picture to copies that hide it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.interventions import Calibrated, Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_feed_forwards
from halluc.methods._steering import of_length, unit

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Calibrator
    from halluc.interventions import At
    from halluc.models import VisionLanguageModel


def shifted(x: Tensor, direction: Tensor, alpha: float) -> Tensor:
    """Give x [..., T, D] + alpha unit(d), d [T or 1, D] (the paper, at second hand)."""
    return (x.float() + alpha * unit(direction)).to(x)


def turned(x: Tensor, direction: Tensor, alpha: float) -> Tensor:
    """Give |x| unit(unit(x) + 0.1 alpha unit(d)), shapes as above (llm_layers.py:16-30)."""
    return of_length(unit(x.float()) + 0.1 * alpha * unit(direction), x)


def measured(model: VisionLanguageModel, params: VTI.Params) -> dict[str, Tensor]:
    """Measure both variants' directions: text [L, 1, D], vision [Lv, T or 1, D]."""
    from halluc.calibration.demonstrations import drawn_demonstrations
    from halluc.calibration.directions import by_runs, component_and_mean, principal
    from halluc.calibration.layer_states import caption_shifts, tower_shifts

    shown = drawn_demonstrations(params.demos)
    raw, normed = caption_shifts(model, shown, "last")  # [N, L + 1, D] each
    vision = tower_shifts(model, shown, params.copies, params.mask_ratio)  # [N, Lv + 1, T or 1, D]
    coded = component_and_mean(normed.flatten(1)).view_as(normed[0])
    return {
        "paper.text": principal(raw.transpose(0, 1))[1:, None],
        "paper.vision": principal(vision.permute(1, 2, 0, 3))[1:],
        "official_code.text": coded[1:, None],
        "official_code.vision": by_runs(vision)[1:],
    }


@method("vti")
class VTI(Method):
    """Moves the states of all layers, of the language model and the vision tower, one way each."""

    card = MethodCard(
        title="Reducing Hallucinations in Vision-Language Models via Latent Space Steering",
        authors="Liu, Ye, Xing and Zou",
        year=2025,
        venue="ICLR",
        paper="arXiv:2410.15778",
        code="https://github.com/shengliu66/VTI@bb5dfee",
        licence="none",
        deviations=(
            "the paper could not be opened: its formula and strengths (0.4) are third parties'",
            "directions of paper are read as uncentred and of unit length",
            "official_code has the README's strengths 0.9; bare, the code takes 0.8 and 0 (image)",
            "16 drawn scenes, 10 copies each; the paper: 50 COCO images, 50 copies; README: 70",
            "copies are masked before the image processor, on a grid of as many cells as patches",
            "where pictures differ in their number of tokens, directions are means over tokens",
            "text directions are fitted without steering; the code steers the tower meanwhile",
        ),
        needs=("feed-forward networks to hook (official_code)",),
    )
    prefix_depends_on = "method"
    in_vision_tower = True
    noop = {"alpha_text": 0.0, "alpha_image": 0.0}

    class Params(MethodParams):
        """VTI's parameters; None takes the variant's own value."""

        variant: Literal["paper", "official_code"] = "paper"
        alpha_text: float | None = Field(None, ge=0, description="strength in the language model")
        alpha_image: float | None = Field(None, ge=0, description="strength in the vision tower")
        demos: int = Field(16, ge=2, description="demonstrations drawn to measure directions")
        copies: int = Field(10, ge=1, description="masked copies of each demonstration")
        mask_ratio: float = Field(0.99, ge=0, le=1, description="share of a copy that is hidden")
        vectors: str | None = Field(None, description="file of directions by halluc calibrate")
        vectors_hash: str | None = Field(None, description="hash of what that file holds")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.resting = ("feed_forward",) if params.variant == "paper" else ("hidden",)
        self.in_vision_tower = params.alpha_image != 0
        self._directions: dict[str, Tensor] = {}

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in strengths by variant and the file's hash."""
        from halluc.calibration.vector_files import hashed

        if params.variant == "official_code":
            needs_feed_forwards("vti", model)
        own = 0.4 if params.variant == "paper" else 0.9
        filled = {name: own for name in cls.noop if getattr(params, name) is None}
        return hashed(params.model_copy(update=filled), "vti")

    @classmethod
    def calibrate(cls, params: Params, calibrator: Calibrator) -> Calibrated:
        """Measure both variants' directions on as many drawn scenes as samples are asked for."""
        from halluc.calibration.demonstrations import counted

        params = counted(params, calibrator.samples, "vti")
        return Calibrated({"demos": params.demos}, {}, measured(calibrator.model, params))

    def load(self, model: VisionLanguageModel) -> None:
        """Read the directions from the file, or measure them."""
        from halluc.calibration.vector_files import read_vectors as read

        width, variant = model.model.config.get_text_config().hidden_size, self.params.variant
        text = {f"{variant}.text": (model.n_layers, 1, width)}
        shapes = text | {f"{variant}.vision": (len(model.tower.layers), None, None)}
        found = read(self.params.vectors, shapes, "vti") or measured(model, self.params)
        self._directions = {name.split(".")[1]: found[name].to(model.device) for name in shapes}

    def layers(self, n_layers: int) -> range:
        """What leaves each layer (paper), or its feed-forward network (official_code)."""
        return range(1, n_layers + 1) if self.params.variant == "paper" else range(n_layers)

    def hidden(self, at: At, hidden: Tensor) -> Tensor | None:
        """Shift what left the layer before, every token in every pass."""
        return self._moved(shifted, at, at.layer - 1, hidden) if at.layer else None

    def feed_forward(self, at: At, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Turn what the feed-forward network gives, every token in every pass."""
        return self._moved(turned, at, at.layer, outputs)

    def _moved(self, edit: Any, at: At, layer: int, states: Tensor) -> Tensor:
        alpha = self.params.alpha_text if at.part == "text" else self.params.alpha_image
        direction = self._directions[at.part][layer]
        fits = len(direction) in (1, states.shape[-2])
        direction = direction if fits else direction.mean(0, keepdim=True)
        return edit(states, direction.to(states.device), alpha) if alpha else states
