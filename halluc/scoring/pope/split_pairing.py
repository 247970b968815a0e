"""POPE's answers paired with the labels of one or of several splits.

Authors count questions from 0, from 1, or on through all splits (LLaVA: from 1, from 10000001 and
from 20000001). Where ids say nothing, the questions that the answers repeat say which split it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from halluc.data.pairing import align, image_id, unique
from halluc.errors import UserError
from halluc.scoring.answer_files import QUESTIONS
from halluc.scoring.pope.label_sources import OLD_RANDOM, LabelFile, bare, id_of, strategy_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from halluc.data.records import Row

WHOLE = 3000
"""Questions of a split before RePOPE takes some out."""
NAMED = ("category", "split", "strategy")
"""Fields that say an answer's split."""


class Pairing(NamedTuple):
    """An answer, its question, the question's id and split."""

    answer: Row
    question: Row
    id: Any
    split: str


@dataclass(frozen=True)
class Block:
    """Answers in a row that may be to one split.

    Attributes:
        rows: The answers.
        split: The split that they, or their file, are named after; None if nothing says.
    """

    rows: Sequence[Row]
    split: str | None

    @cached_property
    def ids(self) -> list[tuple[str, Any]]:
        """The line of each answer and the id of its question: its position where it has none."""
        return [(row.where, id_of(row, number)) for number, row in enumerate(self.rows, 1)]

    @cached_property
    def asked(self) -> list[str]:
        """The question that each answer repeats, "" for none."""
        return [bare(repeated(row)) for row in self.rows]

    def first(self, n: int) -> Block:
        """Return its first `n` answers."""
        return Block(self.rows[:n], self.split)

    def behind(self, n: int) -> Block:
        """Return what follows its first `n` answers."""
        return Block(self.rows[n:], self.split)


def repeated(row: Row) -> str:
    """Return the question that an answer repeats; "" if it does not."""
    return next((row.text(name) for name in QUESTIONS if name in row.fields), "")


def pair(
    answers: Sequence[Row], labels: Sequence[LabelFile], name: str, notes: list[str]
) -> list[Pairing]:
    """Find the question of each answer.

    Args:
        labels: One file, which all answers are to, or a file for each split.
        name: The name of the answers' file.
        notes: A list that gets remarks on how they were paired.

    Raises:
        UserError: If a question has no answer or two, or nothing says which split is answered.
    """
    if len(labels) == 1:
        split = strategy_of(name, labels[0].path.name)
        return _paired(Block(answers, split), labels[0], notes)
    pairings: list[Pairing] = []
    left = list(labels)
    for block in _blocks(answers, strategy_of(name)):
        rest = block
        while rest.rows:
            label = _answered(rest, left)
            left.remove(label)
            part = rest.first(_length(rest, label))
            pairings += _paired(part, label, notes)
            rest = rest.behind(len(part.rows))
    if left:
        notes.append(f"no answers to {', '.join(label.path.name for label in left)}")
    return pairings


def labels_inside(answers: Sequence[Row], path: Path) -> list[LabelFile]:
    """Return the labels that answers have themselves, by the split that they name."""
    by_split = _by_split(answers) or {strategy_of(path.name) or "all": [*answers]}
    return [LabelFile(path, split, rows) for split, rows in by_split.items()]


def _by_split(answers: Sequence[Row]) -> dict[str, list[Row]]:
    """Gather answers by the split that each names; nothing if one does not."""
    named = next((name for name in NAMED if all(name in row.fields for row in answers)), None)
    by_split: dict[str, list[Row]] = {}
    for row in answers if named else ():
        split = strategy_of(row.text(str(named)))
        if split is None:
            return {}
        by_split.setdefault(split, []).append(row)
    return by_split


def _blocks(answers: Sequence[Row], split: str | None) -> Iterator[Block]:
    """Cut answers where the split that they name changes, or else where their ids jump."""
    if by_split := _by_split(answers):
        yield from (Block(rows, split) for split, rows in by_split.items())
        return
    ids = [id for _, id in Block(answers, None).ids]
    jumps = [n for n, (a, b) in enumerate(pairwise(ids), 1) if isinstance(a, int) and b != a + 1]
    for start, end in pairwise([0, *jumps, len(answers)]):
        yield Block(answers[start:end], split)


