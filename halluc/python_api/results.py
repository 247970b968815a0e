"""What an evaluation found, to print, to show in a notebook, and to go on with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.config import BASELINE
from halluc.errors import UserError, needs_packages
from halluc.evaluation import Evaluation
from halluc.leaderboard import Board, board_of
from halluc.leaderboard.csv_file import lines
from halluc.leaderboard.formatting import named_apart
from halluc.leaderboard.run_comparison import compare_scores, differing
from halluc.plain_text import printable
from halluc.python_api.comparing import Comparison
from halluc.python_api.text_and_html import board_html, board_text, wrapped

if TYPE_CHECKING:
    from halluc.store import Scored


@dataclass(frozen=True)
class AnsweredSample:
    """A sample with what each method answered.

    Attributes:
        id: Its id within the benchmark.
        image_id: The image asked about.
        prompt: The user's turn.
        target: What the scorer compares with.
        answers: By method; None where there is no answer, or the method withheld it.
        right: By method, whether the answer is right; None where a single answer cannot be judged,
            and where there is none.

    Examples:
        >>> import halluc
        >>> run = halluc.evaluate("glyph", "var", "glyph_pope", limit=2)
        >>> one = next(run.samples())
        >>> one.right["var"] == (one.answers["var"].lower().rstrip(".") == one.target)
        True
    """

    id: str
    image_id: str
    prompt: str
    target: Any
    answers: dict[str, str | None]
    right: dict[str, bool | None]


@dataclass(frozen=True, repr=False)
class Results:
    """Methods on a model, next to the baseline; it prints as a table, and shows as one in Jupyter.

    Attributes:
        runs: The run of each method, in the order of the table.

    Examples:
        >>> import halluc
        >>> run = halluc.evaluate("glyph", "var", "glyph_pope", limit=2)
        >>> run.methods
        ['baseline', 'var']
        >>> [row.method for row in run.board.rows]
        ['baseline', 'var']
    """

    runs: tuple[Evaluation, ...]

    @cached_property
    def board(self) -> Board:
        """The board: rows of metrics with intervals, and differences to the baseline."""
        return board_of([one for run in self.runs for one in run.scored.values()])

    @cached_property
    def methods(self) -> list[str]:
        """Names of the methods; with the parameters that tell namesakes apart: "vhr gain=2.0"."""
        askers = [run.folder.asker.method for run in self.runs]
        return [
            named_apart(one.name, one.resolved, [o.resolved for o in askers if o.name == one.name])
            for one in askers
        ]

    @property
    def folders(self) -> dict[str, Path]:
        """The run folder of each method."""
        return {name: run.folder.path for name, run in self._by_name.items()}

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks."""
        return [*dict.fromkeys(name for run in self.runs for name in run.scored)]

    @property
    def _by_name(self) -> dict[str, Evaluation]:
        return dict(zip(self.methods, self.runs, strict=True))

    def __repr__(self) -> str:
        return "\n".join([board_text(self.board), *(w for n in self._notes for w in wrapped(n))])

    def _repr_html_(self) -> str:
        from html import escape

        notes = (f"<p>{escape(printable(note))}</p>" for note in self._notes)
        return "\n".join([board_html(self.board), *notes])

    @property
    def _notes(self) -> list[str]:
        """Say where methods edited nothing."""
        return [
            f"{name} edited nothing on {', '.join(run.untouched)}: its answers are the model's own"
            for name, run in self._by_name.items()
            if run.untouched
        ]

    def to_frame(self) -> Any:
        """Return the board as a data frame of pandas: a line a metric of a method.

        Raises:
            UserError: If pandas is not installed.

        Examples:
            >>> import halluc
            >>> frame = halluc.evaluate("glyph", "var", "glyph_pope", limit=2).to_frame()
            >>> set(frame["method"])  == {"baseline", "var"}
            True
        """
        needs_packages("to_frame", "pandas")
        import pandas

        return pandas.DataFrame([*lines(self.board)])

    def compare(self, first: str, second: str = BASELINE) -> Comparison:
        """Compare two methods on the samples both answered.

        Args:
            first, second: Names among `methods`; the difference is the first minus the second.

        Raises:
            UserError: If a method is not among them.

        Examples:
            >>> import halluc
            >>> run = halluc.evaluate("glyph", ["var", "zerotuning"], "glyph_pope", limit=2)
            >>> run.compare("var", "zerotuning").pairs["glyph_pope"].n_images
            2
        """
        ours, theirs = (self._of(name) for name in (first, second))
        pairs = compare_scores(ours.scored.values(), theirs.scored.values())
        return Comparison(pairs, tuple(differing(ours.folder, theirs.folder)))

    def samples(self, benchmark: str | None = None) -> Iterator[AnsweredSample]:
        """Yield the samples of a benchmark with what each method answered.

        Args:
            benchmark: May be left out where there is only one.

        Raises:
            UserError: If it is not among the benchmarks.

        Examples:
            >>> import halluc
            >>> run = halluc.evaluate("glyph", "var", "glyph_pope", limit=2)
            >>> sample = next(run.samples("glyph_pope"))
            >>> sorted(sample.answers)
            ['baseline', 'var']
        """
        name = benchmark or (self.benchmarks[0] if len(self.benchmarks) == 1 else None)
        if name not in self.benchmarks:
            raise UserError(f"benchmark {name!r}: give one of {', '.join(self.benchmarks)}")
        scored = {method: run.scored[name] for method, run in self._by_name.items()}
        return _samples(scored)

    def _of(self, method: str) -> Evaluation:
        if method not in self.methods:
            raise UserError(f"method {method!r}: give one of {', '.join(self.methods)}")
        return self._by_name[method]


def _samples(scored: dict[str, Scored]) -> Iterator[AnsweredSample]:
    said = {
        method: {reading.id: (reading.text, one.reader.right(reading)) for reading in one.readings}
        for method, one in scored.items()
    }
    nothing: tuple[str | None, bool | None] = None, None
    for sample in next(iter(scored.values())).asked_samples:
        found = {method: by_id.get(sample.id, nothing) for method, by_id in said.items()}
        yield AnsweredSample(
            id=sample.id,
            image_id=sample.image_id,
            prompt=sample.prompt,
            target=sample.target,
            answers={method: text for method, (text, _) in found.items()},
            right={method: right for method, (_, right) in found.items()},
        )
