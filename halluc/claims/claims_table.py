"""Claims next to what is measured: as records, as a table on the terminal, as markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.claims.measuring import measured, status
from halluc.claims.verdicts import NOT_MEASURED, RULE
from halluc.config import DecodingConfig
from halluc.data.records import finite
from halluc.leaderboard.markdown_tables import escaped
from halluc.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.table import Table

    from halluc.claims.claim import Claim
    from halluc.claims.measuring import Measured
    from halluc.leaderboard.board import Board

COLUMNS = ("claim", "decoding", "claimed", "measured", "power", "verdict")


@dataclass(frozen=True)
class Beside:
    """A claim, and what is measured next to it; `status` is its verdict, or "not measured"."""

    claim: Claim
    found: tuple[Measured, ...]

    @property
    def status(self) -> str:
        """The verdict of the measurement on most images."""
        return status(self.claim, self.found)


def beside(claims: Iterable[Claim], board: Board) -> list[Beside]:
    """Put measurements next to claims."""
    return [Beside(claim, tuple(measured(claim, board))) for claim in claims]


def summary(lines: Sequence[Beside]) -> str:
    """Count the claims by verdict."""
    counts = Counter(line.status for line in lines)
    order = ("reproduced", "smaller", "not shown", "contradicted", NOT_MEASURED)
    told = ", ".join(f"{counts[name]} {name}" for name in order if counts[name])
    return f"{len(lines)} claims: {told}"


def as_json(lines: Sequence[Beside]) -> dict[str, Any]:
    """Return what `halluc claims --json` prints: the rule, and claims with measurements."""
    return {"rule": RULE.replace("**", ""), "claims": [_record(line) for line in lines]}


def _record(line: Beside) -> dict[str, Any]:
    derived = ("split", "unit", "difference")
    found = [
        {
            "model": one.rows[0].model,
            "benchmark": one.rows[0].benchmark,
            "runs": [row.run for row in one.rows],
            "decoding": one.rows[0].decoding,
            "method_args": one.rows[0].method_args,
            "protocol": one.rows[0].protocol,
            "prompt": one.rows[0].prompt,
            "recorded": one.recorded,
            "images": one.images,
            "baseline": one.baseline,
            "value": one.value,
            "difference": vars(one.difference),
            "power": one.power,
            "other": list(one.other),
            "verdict": one.verdict,
        }
        for one in line.found
    ]
    claim = line.claim
    facts = claim.model_dump() | {name: getattr(claim, name) for name in derived}
    record: dict[str, Any] = finite({**facts, "verdict": line.status, "measured": found})
    return record


def table(lines: Sequence[Beside]) -> Table:
    """Make the table for the terminal."""
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=summary(lines), title_justify="left")
    for column in COLUMNS:
        shown.add_column(column, overflow="fold")
    for line in lines:
        shown.add_row(*(escape("\n".join(map(printable, cell))) for cell in _cells(line)))
    return shown


def markdown(lines: Sequence[Beside]) -> str:
    """Return the rule, the sum, and by benchmark and model a table for each table of a paper."""
    groups: dict[tuple[str, str], dict[str, list[Beside]]] = {}
    for line in lines:
        claim = line.claim
        source = "; ".join(filter(None, (claim.paper, claim.source, claim.note)))
        tables = groups.setdefault((claim.benchmark, claim.model), {})
        tables.setdefault(source, []).append(line)
    parts = [RULE, f"{summary(lines)}."]
    for (benchmark, model), tables in groups.items():
        parts.append(f"### {escaped(benchmark)} on {escaped(model)}")
        parts += ["\n".join(_table(source, found)) for source, found in tables.items()]
    return "\n\n".join(parts)


def _table(source: str, lines: Sequence[Beside]) -> Iterator[str]:
    yield f"{escaped(source)}:\n"
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" * len(COLUMNS) + "|"
    for line in lines:
        cells = ("<br>".join(escaped(printable(text)) for text in cell) for cell in _cells(line))
        yield f"| {' | '.join(cells)} |"


def _cells(line: Beside) -> list[list[str]]:
    """Return the cells of a line, each a list of lines of its own: one a measurement."""
    claim, found = line.claim, line.found
    plain, ours = decoding_text(claim.baseline_decoding), decoding_text(claim.decoding)
    return [
        [claim.id],
        [ours if plain == ours else f"{ours}; baseline: {plain}"],
        [f"{claim.baseline:.2f} to {claim.value:.2f}: {claim.difference:+.2f} {claim.unit}"],
        [_numbers(one) for one in found] or ["-"],
        ["-" if one.power is None else f"{one.power:.2f}" for one in found] or ["-"],
        [one.verdict or f"other {', '.join(one.other)}" for one in found] or [NOT_MEASURED],
    ]


def _numbers(one: Measured) -> str:
    gap = one.difference
    sides = "" if one.value is None else f"{one.baseline:.2f} to {one.value:.2f}: "
    limits = "" if gap.low != gap.low else f" [{gap.low:+.2f}, {gap.high:+.2f}]"
    about = ", ".join(filter(None, (one.where, f"{one.images} images")))
    return f"{sides}{gap.value:+.2f}{limits} ({about})"


def decoding_text(decoding: DecodingConfig) -> str:
    """Describe a decoding in a word or two."""
    if decoding.num_beams > 1:
        return f"{decoding.num_beams} beams"
    return "sampling" if decoding.do_sample else "greedy"
