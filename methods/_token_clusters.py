"""Tokens grouped by similarity, as VMTC merges them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def cluster(points: Tensor, count: int, iterations: int) -> Tensor:
    """Cluster points by k-means on cosine similarity; no seed is drawn, so calls agree.

    The first point is the first centre; each further centre is the point least similar to those
    chosen before. A cluster that loses all its points takes the one least similar to its centre.

    Args:
        points: [P, D].
        count: Clusters, at most P.
        iterations: Rounds of assigning and averaging.

    Returns:
        The cluster of each point, int [P]; none is empty.
    """
    unit = points / points.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    seeds = [0]
    nearest = unit @ unit[0]
    for _ in range(count - 1):
        nearest[seeds[-1]] = float("inf")  # never chosen twice
        seeds.append(int(nearest.argmin()))
        nearest = nearest.maximum(unit @ unit[seeds[-1]])
    centres = unit[seeds]
    labels = _assigned(unit @ centres.T)
    for _ in range(iterations):
        sums = unit.new_zeros(count, unit.shape[1]).index_add(0, labels, unit)
        centres = sums / sums.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        labels = _assigned(unit @ centres.T)
    return labels


def _assigned(similarity: Tensor) -> Tensor:
    """Assign each point its most similar centre [P], from similarities [P, C]; none stays empty."""
    to_centre, labels = similarity.max(1)
    for empty in range(similarity.shape[1]):
        if bool((labels == empty).any()):
            continue
        sizes = labels.bincount(minlength=similarity.shape[1])
        point = int(to_centre.masked_fill(sizes[labels] == 1, float("inf")).argmin())
        labels[point], to_centre[point] = empty, float("inf")
    return labels
