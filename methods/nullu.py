"""Nullu: the null space of what tells hallucinated captions from true ones.

In the upper half of the layers, down projections are projected onto the null space of the main
directions in which features of the two kinds of caption differ. Inference costs nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Calibrated, Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_layers

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Calibrator
    from halluc.models import VisionLanguageModel

_MOST = 32  # directions a file holds of each layer


def projected(weight: Tensor, space: Tensor) -> Tensor:
    """(I - V V^T) W, in fp32 and rounded last (halluedit.py:239-283).

    Args:
        weight: A down projection [D, F].
        space: Orthonormal directions V^T [k, D].
    """
    space, wide = space.to(weight.device).float(), weight.float()
    return (wide - space.mT @ (space @ wide)).to(weight)


def measured(model: VisionLanguageModel, demos: int) -> dict[str, Tensor]:
    """Measure both variants' directions of each layer's output on drawn scenes [L, k, D]."""
    from halluc.calibration.demonstrations import drawn_demonstrations
    from halluc.calibration.directions import singular
    from halluc.calibration.layer_states import caption_shifts

    end = model.processor.tokenizer.eos_token or ""
    raw, normed = caption_shifts(model, drawn_demonstrations(demos), "mean", (" ", end))
    found = {"paper.space": raw, "official_code.space": normed}  # [N, L + 1, D] each
    return {name: singular(s[:, 1:].transpose(0, 1), _MOST) for name, s in found.items()}


@method("nullu")
class Nullu(Method):
    """Keeps the upper half of the layers from writing along four directions of hallucination."""

    card = MethodCard(
        title="Nullu: Mitigating Object Hallucinations in Large Vision-Language Models via "
        "HalluSpace Projection",
        authors="Yang, Zheng, Chen, Zhao, Lin and Shen",
        year=2025,
        venue="CVPR",
        paper="arXiv:2412.13817",
        code="https://github.com/Ziwei-Zheng/Nullu@dcb1ef4",
        licence="MIT",
        deviations=(
            "the method section could not be opened: paper is what abstract and summaries say",
            "official_code reads the last layer behind the final norm, paper before it",
            "demos: 16 drawn scenes; the paper takes about 5000 pairs of LURE's on COCO",
            "captions of a pair have as many words: they differ in content and not in length",
            "of models without 32 layers the upper half is our choice; rank 4 is LLaVA-1.5's",
            "weights are multiplied in fp32 and rounded once; the code rounds the projection too",
        ),
    )
    prefix_depends_on = "method"
    noop = {"rank": 0}

    class Params(MethodParams):
        """Nullu's parameters; None takes the model's upper half."""

        variant: Literal["paper", "official_code"] = "paper"
        rank: int = Field(4, ge=0, le=_MOST, description="directions taken out of each layer")
        first_layer: int | None = Field(None, ge=0, description="first layer edited; None: L // 2")
        last_layer: int | None = Field(None, ge=0, description="last layer edited; None: L - 1")
        demos: int = Field(16, ge=2, description="demonstrations drawn to measure directions")
        vectors: str | None = Field(None, description="file of directions by halluc calibrate")
        vectors_hash: str | None = Field(None, description="hash of what that file holds")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._edited: dict[str, Tensor] = {}

    @classmethod
    def requires(cls, params: Params, config: Any, model: str) -> None:
        """Refuse quantised weights."""
        if any(
            getattr(of, "quantization_config", None) for of in (config, config.get_text_config())
        ):
            raise UserError(f"method 'nullu' edits weights, and those of {model!r} are quantised")

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in layers and the file's hash; refuse layers with no down projection in reach."""
        from halluc.calibration.vector_files import hashed

        first = model.n_layers // 2 if params.first_layer is None else params.first_layer
        last = model.n_layers - 1 if params.last_layer is None else params.last_layer
        needs_layers("nullu", first, last, model)
        weights = dict(model.model.named_parameters())
        for layer in range(first, last + 1) if params.rank else ():
            name = model.down_projections.get(layer)
            if name is None or not weights[name].is_floating_point() or weights[name].is_meta:
                raise UserError(
                    f"method 'nullu' edits down projections of feed-forward networks, and that of "
                    f"layer {layer} of {model.name!r} is not found, is quantised or is offloaded"
                )
        layers = {"first_layer": first, "last_layer": last}
        return hashed(params.model_copy(update=layers), "nullu")

    @classmethod
    def calibrate(cls, params: Params, calibrator: Calibrator) -> Calibrated:
        """Measure both variants' directions on as many drawn scenes as samples are asked for."""
        from halluc.calibration.demonstrations import counted

        params = counted(params, calibrator.samples, "nullu")
        return Calibrated({"demos": params.demos}, {}, measured(calibrator.model, params.demos))

    def load(self, model: VisionLanguageModel) -> None:
        """Project the weights, along directions of the file or measured ones."""
        from halluc.calibration.vector_files import read_vectors

        params, name = self.params, f"{self.params.variant}.space"
        assert params.first_layer is not None and params.last_layer is not None
        sizes = (model.n_layers, None, model.model.config.get_text_config().hidden_size)
        found = read_vectors(params.vectors, {name: sizes}, "nullu")
        spaces = (found or measured(model, params.demos))[name]
        if spaces.shape[1] < params.rank:
            raise UserError(
                f"method 'nullu': rank {params.rank} is more than the {spaces.shape[1]} directions "
                "of as many demonstrations; raise demos"
            )
        weights = dict(model.model.named_parameters())
        for layer in range(params.first_layer, params.last_layer + 1) if params.rank else ():
            own = model.down_projections[layer]
            self._edited[own] = projected(weights[own].detach(), spaces[layer, : params.rank])

    def weights(self, model: VisionLanguageModel) -> Mapping[str, Tensor]:
        """Give down projections that cannot write along the directions."""
        return self._edited
