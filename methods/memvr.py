"""MemVR: Memory-space Visual Retracing.

Where a layer is unsure of the next token, the next feed-forward network looks at the image again.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_early_logits

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.models import VisionLanguageModel

    Phi = Callable[[Tensor], Tensor]


def uncertainty(logits: Tensor) -> Tensor:
    """Give the entropy of the 10 likeliest tokens of [B, V] over log 10, [B] (memvr.py:206)."""
    log_p = logits.float().topk(10).values.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1) / log(10)


def retraced(
    inputs: Tensor, outputs: Tensor, visual: Tensor, rows: Tensor, ratio: float, phi: Phi | None
) -> Tensor:
    """Mix (1 - r) FFN(x) + r a, where a = phi(x V^T) V is made as large as FFN(x).

    Sizes are means of absolute values over a sample's rows (MemVR: memvr.py:86).

    Args:
        inputs, outputs: Of the network [B, Q, D].
        visual: Image tokens [B, N, D], zero in the place of others.
        rows: Which are edited, bool [B, Q]; the others come back unchanged and do not count.
        ratio: r.
        phi: None leaves it out, as the published code for LLaVA does.
    """
    own, visual, edited = outputs.float(), visual.float(), rows[:, :, None]
    match = inputs.float() @ visual.transpose(1, 2)
    read = (match if phi is None else phi(match)) @ visual
    wanted, size = ((edited * part).abs().sum((1, 2), keepdim=True) for part in (own, read))
    mixed = (1 - ratio) * own + ratio * read * (wanted / size.clamp(min=1e-20))
    return mixed.to(outputs.dtype).where(edited, outputs)


@method("memvr")
class MemVR(Method):
    """Looks at the image again in one layer of each pass that leaves the model unsure."""

    card = MethodCard(
        title="Look Twice Before You Answer: Memory-Space Visual Retracing for Hallucination "
        "Mitigation in Multimodal Large Language Models",
        authors="Zou et al.",
        year=2025,
        venue="ICML",
        paper="arXiv:2410.03577",
        code="https://github.com/1zhou-Wang/MemVR@de2e3cf",
        licence="Apache-2.0",
        deviations=(
            "variant paper has the network's activation between keys and values, as the code for "
            "Qwen-VL does; that for LLaVA leaves it out (official_code); the paper was not read",
            "layers 6 to 15 of 32 may trigger, of Qwen models 10 to 15, as the code's scripts for "
            "Qwen-VL-Chat have it; at other depths these bounds scale with it",
            "each sample has its own entropy and sizes, without padding; the code's mix the batch",
            "image tokens are read where they enter the first layer, in fp32; early logits normed, "
            "as the code for LLaVA has them, that for Qwen-VL reads them raw",
            "ratio 0.12 is the code's for MME, MM-Vet and CHAIR; other scripts set up to 0.32",
        ),
        needs=("image tokens in the prompt", "feed-forward networks to hook"),
    )
    rows = "all"
    prefix_depends_on = "question"
    noop = {"ratio": 0.0}

    class Params(MethodParams):
        """MemVR's parameters; None takes what fits the model's depth."""

        variant: Literal["paper", "official_code"] = "paper"
        ratio: float = Field(0.12, ge=0, le=1, description="the image's share of the output")
        threshold: float = Field(0.75, ge=0, description="uncertainty that has to be exceeded")
        first_layer: int | None = Field(None, ge=0, description="first that may trigger, 0-based")
        last_layer: int | None = Field(None, ge=0, description="the last that may")

    params: Params

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in layers by depth; check image tokens, early logits and networks."""
        name = model.name
        if model.family.token == "keys":
            raise UserError(f"method 'memvr' looks at image tokens; {name!r} has layers instead")
        needs_early_logits("memvr", model)
        first, last = params.first_layer, params.last_layer
        of_32 = [number * model.n_layers // 32 for number in (5, 9, 16)]
        if first is None:
            qwen = model.model.config.model_type.startswith("qwen")  # shallow ones keep a layer
            first = max(of_32[0] + 1, min(of_32[1] + 1, of_32[2] - 1) if qwen else 0)
        last = max(first, of_32[2] - 1) if last is None else last
        networks = [model.feed_forwards.get(layer + 1) for layer in range(first, last + 1)]
        if not networks or None in networks:
            lacks = f"{name!r} has none behind some of the layers {first} to {last}"
            raise UserError(f"method 'memvr' edits feed-forward networks; {lacks}")
        if params.variant == "paper" and not all(hasattr(one, "up_proj") for one in networks):
            raise UserError(f"method 'memvr': {name!r} has no up_proj; use official_code")
        return params.model_copy(update={"first_layer": first, "last_layer": last})

    def layers(self, n_layers: int) -> list[int]:
        """List the first layer, and those behind layers that may trigger."""
        assert self.params.first_layer is not None and self.params.last_layer is not None
        return [0, *range(self.params.first_layer + 1, self.params.last_layer + 2)]

    def begin(self, batch: Batch) -> dict[str, Tensor]:
        """Keep "visual" [B, N, D], and bool [B]: who has an image, is "calm" yet, "unsure" now."""
        return {}

    def reorder(self, state: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        """Let each beam keep its image."""
        return {key: value[rows] for key, value in state.items()}

    def hidden(self, at: At, hidden: Tensor) -> None:
        """Keep image tokens at mean size 1; see who is unsure in the last row, once in a pass."""
        state, image = at.state, at.image_mask
        if at.layer == 0:
            if at.prefill:
                visual = (hidden * image[:, :, None])[:, image.any(0)].float()
                count = image.sum(1).clamp(min=1)[:, None, None] * hidden.shape[-1]
                size = visual.abs().sum((1, 2), keepdim=True) / count
                state["visual"], state["image"] = visual / size.clamp(min=1e-20), image.any(1)
            state["calm"] = state["image"]
        else:
            unsure = uncertainty(at.model.read_off(hidden[:, -1])) > self.params.threshold
            state["unsure"], state["calm"] = unsure & state["calm"], state["calm"] & ~unsure

    def feed_forward(self, at: At, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Retrace the samples that the layer before left unsure."""
        if at.layer == 0 or not (now := at.state["unsure"]).any():
            return outputs
        phi = None
        if self.params.variant == "paper":
            network: Any = at.model.feed_forwards[at.layer]
            scale = network.up_proj.weight.float().abs().mean()
            phi = lambda match: network.act_fn(match * scale)  # noqa: E731
        edited, rows = outputs.clone(), at.rows[now]
        visual, ratio = at.state["visual"][now], self.params.ratio
        edited[now] = retraced(inputs[now], outputs[now], visual, rows, ratio, phi)
        return edited
