"""The baseline: the model as it is."""

from __future__ import annotations

from halluc.interventions import Method, MethodCard, method


@method("baseline")
class Baseline(Method):
    """No intervention; every other method is compared with it, under the same decoding."""

    card = MethodCard(
        title="No intervention",
        authors="-",
        year=0,
        venue="-",
        paper="-",
    )
    prefix_depends_on = "nothing"
