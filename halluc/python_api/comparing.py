"""Scores and comparisons of what is on disk: `halluc.score`, `halluc.compare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError

if TYPE_CHECKING:
    from halluc.leaderboard.run_comparison import Pair

File = str | PathLike[str]


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two runs, or two answers files, on the samples both answered; it prints as a table.

    Attributes:
        pairs: By benchmark, what was compared: each metric of both with the difference, its
            interval and p-values, and McNemar's test.
        differ_in: What the runs differ in besides the method.

    Examples:
        >>> import halluc
        >>> run = halluc.evaluate("glyph", "var", "glyph_pope", limit=2)
        >>> run.compare("var").pairs["glyph_pope"].metrics["adversarial/accuracy"].headline
        True
    """

    pairs: dict[str, Pair]
    differ_in: tuple[str, ...] = ()

    def __repr__(self) -> str:
        from halluc.python_api.text_and_html import pairs_text

        return pairs_text(self.pairs, self._notes())

    def _repr_html_(self) -> str:
        from halluc.python_api.text_and_html import pairs_html

        return pairs_html(self.pairs, self._notes())

    def _notes(self) -> list[str]:
        said = "; ".join(self.differ_in)
        return [f"The runs also differ in {said}."] if said else []


def score(
    benchmark: str,
    answers: File,
    labels: File | Sequence[File] = (),
    ground_truth: File | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Score a file of answers in the format of a benchmark's authors; no model is needed.

    Args:
        benchmark: Its name.
        answers: The file.
        labels: Files of questions or annotations, where `answers` lacks the right answers; for
            POPE also "repope".
        ground_truth: The objects in each image, for CHAIR.
        options: Of the benchmark: protocol, tables, judge.

    Returns:
        "metrics" under the authors' names; "scores" under ours, each with "value", "low" and
        "high"; "n", "n_images", "unparseable" and "notes".

    Raises:
        UserError: If anything about the files is wrong; it names the line.

    Examples:
        >>> import halluc, pathlib
        >>> asked = '{"question_id": %d, "image": "%d.jpg", "text": "A dog?", "label": "yes"}'
        >>> said = '{"question": "A dog?", "answer": "%s"}'
        >>> labels = "\\n".join(asked % (i, i) for i in range(4))
        >>> answers = "\\n".join(said % text for text in ("Yes", "No", "Yes.", "yes"))
        >>> _ = pathlib.Path("labels.json").write_text(labels)
        >>> _ = pathlib.Path("answers.jsonl").write_text(answers)
        >>> halluc.score("pope_coco", "answers.jsonl", labels="labels.json")["metrics"]["Accuracy"]
        0.75
    """
    from halluc.scoring.rescoring import score_answers_file

    several = [labels] if isinstance(labels, str | PathLike) else labels
    truth = None if ground_truth is None else Path(ground_truth)
    return score_answers_file(benchmark, options, Path(answers), [*map(str, several)], truth)


def compare(
    first: File,
    second: File,
    benchmark: str | None = None,
    labels: File | None = None,
    ground_truth: File | None = None,
    **options: Any,
) -> Comparison:
    """Compare two run folders, or two answers files of a benchmark, on what both answered.

    Args:
        first: A run folder, or a file of answers.
        second: What it is compared with: the baseline's.
        benchmark: Whose format files have.
        labels, ground_truth: Of files, as for `score`; one each.
        options: Protocol; of files also tables and judge.

    Raises:
        UserError: If they are neither two runs nor two files, have nothing in common, or anything
            about the files is wrong.

    Examples:
        >>> import halluc
        >>> run = halluc.evaluate("glyph", "var", "glyph_pope", limit=2)
        >>> list(halluc.compare(run.folders["var"], run.folders["baseline"]).pairs)
        ['glyph_pope']
    """
    from halluc.leaderboard.run_comparison import compare_files, compare_runs
    from halluc.scoring.answer_files import AnswerFiles

    paths = Path(first), Path(second)
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: there is no such run folder or file of answers")
    if all(path.is_dir() for path in paths) and benchmark is None:
        if wrong := options.keys() - {"protocol"}:
            raise UserError(f"compare: runs take no {min(wrong)!r}, only 'protocol'")
        found = compare_runs(*paths, options.get("protocol"))
        return Comparison(found.pairs, tuple(found.differ_in))
    if benchmark is None:
        raise UserError(
            f"{first} and {second} are not two run folders; of files give benchmark=, whose format "
            "they have"
        )
    asked = None if labels is None else Path(labels)
    truth = None if ground_truth is None else Path(ground_truth)
    files = (AnswerFiles(path, asked, truth) for path in paths)
    return Comparison(compare_files(benchmark, options, *files))