def _answered(block: Block, labels: Sequence[LabelFile]) -> LabelFile:
    """Return the label file that the first answers of a block are to."""
    where = block.rows[0].where
    fitting = [label for label in labels if block.split in (None, label.split)]
    if block.split is None:
        fitting = [label for label in fitting if _fits(block, label)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(label.path.name for label in fitting or labels)
    if fitting:
        raise UserError(
            f"{where}: {names} have as many questions, and no answer says its split: give one "
            'split\'s answers with its --labels, or "prompt" or "category" in each answer'
        )
    raise UserError(
        f"{where}: {len(block.rows)} answers from here on are to none of the questions in {names}; "
        "are they whole, and is it the right edition?"
    )


def _fits(block: Block, label: LabelFile) -> bool:
    length = _length(block, label)
    if length > len(block.rows) or not length:
        return False
    asked = block.asked
    if label.has_gaps:
        numbered = [
            (id - 1, text) for (_, id), text in zip(label.ids, label.questions, strict=True)
        ]
        return all(0 <= n < length and text in asked[n] for n, text in numbered)
    return all(text in one or not one for one, text in zip(asked, label.questions, strict=False))


def _length(block: Block, label: LabelFile) -> int:
    return min(len(block.rows), WHOLE) if label.has_gaps else len(label.rows)


def _paired(block: Block, label: LabelFile, notes: list[str]) -> list[Pairing]:
    """Pair answers with the questions of one label file."""
    if note := label.edition:
        notes.append(f"{label.path.name} is {note}")
    answered, asked = _renumbered(block, label, notes), label.ids
    if {id for _, id in answered} != {id for _, id in asked} and label.has_gaps:
        pairs = _corrected(answered, asked)
        if left := len(answered) - len(pairs):
            notes.append(f"{left} answers have no label in {label.path.name} and are left out")
    else:
        _same_edition(block, label)
        pairs = align(answered, asked)
    split = block.split or label.split
    found = [Pairing(block.rows[a], label.rows[q], asked[q][1], split) for a, q in pairs]
    for pairing in found:
        _check(pairing)
    return found


def _renumbered(block: Block, label: LabelFile, notes: list[str]) -> list[tuple[str, Any]]:
    """Count ids as the label file does, where answers count from elsewhere without a gap."""
    ids, asked = [id for _, id in block.ids], [id for _, id in label.ids]
    shift = _start(ids) - (1 if label.has_gaps else _start(asked))
    whole = len(ids) == (WHOLE if label.has_gaps else len(asked))
    if not shift or not _runs(ids) or not (_runs(asked) or label.has_gaps) or not whole:
        return block.ids
    plausible = abs(shift) == 1 or shift >= len(ids)  # from 0, or on from other splits
    if not plausible and not all(block.asked):  # questions that are repeated are checked below
        return block.ids
    notes.append(
        f"ids {ids[0]} to {ids[-1]} answer {label.path.name}, which counts from {asked[0]}"
    )
    return [(where, id - shift) for where, id in block.ids]


def _start(ids: Sequence[Any]) -> int:
    return ids[0] if ids and isinstance(ids[0], int) else 0


def _runs(ids: Sequence[Any]) -> bool:
    return all(isinstance(id, int) for id in ids) and all(b == a + 1 for a, b in pairwise(ids))


def _same_edition(block: Block, label: LabelFile) -> None:
    lengths = {len(block.rows), len(label.rows)}
    if lengths == {OLD_RANDOM, WHOLE} and label.split in ("random", "all"):
        raise UserError(
            f"{len(block.rows)} answers to {len(label.rows)} questions: POPE's random split has an "
            f"older edition of {OLD_RANDOM} and one of {WHOLE}; give --labels of the other edition"
        )


def _corrected(
    answered: Sequence[tuple[str, Any]], asked: Sequence[tuple[str, Any]]
) -> list[tuple[int, int]]:
    """Pair answers to a whole question file with the labels that a corrected one keeps."""
    for due, (where, id) in enumerate(answered, 1):
        if id != due:
            raise UserError(f"{where}: answers question {id!r}, not {due}; is it reordered?")
    position = unique(asked)
    beyond = [(where, id) for where, id in asked if not 1 <= id <= len(answered)]
    if beyond:
        where, id = beyond[0]
        raise UserError(f"{where}: question {id!r} has no answer; are the answers truncated?")
    return [(n, position[id]) for n, (_, id) in enumerate(answered) if id in position]


def _check(pairing: Pairing) -> None:
    """Refuse an answer that repeats another question or names another image than its label."""
    answer, question, *_ = pairing
    if question is answer:
        return
    said = repeated(answer)
    asked = str(question.fields.get("text", ""))
    if said and bare(asked) not in bare(said):
        raise UserError(f"{answer.where}: answers {said!r}, but {question.where} asks {asked!r}")
    images = [row.fields["image"] for row in (answer, question) if "image" in row.fields]
    if len(images) == 2 and len({image_id(image) for image in images}) == 2:
        raise UserError(
            f"{answer.where}: is about {images[0]!r}, but {question.where} about {images[1]!r}"
        )
