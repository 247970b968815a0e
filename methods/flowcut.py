"""FlowCut: prunes patches inside the vision tower, a few behind every other layer.

A patch's score is the share of the CLS token's attention it gets, plus how similar its value vector
is to the CLS token's, times that vector's size; scores are accumulated over layers. The more evenly
the CLS token spreads its attention, the fewer patches a layer drops.
"""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_cls, needs_one_feature_layer, needs_patch_tokens

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At


class Flow(NamedTuple):
    """Information flow of patches in one layer.

    Attributes:
        score: (rel + sem) * |mean_h v|_1 [N, P].
        relation: rel, the CLS token's attention among patches, which sums to 1 [N, P].
    """

    score: Tensor
    relation: Tensor


def information_flow(attention: Tensor, values: Tensor) -> Flow:
    """Score patches in one layer.

    Args:
        attention: The CLS token's attention to all tokens [N, H, 1 + P].
        values: Value vectors [N, H, 1 + P, d].
    """
    relation = attention.float().mean(1)[:, 1:]
    relation = relation / relation.sum(-1, keepdim=True)
    values = values.float()
    similarity = (values[:, :, :1] * values).sum(-1).softmax(-1).mean(1)[:, 1:]
    similarity = similarity / similarity.sum(-1, keepdim=True)
    size = values.mean(1)[:, 1:].abs().sum(-1)
    return Flow((relation + similarity) * size, relation)


def to_drop(relation: Tensor, target: int, layers_left: int) -> int:
    """Count the patches to drop behind a layer: (N - target) / sqrt(rpl) * (1 - H^2), rounded.

    Args:
        relation: One image's CLS attention among its N patches, summing to 1 [N].
        target: Patches to end with.
        layers_left: rpl, layers until the last that prunes; 0 in that layer.
    """
    count = relation.shape[0]
    if layers_left == 0:
        return max(count - target, 0)
    entropy = -float((relation * relation.clamp(min=1e-12).log()).sum()) / log(max(count, 2))
    wished = round((count - target) / sqrt(layers_left) * (1 - entropy**2))
    return min(max(wished, 0), max(count - target, 0))


@method("flowcut")
class FlowCut(Method):
    """Prunes to a third of the patches behind every other layer of the vision tower."""

    card = MethodCard(
        title="FlowCut: Rethinking Redundancy via Information Flow for Efficient Vision-Language "
        "Models",
        authors="Tong et al.",
        year=2025,
        venue="NeurIPS",
        paper="arXiv:2505.19536",
        code="https://github.com/TungChintao/FlowCut@a2ecd24",
        licence="Apache-2.0",
        deviations=(
            "images are encoded one at a time and each drops as many patches as its own entropy "
            "says; the code takes a batch's largest count, the same at the batch size 1 it runs at",
            "the default is a share, 192 of LLaVA-1.5's 576, so that it means the same elsewhere",
            "tiles (LLaVA-NeXT) are pruned one by one and keep their places in the grid, new lines "
            "stay; each tile keeps the full share, the code half of it (int(target / 2) + 1 "
            "patches); the second cut, in the language model of LLaVA-NeXT and Qwen2-VL, is not "
            "made",
            "towers without a CLS token, for which the paper averages the patches, are refused",
        ),
        needs=("a vision tower with a CLS token", "an image token a patch", "one feature layer"),
    )
    prefix_depends_on = "method"
    noop = {"target": 1.0}

    class Params(MethodParams):
        """FlowCut's parameters."""

        target: float = Field(1 / 3, gt=0, description="patches left; up to 1 a share of all")

    params: Params

    @classmethod
    def requires(cls, params: Params, config: Any, model: str) -> None:
        """Refuse a model without a CLS token, a token a patch, or enough patches.

        Raises:
            UserError: If it lacks one of them.
        """
        needs_cls("flowcut", config, model)
        needs_patch_tokens("flowcut", config, model)
        needs_one_feature_layer("flowcut", config, model)
        vision = config.vision_config
        total = (vision.image_size // vision.patch_size) ** 2
        if params.target > max(total, 1):
            raise UserError(
                f"method 'flowcut': target {params.target:g} exceeds the {total} patches of "
                f"{model!r}; a number up to 1 is a share of them"
            )

    def image_tokens(self, at: At, hidden: Tensor) -> Tensor:
        """Score the patches; prune behind every other layer, the last one before the features."""
        layers_left = max(at.tower.features - 1, 0) - at.layer
        state, patches = at.tower.state, hidden.shape[1] - 1
        if at.layer == 0:
            state["target"] = self.count(patches)
        if layers_left < 0 or patches <= state["target"]:
            return hidden
        score, relation = information_flow(at.tower.attention, at.tower.values)
        state["score"] = (state["score"] + score) / 2 if "score" in state else score
        if layers_left % 2:
            return hidden
        drop = max(to_drop(image, state["target"], layers_left) for image in relation)
        stay = state["score"].topk(patches - drop, dim=-1).indices.sort(-1).values
        state["score"] = state["score"].gather(1, stay)
        return at.tower.keep(hidden, stay)

    def count(self, total: int) -> int:
        """Count the patches left of `total`."""
        target = self.params.target
        return max(1, round(target * total)) if target <= 1 else min(round(target), total)
