"""From scores on disk to rows: every scoring of every run, next to its baseline."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from halluc.config import BASELINE, content_hash
from halluc.data.records import finite
from halluc.leaderboard.board import (
    CheckedByOthers,
    Gap,
    RightWrong,
    Row,
    Selective,
    Value,
    judged_metrics,
)
from halluc.statistics import NothingInCommon, compare_scored
from halluc.store.crosscheck_file import find_crosscheck

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from halluc.config import DecodingConfig
    from halluc.statistics import Comparison, Difference
    from halluc.store import Scored
    from halluc.store.scores_file import RiskCoverageValues


CONTROL: Final = "apc"
"""The plausibility constraint alone, which most contrastive methods come with."""

CONTROLS: Final[Mapping[str, tuple[str, ...]]] = {"yes_no": (CONTROL, "pba", "olm")}
"""A benchmark's task to the methods that know nothing of the image and gain all the same.

Elsewhere it is the first alone: the others lean towards yes (Yin et al., arXiv:2504.10020).
"""


class ScoredRow(NamedTuple):
    """A row, and the scores it is made from."""

    scored: Scored
    row: Row


def rows_of(scored: Sequence[Scored]) -> Iterator[ScoredRow]:
    """Compute a row of each scoring.

    A run's baseline is the one among them that used no method and is otherwise of its setting, its
    controls those of `CONTROLS` with their own defaults.

    Raises:
        UserError: If what was read in answers is missing or was edited.
    """
    rows = [(one, _row(one)) for one in scored]
    baselines = {row.setting: (one, row.key) for one, row in rows if row.method == BASELINE}
    plain = {(row.setting, row.method): one for one, row in rows if not one.run.asker.method.params}
    for one, row in rows:
        if row.setting in baselines:
            baseline, row.baseline = baselines[row.setting]
            if row.method != BASELINE:
                _compare(row, one, baseline, plain)
        yield ScoredRow(one, row)


def _compare(
    row: Row, scored: Scored, baseline: Scored, plain: Mapping[tuple[str, str], Scored]
) -> None:
    """Compare a row with its baseline and its controls; what withheld all is compared with none.

    Args:
        plain: Runs of methods with their own defaults, by setting and method.
    """
    with suppress(NothingInCommon):
        comparison = compare_scored(scored, baseline)
        row.differences = gaps_of(comparison.differences)
        row.same_length = gaps_of(comparison.same_length)
        row.right_wrong = right_wrong_of(comparison)
    for name in _controls(scored.reader.card.task, scored.run.asker.decoding):
        control = plain.get((row.setting, name))
        if control is not None and name != row.method:
            with suppress(NothingInCommon):
                comparison = compare_scored(scored, control, brief=True)
                row.over_controls[name] = _judged_gaps(row, comparison)


def _controls(task: str, decoding: DecodingConfig) -> Sequence[str]:
    """List the controls of a benchmark's task; greedy decoding with the first is the baseline."""
    known = CONTROLS.get(task, (CONTROL,))
    return [name for name in known if not (decoding.greedy and name == CONTROL)]


def _judged_gaps(row: Row, comparison: Comparison) -> dict[str, Gap]:
    gaps, judged = gaps_of(comparison.differences), judged_metrics(row)
    return {name: gap for name, gap in gaps.items() if name in judged}


def _row(scored: Scored) -> Row:
    asker, scores = scored.run.asker, scored.scores
    asked, scoring = scores.asked, scores.scoring
    about = {
        "model": asker.model.name,
        "revision": asker.model.revision,
        "weights": asker.weights,
        "dtype": asker.model.dtype,
        "device": asker.model.device,
        "quantization": asker.model.quantization,
        "attn_implementation": asker.model.attn_implementation,
        "trust_remote_code": asker.model.trust_remote_code,
        "image_processing": asker.image_processing,
        "benchmark": asked.benchmark,
        "version": asked.version,
        "dataset": asked.dataset,
        "dataset_revision": asked.dataset_revision,
        "split": asked.split,
        "limit": asked.limit,
        "protocol": scoring.protocol,
        "judge": scoring.judge,
        "labels": scoring.labels,
        "prompt": asked.wording,
        "options": asked.options,
        "decoding": asker.decoding.model_dump(),
        "engine": asker.engine,
        "versions": asker.versions,
    }
    setting = content_hash([asker.setting, scores.key])
    method = {"method": asker.method.name, "method_args": asker.method.resolved}
    return Row(
        key=content_hash([setting, asker.key]),
        setting=setting,
        baseline=None,
        run=scored.run.path.name,
        asker=asker.key,
        **about,
        **method,
        n=scores.n,
        n_images=scores.n_images,
        failed=scores.failed,
        unparseable=scores.unparseable,
        withheld=scores.withheld,
        selective=_selective(scores.risk_coverage),
        metrics={name: Value(**value.model_dump()) for name, value in scores.values.items()},
        differences={},
        same_length={},
        right_wrong=None,
        cost=scores.cost.model_dump(),
        notes=scores.notes,
        crosscheck=_checked_by_others(scored),
        record=asker.record,
    )


def _selective(found: RiskCoverageValues | None) -> Selective | None:
    return None if found is None else Selective.model_validate(found.model_dump())


def _checked_by_others(scored: Scored) -> CheckedByOthers | None:
    asked = scored.scores.asked
    found = find_crosscheck(scored.run, asked.benchmark, asked.key)
    if found is None:
        return None
    values = {
        name: Value(**value.model_dump()) for name, value in found.values.items() if value.headline
    }
    others = any(name.endswith("_other_models") for name in values)
    counted: Literal["other_models", "with_self"] = "other_models" if others else "with_self"
    rule = found.rule.model_dump(exclude={"passages", "evidence"})
    return CheckedByOthers(
        key=found.rule.key,
        evidence=list(found.rule.evidence),
        samples_per_model=found.rule.samples_per_model,
        **rule,
        counted=counted,
        explicit=values.get(f"explicit_{counted}"),
        implicit=values.get(f"implicit_{counted}"),
    )


def gaps_of(differences: Mapping[str, Difference]) -> dict[str, Gap]:
    """Turn differences into what boards hold."""
    return {name: Gap(**finite(asdict(gap))) for name, gap in differences.items()}


def right_wrong_of(comparison: Comparison) -> RightWrong | None:
    """Turn McNemar's test into what boards hold."""
    test = comparison.right_wrong
    return None if test is None else RightWrong(**finite(asdict(test)))
