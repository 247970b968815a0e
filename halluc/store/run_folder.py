"""One folder a run, written while it runs, so that an interrupted run can be continued.

<date>-<model>-<method>-<hash>/
    config.json                the whole RunConfig, and where it ran
    samples_<benchmark>.jsonl  a line an answer, flushed as soon as there is one
    results_<date>.json        lm-evaluation-harness' layout, with ours in it
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from halluc.config import RunConfig
from halluc.data.records import finite
from halluc.errors import UserError
from halluc.types import Answer


@dataclass(frozen=True)
class Cost:
    """What a run spent on a benchmark.

    Attributes:
        samples: Answers the sums below are over.
        forward_passes, prompt_tokens, tokens: Sums over answers.
        seconds: Time spent answering; scoring is not in it.
        peak_memory_bytes: Highest while answering: of the GPU if there is one, else resident.
    """

    samples: int
    forward_passes: int
    prompt_tokens: int
    tokens: int
    seconds: float
    peak_memory_bytes: int

    @classmethod
    def of(cls, answers: Iterable[Answer], peak_memory_bytes: int) -> Cost:
        """Sum over answers."""
        answers = list(answers)
        return cls(
            samples=len(answers),
            forward_passes=sum(a.forward_passes for a in answers),
            prompt_tokens=sum(a.prompt_tokens for a in answers),
            tokens=sum(a.tokens for a in answers),
            seconds=sum(a.seconds for a in answers),
            peak_memory_bytes=peak_memory_bytes,
        )


@dataclass(frozen=True)
class RunFolder:
    """A run on disk.

    Attributes:
        path: The folder.
        config: What was run.
    """

    path: Path
    config: RunConfig

    @classmethod
    def open(cls, output_dir: Path, config: RunConfig, where: dict[str, Any]) -> RunFolder:
        """Continue the run of exactly this configuration, or start its folder.

        Args:
            output_dir: Folder of run folders.
            where: Machine and source revision, kept with the configuration but not hashed.
        """
        name = f"{_plain(config.model.name)}-{_plain(config.method.name)}-{config.hash}"
        known = sorted(p for p in output_dir.glob(f"*-{name}") if (p / "config.json").is_file())
        if known:
            return cls(known[-1], config)
        path = output_dir / f"{datetime.now(UTC):%Y-%m-%d}-{name}"
        path.mkdir(parents=True, exist_ok=True)
        content = {"config": config.model_dump(mode="json"), "hash": config.hash, "where": where}
        _write_json(path / "config.json", content)
        return cls(path, config)

    @classmethod
    def read(cls, path: Path) -> RunFolder:
        """Read a run folder.

        Raises:
            UserError: If the folder is not a run folder.
        """
        try:
            content = json.loads((path / "config.json").read_text())
            return cls(path, RunConfig.model_validate(content["config"]))
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{path} is not a run folder: config.json is missing or broken"
            ) from error

    def answers(self, benchmark: str) -> Iterator[Answer]:
        """Yield the answers kept so far; a last line that a crash cut short is dropped."""
        file = self._samples(benchmark)
        if not file.is_file():
            return
        names = {field.name for field in fields(Answer)}
        for number, line in enumerate(lines := file.read_text().splitlines(), 1):
            try:
                content = json.loads(line)
            except json.JSONDecodeError as error:
                if number == len(lines):
                    return
                raise UserError(f"{file}, line {number}: broken JSON") from error
            if content["yes_no"] is not None:
                content["yes_no"] = tuple(content["yes_no"])
            content["history"] = tuple(map(tuple, content.get("history", ())))
            content["drafts"] = tuple(content.get("drafts", ()))
            yield Answer(**{key: value for key, value in content.items() if key in names})

    def keep(self, benchmark: str, answers: Iterable[Answer]) -> Iterator[Answer]:
        """Write each answer as it passes through, flushed before the next one is requested."""
        file = self._samples(benchmark)
        _end_at_a_line(file)
        with file.open("a") as stream:
            for answer in answers:
                stream.write(_line(answer))
                stream.flush()
                yield answer

    def replace(self, benchmark: str, answers: Iterable[Answer]) -> None:
        """Rewrite a benchmark's answers in one step (predictions filled in, order restored)."""
        file = self._samples(benchmark)
        new = file.with_suffix(".new")
        new.write_text("".join(map(_line, answers)))
        new.replace(file)

    def write_results(self, results: dict[str, Any]) -> Path:
        """Write the results file, in place of an earlier one of the same run."""
        file = self.path / f"results_{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}.json"
        _write_json(file, results)
        for old in self.path.glob("results_*.json"):
            if old != file:
                old.unlink(missing_ok=True)
        return file

    def results(self) -> dict[str, Any] | None:
        """Read the results; None if the run is not finished."""
        for file in sorted(self.path.glob("results_*.json"), reverse=True):
            content: dict[str, Any] = json.loads(file.read_text())
            return content
        return None

    def finished(self) -> dict[str, Any]:
        """Read the results of a run whose results and answers are all there.

        Raises:
            UserError: If the run is half-written.
        """
        cut = f"{self.path} is half-written: "
        again = "; run its 'halluc eval' again to finish it, or leave it out with --skip-unfinished"
        try:
            results = self.results()
        except ValueError as error:
            raise UserError(f"{cut}its results are not JSON{again}") from error
        if results is None:
            raise UserError(f"{cut}it has no results yet{again}")
        for name in self.config.benchmarks:
            kept = sum(1 for _ in self.answers(name))
            expected = results["n-samples"][name]["original"]
            if kept != expected:
                raise UserError(f"{cut}{name} has {kept} of {expected} answers{again}")
        return results

    def _samples(self, benchmark: str) -> Path:
        return self.path / f"samples_{benchmark}.jsonl"


def _line(answer: Answer) -> str:
    return json.dumps(finite(asdict(answer)), ensure_ascii=False, allow_nan=False) + "\n"


def _write_json(file: Path, content: Any) -> None:
    new = file.with_suffix(".new")
    new.write_text(
        json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    )
    new.replace(file)


def _end_at_a_line(file: Path) -> None:
    """Cut off a last line that a crash left incomplete."""
    if not file.is_file() or not (size := file.stat().st_size):
        return
    with file.open("rb+") as stream:
        stream.seek(size - 1)
        if stream.read() != b"\n":
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.+]+", "_", name).strip("_")
