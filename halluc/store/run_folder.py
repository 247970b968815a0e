"""The folder of an asker: what a model with a method said, and what it was worth.

runs/<model>-<method>-<key>/
    asker.json                              the `Asker`, and where it first ran
    answers_<benchmark>[.<shard>].jsonl     a line an answer, on the disk within a second
    samples_<benchmark>_<key>.jsonl         what was asked: a `SampleSet`, then a line a sample
    readings_<benchmark>_<key>.jsonl        what a scorer read: a line an image
    scores_<benchmark>_<key>.json           a `ScoresFile`
    judgements_<judge>.jsonl                what a judge said of an answer
    crosscheck_<benchmark>_<key>.json       a `CrossCheckFile`: what other systems say of them
    traces_<benchmark>/<answer's key>.json  what an answer looked at: a `Panel` of halluc.attend

Nothing is in it twice and nothing is edited: answers are appended, all else is written whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any

from pydantic import ValidationError

from halluc.data.records import finite
from halluc.errors import UserError
from halluc.files import write_json
from halluc.lines_file import Appender, appending, read_lines, write_lines
from halluc.store.asker import Asker
from halluc.store.scores_file import AskedSample, SampleSet, ScoresFile
from halluc.types import Answer

_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "image_id", "group", "prompt", "text", "status", "image_hash"), (str,)),
    **dict.fromkeys(("error", "same_as"), (str, NoneType)),
    **dict.fromkeys(
        ("prompt_tokens", "tokens", "forward_passes", "max_new_tokens", "peak_memory"), (int,)
    ),
    **dict.fromkeys(("images_encoded", "seconds"), (int, float)),
    **dict.fromkeys(("history", "drafts"), (list,)),
    "confidence": (int, float, NoneType),
    "yes_no": (list, NoneType),
    "letters": (dict, NoneType),
    "target": (object,),
}
"""What a line of an answers file holds under each name besides its key."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of an asker; it need not exist yet.

    Attributes:
        path: The folder.
        asker: Who answers.
    """

    path: Path
    asker: Asker

    @classmethod
    def of(cls, output_dir: Path, asker: Asker) -> RunFolder:
        """Return an asker's folder below `output_dir`; it is made with the first answer.

        A folder that was renamed is found by its asker.
        """
        path = output_dir / asker.folder_name
        if not path.exists():
            for file in sorted(output_dir.glob("*/asker.json")):
                try:
                    known = json.loads(file.read_bytes()).get("key")
                except (OSError, ValueError, AttributeError, RecursionError):
                    continue
                if known == asker.key:
                    return cls(file.parent, asker)
        return cls(path, asker)

    @classmethod
    def read(cls, path: Path) -> RunFolder:
        """Read the folder of an asker.

        Raises:
            UserError: If it is not one, or its asker.json was edited.
        """
        file = path / "asker.json"
        try:
            content = json.loads(file.read_bytes())
            asker, key = Asker.model_validate(content["asker"]), content["key"]
            described = asker.key
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f"{path} is not a run folder: asker.json is missing or broken"
            ) from error
        if key != described:
            raise UserError(
                f"{file}: says key {key!r}, but what it describes has key {described!r}; it was "
                "edited, or written by another version of halluc"
            )
        return cls(path, asker)

    def create(self, where: dict[str, Any]) -> None:
        """Make the folder, if it does not exist.

        Args:
            where: Machine and source revision.

        Raises:
            UserError: If it cannot be made.
        """
        file = self.path / "asker.json"
        if file.is_file():
            return
        content = {
            "key": self.asker.key,
            "asker": self.asker.model_dump(mode="json"),
            "where": where,
            "date": now(),
        }
        with writing(file):
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(file, finite(content))

    def remove_if_empty(self) -> None:
        """Remove the folder of a start that failed before there was an answer."""
        with suppress(OSError):
            files = list(self.path.iterdir())
            if any(file.stat().st_size for file in files if file.name.startswith("answers_")):
                return
            if any(file.name.endswith(".lock") for file in files):
                return
            for file in files:
                if re.fullmatch(r"asker\.json|(answers|samples)_.*\.jsonl", file.name):
                    file.unlink()
            self.path.rmdir()

    def answers_file(self, benchmark: str, shard: str = "") -> Path:
        """Return the path of a benchmark's answers, or of a shard's ("3of8")."""
        return self.path / f"answers_{benchmark}{'.' * bool(shard)}{shard}.jsonl"

    def answers_files(self, benchmark: str) -> list[Path]:
        """List the files of a benchmark's answers: its own and those of shards."""
        whole = self.answers_file(benchmark)
        shards = sorted(self.path.glob(f"answers_{benchmark}.*of*.jsonl"))
        return [whole] * whole.is_file() + shards

    def answers(self, benchmark: str) -> list[Answer]:
        """Read the answers to a benchmark, each once.

        Of several to the same key one that did not fail counts, else the last. Lines that are
        broken or cut short are left out; `appending` takes them out.
        """
        known: dict[str, Answer] = {}
        for file in self.answers_files(benchmark):
            for _, answer in read_lines(file, read_answer).records:
                earlier = known.get(answer.key)
                if earlier is None or earlier.status == "failed":
                    known[answer.key] = answer
        return list(known.values())

    @contextmanager
    def keeping(
        self, benchmark: str, report: Callable[[str], None], shard: str = ""
    ) -> Iterator[Callable[[list[Answer]], None]]:
        """Open a benchmark's answers as their only writer; give a function that keeps answers.

        Args:
            report: Is told of waiting for another writer, and of repairs.
            shard: The shard that is answered: "3of8".

        Raises:
            UserError: If the folder cannot be written to.
        """
        with appending(self.answers_file(benchmark, shard), read_answer, report) as appender:

            def keep(answers: list[Answer], to: Appender = appender) -> None:
                to.append([_record(answer) for answer in answers])

            yield keep

    def write_samples(self, asked: SampleSet, samples: list[AskedSample]) -> None:
        """Write what is asked, if it is not written yet."""
        file = self.path / f"samples_{asked.benchmark}_{asked.key}.jsonl"
        if not file.is_file():
            with writing(file):
                write_lines(file, [asked.model_dump(), *map(vars, samples)])

    def sample_sets(self) -> list[tuple[SampleSet, list[AskedSample]]]:
        """Read all sets of samples that were asked.

        Raises:
            UserError: If a file is broken.
        """
        sets = []
        for file in sorted(self.path.glob("samples_*.jsonl")):
            lines = read_lines(file)
            try:
                (_, first), *rest = lines.records
                asked = SampleSet.model_validate(first)
                samples = [AskedSample.read(record) for _, record in rest]
            except (ValueError, TypeError, KeyError) as error:
                raise UserError(f"{file}: is not a samples file; remove it") from error
            if asked.keyed(samples).key != asked.key:
                raise UserError(f"{file}: is not what was asked; it was edited or cut: remove it")
            sets.append((asked, samples))
        return sets

    def write_scores(self, scores: ScoresFile, readings: list[dict[str, Any]]) -> Path:
        """Write scores, and before them the readings they were computed from."""
        name = f"{scores.asked.benchmark}_{scores.key}"
        file = self.path / f"scores_{name}.json"
        with writing(file):
            write_lines(self.path / f"readings_{name}.jsonl", readings)
            write_json(file, scores.model_dump(mode="json"))
        return file

    def trace_file(self, benchmark: str, answer: str) -> Path:
        """Return the path of the trace of an answer, named by its key."""
        return self.path / f"traces_{benchmark}" / f"{answer}.json"

    def trace_files(self, benchmark: str) -> dict[str, Path]:
        """List the traces of a benchmark's answers by the answers' keys."""
        files = sorted((self.path / f"traces_{benchmark}").glob("[0-9a-f]*.json"))
        return {file.stem: file for file in files}

    def scores_files(self) -> list[Path]:
        """List the files of scores."""
        return sorted(self.path.glob("scores_*.json"))

    def scores(self, file: Path) -> ScoresFile:
        """Read one of the files of scores.

        Raises:
            UserError: If it is broken, was edited, or is another asker's.
        """
        again = "remove it, and 'halluc score' or 'halluc eval' writes it again"
        try:
            scores = ScoresFile.model_validate_json(file.read_bytes())
        except (OSError, ValidationError, ValueError) as error:
            raise UserError(f"{file}: is not a scores file; {again}") from error
        if scores.checksum != scores.checked():
            raise UserError(f"{file}: was edited after it was written; {again}")
        if scores.asker != self.asker.key:
            raise UserError(f"{file}: belongs to asker {scores.asker}, not to this folder; {again}")
        return scores


