"""The cross-check: ask, compare, score, correlate with CHAIR, and keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.crosscheck.asking_systems import Place, SaidBySystems, asked_implicitly, described
from halluc.crosscheck.target_counts import SupportRule, TargetDescription, counts, descriptions
from halluc.data.records import finite
from halluc.scoring.bootstrap import DRAWS, Interval, estimate, percentile, resample
from halluc.scoring.crosscheck.verdict_scores import KINDS, VIEWS, system_scores
from halluc.scoring.scores import tallied
from halluc.statistics.rank_agreement import LEAST, RankCorrelation, rank_correlation
from halluc.store.crosscheck_file import CrossCheckFile, CrossCheckRule, write_crosscheck
from halluc.store.run_folder import now
from halluc.store.scores_file import MetricValue

if TYPE_CHECKING:
    from halluc.crosscheck.crosscheck_config import CrossCheckConfig
    from halluc.crosscheck.systems import System
    from halluc.scoring.base import Benchmark
    from halluc.scoring.bootstrap import Array
    from halluc.store import Scored
    from halluc.types import Sample

SCORES = tuple(f"{kind}_{view}" for kind in KINDS for view in VIEWS)
TRUTH = "chair_i"
"""What cross-check scores are correlated with: the share of named objects that are not there."""


@dataclass(frozen=True)
class Checked:
    """A target.

    Attributes:
        scored: Its descriptions.
        sentences: The number of sentences by kind, "explicit" and "implicit".
        scores: Those of `SCORES` for which there is evidence, and `TRUTH` where the benchmark has
            it, with intervals.
        draws: The same [draws] after resampling images, the same ones for all targets.
    """

    system: System
    scored: Scored
    sentences: dict[str, int]
    scores: dict[str, Interval]
    draws: dict[str, Array]


@dataclass(frozen=True)
class Correlated:
    """A score's correlation with `TRUTH`, over all targets or those of one model."""

    score: str
    model: str | None
    found: RankCorrelation


@dataclass(frozen=True)
class CrossCheck:
    """A finished cross-check; `n_images` were described by all targets together."""

    config: CrossCheckConfig
    rule: CrossCheckRule
    n_images: int
    targets: tuple[Checked, ...]
    correlations: tuple[Correlated, ...]

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher score means fewer hallucinations: only the published code negates."""
        return self.config.variant == "official_code"


def run_crosscheck(
    config: CrossCheckConfig, place: Place | None = None, draws: int = DRAWS
) -> CrossCheck:
    """Check targets against evidence systems; what is kept already is not asked again.

    Args:
        place: Where answers are kept, and where progress is shown.
        draws: Bootstrap resamples of images.

    Raises:
        UserError: If a run or a judge raises it.
        Interrupted: If told to stop.
    """
    place = place or Place()
    benchmark = config.build()
    supports = SupportRule(config.judge, benchmark)
    said = described(config, place)
    samples = list(benchmark.asked(config.limit))
    split = {
        target: descriptions(config, benchmark, samples, _texts(benchmark, scored))
        for target, scored in said.descriptions.items()
    }
    replies = asked_implicitly(config, _questions(config, split, samples), place)
    passages = {
        system: [{one.id: one.text for one in run.readings} for run in runs]
        for system, runs in said.passages.items()
    }
    sums = {}
    for target in config.targets:
        with supports.of(said.descriptions[target].run.path) as rule:
            sums[target] = counts(config, target, split[target], passages, replies, rule)
    images = sorted({image for by_image in sums.values() for image in by_image})
    targets = tuple(
        _checked(config, benchmark, target, said.descriptions[target], sums[target], images, draws)
        for target in config.targets
    )
    found = CrossCheck(
        config, _rule(config, said), len(images), targets, tuple(_correlations(targets))
    )
    for one in targets:
        _keep(found, one)
    return found


def _texts(benchmark: Benchmark, scored: Scored) -> dict[str, str]:
    """Return a target's descriptions by sample, as far as they are scored."""
    answers = (reading.answer for reading in scored.readings)
    return {answer.id: benchmark.caption(answer) or answer.text for answer in answers}


