"""The page of a cross-check: what is computed, the scores, and whether they agree with CHAIR."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from halluc.crosscheck.crosscheck_table import (
    CORRELATION_HEAD,
    about,
    correlation_rows,
    label,
    shown,
    target_head,
    target_rows,
)
from halluc.crosscheck.running import TRUTH, CrossCheck
from halluc.files import write_whole
from halluc.leaderboard.formatting import interval
from halluc.scoring.crosscheck.implicit_questions import OBJECTS

if TYPE_CHECKING:
    from pathlib import Path

DEFINITION = """\
CrossCheckGPT (Sun et al., [arXiv 2405.13684](https://arxiv.org/abs/2405.13684)) ranks systems by
how much they hallucinate without looking at annotations: what a target says of an image is
checked sentence by sentence against what evidence systems say of it. A system is a model with a
method, `MODEL:METHOD`.

- **Explicit.** Evidence system m samples N passages p(m,k) about the image. Verdict x(i,m,k) is 0
  where the passage supports sentence i, 1 where it does not, 0.5 where that is not known; S(i,m)
  = mean of x over k, S(i) = mean over m, and a target's score is the mean over its sentences.
- **Implicit.** Evidence systems are asked about sentence i, with the image: 1 where it has an
  error, 0 where it has none, 0.5 where the answer says neither; the means are the same.

The higher a score, the more a target disagrees with the evidence. Columns without a remark leave
the target out of the evidence; "with itself" leaves it in; "other models" leaves out all systems
of the target's model, which make its mistakes, so that methods of a model are checked against the
same evidence, and is what boards show; "itself alone" is SelfCheckGPT. `--variant
official_code` does as the published code: verdicts are summed over passages instead of averaged,
the target stays in the evidence, and scores are negated. The paper's weights of evidence systems
are not known to us; all weigh the same."""

BY_OBJECTS = """\
No language model judges here: a sentence is supported by a passage if every object that it names
is named there, by the benchmark's word list for CHAIR. Colours, numbers and places are not
compared, and sentences that name no object are left out of the score. The paper asks
Mistral-7B-Instruct (`--judge local:mistralai/Mistral-7B-Instruct-v0.2`, with the published
prompt)."""

BY_QUESTIONS = """\
The implicit question is POPE's, about each object that a sentence names, because small models
cannot read the paper's; a sentence has an error where one of its objects is denied. Sentences
that name no object are left out. `--question` takes another wording, with {sentence} in it."""

CORRELATION = """\
Ranks of targets by each score against their ranks by CHAIR_i, which does look at annotations:
Spearman's correlation and Kendall's tau-b. Intervals resample images, the same ones for all
targets and both scores; they say how sure these targets' order is, not what other systems would
show, and may lie below the value, because resampling adds noise to both. A correlation over all
targets may come from differences between models alone; the lines of one model say whether its
methods are told apart."""


def write_page(found: CrossCheck, file: Path) -> None:
    """Write the page, replacing an earlier one as a whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, "\n".join(page(found)) + "\n")


def page(found: CrossCheck) -> Iterator[str]:
    """Yield the lines of the page, in markdown."""
    rule, names = found.rule, shown(found)
    yield "# CrossCheckGPT\n"
    yield "`make crosscheck` asks what is not known yet and writes this page.\n"
    yield f"{DEFINITION}\n"
    if rule.judge == OBJECTS:
        yield f"{BY_OBJECTS}\n"
    if rule.question == OBJECTS:
        yield f"{BY_QUESTIONS}\n"
    yield "## Scores\n"
    units = "Sentences: explicit / implicit. Scores in percent, 95% intervals by image."
    yield f"{about(found)}. {units}\n"
    yield from _table(target_head(found, names), target_rows(found, names))
    yield f"\n## Do they rank systems as {TRUTH} does?\n"
    if not found.correlations:
        yield f"Not computed: it takes four targets, and a benchmark with {TRUTH}."
        return
    yield f"{_finding(found)}\n"
    yield f"{CORRELATION}\n"
    yield from _table(CORRELATION_HEAD, correlation_rows(found))


def _finding(found: CrossCheck) -> str:
    """Say in a sentence what the correlations over all targets are."""
    said = [
        f"{label(one.score)} {interval(one.found.spearman, 1)}"
        for one in found.correlations
        if one.model is None and one.score.partition("_")[2] in ("cross", "other_models")
    ]
    return (
        f"Over {found.correlations[0].found.n} systems, Spearman's correlation: {'; '.join(said)}."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