def read_answer(record: dict[str, Any]) -> Answer:
    """Make an answer of a line.

    Raises:
        ValueError: If it is not one, or is to another key than the line says.
    """
    key = record.pop("key")
    for name, value in record.items():
        misplaced = isinstance(value, bool) and name != "target"  # True would pass for 1
        if misplaced or not isinstance(value, _TYPES[name]):
            raise ValueError(f"{name!r} is {value!r}")
    history = tuple((str(asked), str(said)) for asked, said in record["history"])
    yes_no = None
    if record["yes_no"] is not None:
        yes, no = record["yes_no"]
        yes_no = _number(yes), _number(no)
    letters = record.get("letters")  # not in lines of older versions
    if letters is not None:
        letters = {letter: _number(value) for letter, value in letters.items()}
    drafts = tuple(map(str, record["drafts"]))
    read = {"history": history, "drafts": drafts, "yes_no": yes_no, "letters": letters}
    answer = Answer(**{**record, **read})
    if answer.key != key or answer.status not in ("ok", "failed", "withheld"):
        raise ValueError("the line was edited")
    return answer


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _record(answer: Answer) -> dict[str, Any]:
    record: dict[str, Any] = finite({"key": answer.key, **asdict(answer)})
    return record


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says about a file that cannot be written into one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def now() -> str:
    """Return the time in UTC: "2026-11-21T19:30:00Z"."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
