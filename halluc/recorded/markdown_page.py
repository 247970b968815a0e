"""Recorded runs as a page of markdown: scores, paired differences, and what is not stated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.leaderboard.formatting import interval, number, probability, with_arrow
from halluc.leaderboard.markdown_tables import escaped
from halluc.plain_text import printable
from halluc.recorded.paired import record_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from halluc.recorded.paired import PairedRecord
    from halluc.store import Scored

LEGEND = (
    "Differences are paired, with 95% intervals that resample images; bold where they stay "
    "significant among all tested on this page (Holm, .05). *Found from*: the least true "
    "difference that so many answers show in four of five samples. *Unlike*: the two are not "
    "stated to be decoded alike, so decoding may make the difference. *Mended / broken*: answers "
    "that are right, or descriptions without a made-up object, here alone and there alone."
)


def page(scored: Sequence[Scored], pairs: Sequence[PairedRecord]) -> str:
    """Return the page: a table of pairs a benchmark, of all scores, and of sources.

    Args:
        scored: Scores of recorded runs.
        pairs: Those of them that can be compared.
    """
    parts = [LEGEND]
    scorings = dict.fromkeys((one.name, one.scores.scoring.protocol) for one in scored)
    for name, protocol in scorings:
        ofs = [one for one in scored if _is(one, name, protocol)]
        parts.append(f"## {escaped(name)}, read by {escaped(protocol)}")
        compared = [pair for pair in pairs if _is(pair.ours, name, protocol)]
        if compared:
            parts.append("\n".join(_differences(compared)))
        parts.append("\n".join(_scores(ofs)))
    parts.append("\n".join(_sources(scored)))
    return "\n\n".join(parts)


def _is(scored: Scored, name: str, protocol: str) -> bool:
    return (scored.name, scored.scores.scoring.protocol) == (name, protocol)


def method_of(scored: Scored) -> str:
    """Name a recorded run's method."""
    name = scored.run.asker.method.name
    return f"{name} (trained)" if record_of(scored).trained else name


def decoding_of(scored: Scored) -> str:
    """Say how a recorded run was decoded, in short."""
    if record_of(scored).decoding is None:
        return "not stated"
    decoding = scored.run.asker.decoding
    if decoding.num_beams > 1:
        return f"{decoding.num_beams} beams"
    if decoding.do_sample:
        return f"sampled at {decoding.temperature:g}, seed {decoding.seed}"
    return "greedy"


def _differences(pairs: Sequence[PairedRecord]) -> Iterator[str]:
    names = list(dict.fromkeys(name for pair in pairs for name in _shown(pair)))
    arrows = {
        name: with_arrow(name, pair.metrics[name].higher_is_better)
        for pair in pairs
        for name in _shown(pair)
    }
    heads = [*(escaped(arrows[name]) for name in names), "mended / broken"]
    yield f"| model, method | against | {' | '.join(heads)} |"
    yield "|---" * (2 + len(heads)) + "|"
    for pair in pairs:
        cells = [*(_cell(pair, name) for name in names), _mended(pair)]
        asker = pair.ours.run.asker
        mine = _lines(
            f"{asker.model.name}, {method_of(pair.ours)}",
            decoding_of(pair.ours),
            record_of(pair.ours).name,
        )
        against = _lines(method_of(pair.theirs), decoding_of(pair.theirs))
        unlike = "" if pair.alike else "<br>*unlike*"
        yield f"| {mine} | {against}{unlike} | {' | '.join(cells)} |"


def _mended(pair: PairedRecord) -> str:
    """How many answers are right in one alone, by McNemar's exact test."""
    test = pair.right_wrong
    if test is None:
        return "-"
    return f"{test.only_ours} / {test.only_theirs}<br>exact p {probability(test.exact)}"


def _lines(*texts: str) -> str:
    return "<br>".join(escaped(printable(text)) for text in texts)


def _shown(pair: PairedRecord) -> list[str]:
    """The headline metrics that the pair has values of: of a split, those of the split."""
    return [name for name, value in pair.metrics.items() if value.value is not None]


def _cell(pair: PairedRecord, name: str) -> str:
    gap = pair.differences.get(name)
    if gap is None or name not in _shown(pair):
        return "-"
    value = pair.metrics[name]
    text = interval(gap, value.scale, "+")
    lines = [text]
    if value.higher_is_better is not None:
        decided = gap.holm is not None and gap.holm < 0.05
        lines = [f"**{text}**" if decided else text, f"p {probability(gap.p)}"]
        if (equal := pair.same_length.get(name)) is not None:
            lines.append(f"*at equal length {interval(equal, value.scale, '+')}*")
        lines.append(f"found from {number(pair.detectable(name), value.scale)}")
    return "<br>".join(lines)


def _scores(scored: Sequence[Scored]) -> Iterator[str]:
    values = [{n: v for n, v in one.scores.values.items() if v.headline} for one in scored]
    values = [{n: v for n, v in each.items() if v.value is not None} for each in values]
    known = {name: value for each in values for name, value in each.items()}
    heads = [escaped(with_arrow(name, value.higher_is_better)) for name, value in known.items()]
    yield f"| recorded run | {' | '.join(heads)} | answers | unparseable |"
    yield "|---" * (3 + len(heads)) + "|"
    for one, each in zip(scored, values, strict=True):
        cells = [interval(each[n], each[n].scale) if n in each else "-" for n in known]
        name = escaped(printable(record_of(one).name))
        counts = f"{one.scores.n} | {one.scores.unparseable}"
        yield f"| {name} | {' | '.join(cells)} | {counts} |"


def _sources(scored: Sequence[Scored]) -> Iterator[str]:
    yield "## Sources\n"
    yield "| recorded run | stated: model; method; decoding | licence | with care |"
    yield "|---|---|---|---|"
    for record in dict.fromkeys(record_of(one) for one in scored):
        stated = [record.model, record.method, record.decoding]
        said = "; ".join(printable(text) if text else "not stated" for text in stated)
        licence = record.licence or "none stated"
        repository, _, rest = record.source.partition("@")
        commit, _, path = rest.partition(":")
        link = f"[{escaped(record.name)}]({repository}/blob/{commit}/{path})"
        if not repository.startswith("https://"):
            link = escaped(printable(record.source))
        yield f"| {link} | {escaped(said)} | {escaped(licence)} | {escaped(record.caution)} |"
