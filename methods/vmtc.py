"""VMTC: Visual-Modality Token Compression, a reading of the paper where it is silent.

Patches the vision tower's CLS token attends to most stay as they are. The others are clustered by
the direction of their features, and each cluster becomes one token, the mean of its members
weighted by their importance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from halluc.interventions import Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_cls, needs_one_feature_layer, needs_patch_tokens
from halluc.methods._token_clusters import cluster

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At


def compress(
    patches: Tensor, importance: Tensor, primary: int, clusters: int, iterations: int
) -> tuple[Tensor, Tensor]:
    """Keep the most important patches of one image and merge the others.

    Args:
        patches: Features [P, D].
        importance: Attention from the CLS token, IPS [P].
        primary: Patches that stay.
        clusters: Tokens the others are merged to, at most as many as they are.
        iterations: Of the k-means.

    Returns:
        The patches [P, D] with merged tokens in the place of their most important members, and
        which of them to keep, ascending [primary + clusters].
    """
    order = importance.argsort(descending=True, stable=True)
    top, rest = order[:primary], order[primary:].sort().values
    out, names = patches.clone(), top.tolist()
    if clusters:
        labels = cluster(patches[rest].float(), clusters, iterations)
        for label in range(clusters):
            members = rest[labels == label]
            weight = importance[members].float().clamp(min=1e-12)[:, None]
            merged = (patches[members].float() * weight).sum(0) / weight.sum()
            name = int(members[importance[members].argmax()])
            out[name] = merged.to(patches)
            names.append(name)
    return out, top.new_tensor(sorted(names))


@method("vmtc")
class VMTC(Method):
    """Keeps a quarter of the patches and merges the others to a sixteenth."""

    card = MethodCard(
        title="Enhancing Instruction-Following Capability of Visual-Language Models by Reducing "
        "Image Redundancy",
        authors="Yang et al.",
        year=2024,
        venue="arXiv",
        paper="arXiv:2411.15453",
        deviations=(
            "a reading of the paper where it is silent, and only its VMTC half; no code was found",
            "its target is instruction following, not hallucination; the paper may train with it",
            "counts are our choice: 1/4 of the patches stay and the others become 1/16 of all "
            "(144 and 36 of LLaVA-1.5's 576)",
            "the layer is our choice: the one whose output the language model reads, its CLS "
            "attention averaged over heads",
            "k-means starts from farthest points, runs 10 rounds, on the features themselves",
            "a merged token stands where its most important member stood",
        ),
        needs=("a vision tower with a CLS token", "an image token a patch", "one feature layer"),
    )
    prefix_depends_on = "method"
    noop = {"primary": 1.0}

    class Params(MethodParams):
        """VMTC's parameters."""

        primary: float = Field(0.25, gt=0, description="patches that stay; up to 1 a share of all")
        clusters: float = Field(0.0625, ge=0, description="tokens merged; below 1 a share of all")
        iterations: int = Field(10, ge=0, description="rounds of k-means")

    params: Params

    @classmethod
    def requires(cls, params: Params, config: Any, model: str) -> None:
        """Refuse a model without a CLS token, or without a token a patch of one layer."""
        needs_cls("vmtc", config, model)
        needs_patch_tokens("vmtc", config, model)
        needs_one_feature_layer("vmtc", config, model)

    def image_tokens(self, at: At, hidden: Tensor) -> Tensor:
        """Compress behind the layer the language model reads."""
        if at.layer != at.tower.features:
            return hidden
        total = hidden.shape[1] - 1
        primary, clusters = self.counts(total)
        importance = at.tower.attention.mean(1)[:, 1:]
        merged = hidden.clone()
        kept = importance.new_zeros(len(hidden), primary + clusters).long()
        for i, image in enumerate(hidden):
            merged[i, 1:], kept[i] = compress(
                image[1:], importance[i], primary, clusters, self.params.iterations
            )
        return at.tower.keep(merged, kept)

    def counts(self, total: int) -> tuple[int, int]:
        """Count patches that stay and merged tokens, of `total`; together at least one."""
        primary, clusters = self.params.primary, self.params.clusters
        stay = round(primary * total if primary <= 1 else primary)
        merged = round(clusters * total if clusters < 1 else clusters)
        stay = min(max(stay, 1), total)
        return stay, min(merged, total - stay)