def _questions(
    config: CrossCheckConfig,
    split: Mapping[System, list[TargetDescription]],
    samples: list[Sample],
) -> list[Sample]:
    """List each question about a sentence once, those about an image next to each other."""
    by_image: dict[str, dict[str, Sample]] = {sample.image_id: {} for sample in samples}
    wording = config.wording
    for said in (one for target in split.values() for one in target):
        for question in (q for asked in said.questions(wording) for q in asked):
            by_image[question.image_id].setdefault(question.id, question)
    return [asked[id] for asked in by_image.values() for id in sorted(asked)]


def _checked(
    config: CrossCheckConfig,
    benchmark: Benchmark,
    target: System,
    scored: Scored,
    sums: Mapping[str, Mapping[str, float]],
    images: list[str],
    draws: int,
) -> Checked:
    names, table = tallied([sums.get(image, {}) for image in images])
    metrics = system_scores([name for name in SCORES if name in names], config.variant)
    values = estimate(table, names, metrics)
    drawn = resample(table, names, metrics, draws, 0)
    if TRUTH in {metric.name for metric in benchmark.card.metrics}:
        # Both are resampled with the same weights, which depend on the number of images alone.
        read = {name: image.counts for name, image in scored.images.items()}
        true_names, true_table = tallied([read.get(image, {}) for image in images])
        values[TRUTH] = estimate(true_table, true_names, benchmark.metrics)[TRUTH]
        drawn[TRUTH] = resample(true_table, true_names, benchmark.metrics, draws, 0)[TRUTH]
    total = dict(zip(names, table.sum(axis=0).tolist(), strict=True))
    return Checked(
        system=target,
        scored=scored,
        sentences={kind: int(total.get(f"{kind}_sentences", 0)) for kind in KINDS},
        scores={name: percentile(value, drawn[name]) for name, value in values.items()},
        draws=drawn,
    )


def _correlations(targets: tuple[Checked, ...]) -> Iterator[Correlated]:
    """Correlate each score with `TRUTH`, over all targets that have it and over each model's."""
    import numpy as np

    models = list(dict.fromkeys(one.system.model for one in targets))
    for model in (None, *(models if len(models) > 1 else ())):
        own = [one for one in targets if model in (None, one.system.model)]
        for score in SCORES:
            known = [
                one for one in own if all(_defined(one.scores.get(name)) for name in (score, TRUTH))
            ]
            if len(known) >= LEAST:
                x, y = (
                    np.array([one.scores[name].value for one in known]) for name in (score, TRUTH)
                )
                drawn = (
                    np.stack([one.draws[name] for one in known], axis=1) for name in (score, TRUTH)
                )
                yield Correlated(score, model, rank_correlation(x, y, *drawn))


def _defined(score: Interval | None) -> bool:
    return score is not None and score.value == score.value


def _rule(config: CrossCheckConfig, said: SaidBySystems) -> CrossCheckRule:
    return CrossCheckRule(
        evidence=tuple(map(str, config.evidence)),
        passages=tuple(
            tuple(scored.run.asker.key for scored in said.passages[one]) for one in config.evidence
        ),
        temperature=config.temperature,
        judge=config.judge,
        question=config.wording,
        variant=config.variant,
    )


def _keep(found: CrossCheck, target: Checked) -> None:
    """Write a target's scores into its run folder, where boards find them.

    A board's table is of one model. There all rows must be checked against the same evidence, which
    the paper's leaving out of the target alone does not give: boards show what other models say,
    and what all evidence says where there are none.
    """
    scores = target.scored.scores
    others = "explicit_other_models" in target.scores and not found.higher_is_better
    shown = "other_models" if others else "with_self"
    values = {
        name: MetricValue(
            **finite(vars(value)),
            higher_is_better=found.higher_is_better,
            headline=name.partition("_")[2] == shown,
            scale=100,
        )
        for name, value in target.scores.items()
        if name in SCORES
    }
    write_crosscheck(
        target.scored.run,
        CrossCheckFile(
            asker=target.scored.run.asker.key,
            benchmark=scores.asked.benchmark,
            asked=scores.asked.key,
            rule=found.rule,
            values=values,
            n_images=found.n_images,
            date=now(),
        ),
    )
