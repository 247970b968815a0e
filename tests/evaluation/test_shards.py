"""Shards: disjoint parts of whole images, and a run without one that scores them all."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from halluc.config import MethodConfig, ModelConfig, RunConfig
from halluc.errors import UserError
from halluc.evaluation import Evaluation, evaluate_together
from halluc.evaluation.running import samples_of
from halluc.evaluation.sharding import Shard, find_shard
from halluc.models import VisionLanguageModel, load_model
from halluc.scoring.building import build
from tests.kit.command import HALLUC, halluc
from tests.kit.counting import Passes, counted_passes
from tests.kit.kept import environment, kept_answers, kept_scores


@pytest.fixture(scope="module")
def model(tiny: Path) -> VisionLanguageModel:
    return load_model(str(tiny))


@pytest.fixture
def passes(model: VisionLanguageModel) -> Iterator[Passes]:
    with counted_passes(model) as counted:
        yield counted


def evaluated(
    model: VisionLanguageModel, folder: Path, shard: Shard | None = None
) -> list[Evaluation]:
    base = RunConfig(
        model=ModelConfig(name=model.name),
        benchmarks=("glyph_pope", "glyph_chair"),
        limit=7,
        batch_size=4,
    )
    paint = base.model_copy(update={"method": MethodConfig(name="paint")})
    console = Console(file=io.StringIO())
    return evaluate_together([base, paint], folder, model=model, shard=shard, console=console)


def answered(folder: Path, benchmark: str = "glyph_pope") -> dict[str, set[str]]:
    """By answers file of one run, the images it is about."""
    run = min(folder.iterdir())
    return {
        file.name: {json.loads(line)["image_id"] for line in file.read_text().splitlines()}
        for file in sorted(run.glob(f"answers_{benchmark}*.jsonl"))
    }


def test_shards_are_disjoint_and_a_run_without_one_asks_nothing_and_scores_the_same(
    model: VisionLanguageModel, tmp_path: Path, passes: Passes
) -> None:
    evaluated(model, tmp_path / "once")
    for number in (1, 2, 3):
        (done, _) = evaluated(model, tmp_path / "parts", Shard(number, 3))
        assert not done.scored
    files = answered(tmp_path / "parts")
    assert list(files) == [f"answers_glyph_pope.{n}of3.jsonl" for n in (1, 2, 3)]
    assert [len(images) for images in files.values()] == [3, 2, 2]
    assert len(set.union(*files.values())) == 7  # so no image is in two
    before = passes.count
    scored = evaluated(model, tmp_path / "parts")
    assert passes.count == before
    assert [set(one.scored) for one in scored] == [{"glyph_pope", "glyph_chair"}] * 2
    assert kept_scores(tmp_path / "parts") == kept_scores(tmp_path / "once")
    keys = kept_answers(tmp_path / "parts")
    assert keys.keys() == kept_answers(tmp_path / "once").keys()
    assert all(len(lines) == 1 for lines in keys.values())


def test_a_run_without_a_shard_asks_what_one_that_never_ran_would_have(
    model: VisionLanguageModel, tmp_path: Path, passes: Passes
) -> None:
    evaluated(model, tmp_path / "once")
    whole = passes.count
    for number in (1, 3):
        evaluated(model, tmp_path / "parts", Shard(number, 3))
    before = passes.count
    evaluated(model, tmp_path / "parts")
    assert 0 < passes.since(before) < whole / 2
    files = answered(tmp_path / "parts")
    assert len(files["answers_glyph_pope.jsonl"]) == 2
    assert kept_scores(tmp_path / "parts") == kept_scores(tmp_path / "once")


def test_a_shard_does_not_ask_what_is_known_from_a_run_of_other_shards(
    model: VisionLanguageModel, tmp_path: Path, passes: Passes
) -> None:
    evaluated(model, tmp_path, Shard(1, 1))
    before = passes.count
    for number in (1, 2):
        evaluated(model, tmp_path, Shard(number, 2))
    assert passes.count == before


@pytest.mark.parametrize("count", [1, 2, 5, 50])
def test_every_sample_is_in_one_shard_and_images_are_whole(count: int) -> None:
    config = RunConfig(benchmarks=("glyph_pope",), limit=9)
    samples = samples_of(build("glyph_pope"), config)
    parts = [Shard(number + 1, count).of(samples) for number in range(count)]
    assert sorted(s.id for part in parts for s in part) == sorted(s.id for s in samples)
    images = [{s.image_id for s in part} for part in parts]
    assert sum(map(len, images)) == 9
    assert max(map(len, images)) - min(map(len, images)) <= 1


ARRAY = {"SLURM_ARRAY_TASK_ID": "12", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "10"}


@pytest.mark.parametrize(
    ("text", "says", "shard"),
    [
        ("3/8", {}, Shard(3, 8)),
        ("8/8", {"WORLD_SIZE": "2", "RANK": "0"}, Shard(8, 8)),
        (None, {}, None),
        (None, ARRAY, None),
        ("auto", ARRAY, Shard(3, 4)),
        ("auto", ARRAY | {"SLURM_ARRAY_TASK_STEP": "2"}, Shard(2, 4)),
        (None, {"WORLD_SIZE": "4", "RANK": "0"}, Shard(1, 4, launched=True)),
        ("auto", {"WORLD_SIZE": "4", "RANK": "3"}, Shard(4, 4, launched=True)),
        (None, {"WORLD_SIZE": "1"}, None),
        ("none", {"WORLD_SIZE": "4", "RANK": "3"}, None),
    ],
)
def test_a_shard_is_typed_or_said_by_a_launcher(
    text: str | None, says: dict[str, str], shard: Shard | None
) -> None:
    assert find_shard(text, says) == shard


@pytest.mark.parametrize(
    ("text", "says", "complaint"),
    [
        ("0/3", {}, "--shard '0/3': write 3/8"),
        ("4/3", {}, "--shard '4/3': write 3/8"),
        ("third", {}, "--shard 'third': write 3/8"),
        ("³/8", {}, "write 3/8"),
        ("auto", {}, "--shard auto: neither RANK and WORLD_SIZE nor SLURM_ARRAY_TASK_ID are set"),
        (None, {"WORLD_SIZE": "4"}, "RANK is '', not a number"),
        (None, {"WORLD_SIZE": "4", "RANK": "4"}, "name no shard, part 5 of 4"),
        (None, {"WORLD_SIZE": "many", "RANK": "0"}, "WORLD_SIZE is 'many', not a number"),
        ("auto", ARRAY | {"SLURM_ARRAY_TASK_ID": "14"}, "name no shard, part 5 of 4"),
        ("auto", ARRAY | {"SLURM_ARRAY_TASK_STEP": "5"}, "name no shard, part 0 of 4"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_COUNT is '', not a number"),
    ],
)
def test_what_is_no_shard_is_refused(
    text: str | None, says: dict[str, str], complaint: str
) -> None:
    with pytest.raises(UserError) as refused:
        find_shard(text, says)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        ["--shard", "9/8"],
        ["--shard", "1/2", "--processes", "2"],
        ["--shard", "auto"],
    ],
)
def test_errors_are_a_line_and_exit_with_2(options: list[str], tmp_path: Path) -> None:
    done = halluc("eval", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("halluc: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_the_command_answers_a_shard_and_status_says_how_far_all_are(
    tiny: Path, tmp_path: Path
) -> None:
    options = ["--model", str(tiny), "--benchmarks", "glyph_pope", "--limit", "3"]
    done = halluc("eval", *options, "--shard", "auto", cwd=tmp_path, **ARRAY)
    assert done.returncode == 0, done.stderr
    assert "accuracy" not in done.stdout  # a part is not scored
    status = json.loads(halluc("status", "--json", cwd=tmp_path).stdout)
    assert [(one["answered"], one["total"]) for one in status] == [(18, 54)]
    assert "18/54" in halluc("status", cwd=tmp_path).stdout


def test_the_last_process_of_a_launcher_scores(tiny: Path, tmp_path: Path) -> None:
    options = ["--model", str(tiny), "--benchmarks", "glyph_pope", "--limit", "3"]
    ranks = [{"RANK": str(n), "LOCAL_RANK": str(n), "WORLD_SIZE": "2"} for n in range(2)]
    first = halluc("eval", *options, cwd=tmp_path, **ranks[1])
    assert first.returncode == 0, first.stderr
    assert "accuracy" not in first.stdout
    assert "the process that ends last scores" in first.stderr
    last = halluc("eval", *options, cwd=tmp_path, **ranks[0])
    assert last.returncode == 0, last.stderr
    assert "accuracy" in last.stdout
    assert sorted(answered(tmp_path / "runs")) == [
        f"answers_glyph_pope.{n}of2.jsonl" for n in (1, 2)
    ]


@pytest.mark.slow
def test_processes_of_a_launcher_that_run_at_once_score(tiny: Path, tmp_path: Path) -> None:
    options = ["--model", str(tiny), "--benchmarks", "glyph_pope,glyph_chair", "--limit", "5"]
    running = [
        subprocess.Popen(
            [*HALLUC, "eval", *options],
            cwd=tmp_path,
            env=environment(RANK=str(rank), WORLD_SIZE="2"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for rank in range(2)
    ]
    said = [process.communicate()[0].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert any("accuracy" in text for text in said)
    assert halluc("eval", *options, "--output-dir", "once", cwd=tmp_path).returncode == 0
    assert kept_scores(tmp_path / "runs") == kept_scores(tmp_path / "once")
