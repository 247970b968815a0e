"""The command line as a stranger meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from halluc.cli.app import app
from halluc.config import DecodingConfig
from halluc.data.pinned_files import checksum
from halluc.scoring.building import build
from halluc.store import RunFolder
from halluc.sweep.sweep_config import SweepConfig
from halluc.types import Answer
from tests.kit.command import halluc
from tests.kit.fake_endpoint import FakeEndpoint
from tests.kit.families import picture
from tests.kit.runs import asked_by, keep_scored, write_run


@pytest.mark.parametrize("what", ["methods", "benchmarks", "models"])
def test_listing_needs_no_torch(what: str) -> None:
    code = (
        "import sys; from halluc.cli.catalogue import listing; import halluc.cli.app\n"
        f"assert listing({what!r})\n"
        "heavy = {'torch', 'transformers', 'numpy', 'scipy', 'pycocotools'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_and_json_listing(tmp_path: Path) -> None:
    assert "eval" in halluc("--help", cwd=tmp_path).stdout
    rows = json.loads(halluc("list", "methods", "--json", cwd=tmp_path).stdout)
    var = next(row for row in rows if row["name"] == "var")
    assert var["parameters"]["rho"]["default"] == 0.5
    assert var["seams"] == ["attention_weights", "hidden"]


def test_every_option_is_explained_in_a_full_phrase() -> None:
    commands: dict[str, Any] = dict(get_command(app).commands)  # type: ignore[attr-defined]
    assert len(commands) == 25
    groups = commands["runs"].commands | commands["data"].commands
    assert len(groups) == 6
    for name, command in (commands | groups).items():
        assert command.help and command.help.endswith("."), name
        for option in command.params:
            text = (option.help or "").replace(" [required]", "")
            assert text[:1].isupper() and text.endswith("."), (name, option.name, text)


def test_a_sweep_has_an_option_for_every_field() -> None:
    options = {option.name for option in get_command(app).commands["sweep"].params}  # type: ignore[attr-defined]
    where = {"output_dir", "executor", "address", "ray_workers", "gpus_per_worker"}
    where |= {"quiet", "verbose", "figure_format"}
    assert options == {*SweepConfig.model_fields, "config", "calibration", "figures", *where}


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["--method", "vra"], "unknown method 'vra'"),
        (["--benchmarks", "glyph_pop"], "unknown benchmark 'glyph_pop': did you mean 'glyph_pope'"),
        (["--benchmarks", ","], "--benchmarks names none"),
        (["--model", "./nowhere"], "unknown model './nowhere': no such folder"),
        (["--model", "glyf"], "unknown model 'glyf'"),
        (["--method", "var", "--method-args", "kep=1"], "did you mean 'keep'"),
        (["--method", "var", "--method-args", "keep=much"], "'keep': input should be a valid"),
        (["--method", "var", "--method-args", "keep=2"], "less than or equal to 1, not 2"),
        (["--method", "var", "--method-args", "keep"], "'keep' is not key=value"),
        (["--method", "var", "--method-args", "keep=1,keep=1"], "'keep' is given twice"),
        (["--method", "baseline", "--method-args", "keep=1"], "it has none"),
        (["--limit", "0"], "'limit': input should be greater than or equal to 1"),
        (["--batch-size", "0"], "'batch_size'"),
        (["--gen-kwargs", "beams=3"], "--gen-kwargs: unknown parameter 'beams'"),
        (["--gen-kwargs", "temperature=0"], "'temperature': input should be greater than 0"),
        (["--dtype", "float33"], "'dtype': input should be 'auto', 'float32'"),
        (["--device", "gpu"], "'device'"),
        (["--output-dir", "a_file"], "--output-dir 'a_file' is a file"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str], culprit: str, tmp_path: Path
) -> None:
    (tmp_path / "a_file").touch()
    done = halluc("eval", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert culprit in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = halluc("eval", "--model", "empty", cwd=tmp_path)
    assert done.returncode == 2
    assert "holds no config.json" in done.stderr
    missing = halluc("leaderboard", "nowhere", cwd=tmp_path)
    assert missing.returncode == 2
    assert "no folder 'nowhere'" in missing.stderr


def test_from_evaluation_to_leaderboard(tiny: Path, tmp_path: Path) -> None:
    command = ["eval", "--model", str(tiny), "--method", "vhr", "--limit", "2"]
    command += ["--benchmarks", "glyph_pope,glyph_mme", "--method-args", "gain=3"]
    done = halluc(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "vhr - baseline" in done.stdout
    runs = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert len(runs) == 2
    again = halluc(*command, cwd=tmp_path)
    assert again.stdout == done.stdout  # read back, not run again
    assert "vhr glyph_pope" not in again.stderr

    board = halluc("leaderboard", "runs", "--output", "runs/leaderboard.json", cwd=tmp_path)
    assert board.returncode == 0, board.stderr
    rows = json.loads((tmp_path / "runs/leaderboard.json").read_text())["rows"]
    assert [(row["benchmark"], row["method"]) for row in rows] == [
        ("glyph_mme", "baseline"),
        ("glyph_mme", "vhr"),
        ("glyph_pope", "baseline"),
        ("glyph_pope", "vhr"),
    ]
    vhr = rows[3]
    assert vhr["method_args"]["gain"] == 3
    assert len(vhr["method_args"]["layers"]) == 2
    assert vhr["baseline"] == rows[2]["key"] == rows[2]["baseline"]
    assert vhr["image_processing"].startswith("native CLIPImageProcessor")
    assert vhr["n"] == 36
    assert vhr["n_images"] == 2
    assert vhr["cost"]["forward_passes"] > rows[2]["cost"]["forward_passes"]
    value, base = (row["metrics"]["accuracy"]["value"] for row in (vhr, rows[2]))
    assert vhr["differences"]["accuracy"]["value"] == pytest.approx(value - base)


def test_an_interrupted_run_goes_on_where_it_stood(tiny: Path, tmp_path: Path) -> None:
    command = ["eval", "--model", str(tiny), "--limit", "2", "--benchmarks", "glyph_pope"]
    halluc(*command, cwd=tmp_path)
    (folder,) = (tmp_path / "runs").iterdir()
    answers, (scores,) = folder / "answers_glyph_pope.jsonl", folder.glob("scores_*.json")
    whole = answers.read_text().replace(', "more": true', "").splitlines()  # each a group
    values = json.loads(scores.read_text())["values"]
    scores.unlink()
    answers.write_text("\n".join(whole[:20]) + "\n" + whole[20][:30])
    done = halluc(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "16/16" in done.stderr
    lines = answers.read_text().splitlines()
    assert lines[:20] == whole[:20]
    said = [{line["id"]: line["text"] for line in map(json.loads, part)} for part in (lines, whole)]
    assert said[0] == said[1] and len(lines) == len(whole)
    (scores,) = folder.glob("scores_*.json")
    assert json.loads(scores.read_text())["values"] == values


def test_answers_files_are_scored_without_a_model(shared: Path, tmp_path: Path) -> None:
    pope = shared / "golden/pope"
    arguments = ["--answers", str(pope / "llava15_random910_answers.jsonl")]
    arguments += ["--benchmark", "pope_coco"]
    arguments += ["--labels", str(pope / "llava15_random910_labels.jsonl"), "--json"]
    done = halluc("score", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)["metrics"]
    assert metrics["F1 score"] == pytest.approx(0.8997821351)
    assert (metrics["TP"], metrics["FP"], metrics["TN"], metrics["FN"]) == (413, 50, 405, 42)


def test_corrected_labels_from_the_command_line(shared: Path, tmp_path: Path, cache: Path) -> None:
    """A run of POPE's popular split on five images, all answered yes, scored against RePOPE."""
    questions = (shared / "data/pope/coco_pope_popular.json").read_text().splitlines()[:30]
    answers = [
        Answer(f"popular/{q['question_id']}", q["image"], "popular", q["text"], q["label"], "Yes")
        for q in map(json.loads, questions)
    ]
    made = write_run(tmp_path, benchmarks=())
    keep_scored(made, build("pope_coco"), asked_by(answers), answers)
    run = made.path.name
    corrected = shared / "data/pope/coco_repope_popular.json"
    images = {answer.image_id for answer in answers}
    labels = [
        row["label"]
        for row in map(json.loads, corrected.read_text().splitlines())
        if row["image"] in images
    ]
    done = halluc("score", run, "--labels", str(corrected), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["pope_coco"]
    assert found["labels"] == {"popular": checksum(corrected)[:10]}
    scores = found["protocols"]["official"]
    assert scores["n"] == len(labels) < 30
    assert scores["values"]["accuracy"]["value"] == labels.count("yes") / len(labels)
    shown = halluc("score", run, "--labels", str(corrected), cwd=tmp_path)
    about = f"pope_coco, {len(labels)} answers of baseline on org/model ({run})"
    assert f"{about}, other labels of popular" in shown.stdout
    altered = tmp_path / "coco_repope_popular.json"
    altered.write_text(corrected.read_text().replace('"yes"', '"no"', 1))
    refused = halluc("score", run, "--labels", altered.name, cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "RePOPE has published 57832b055bae" in refused.stderr


def test_a_judged_run_is_scored_later(
    tiny: Path, tmp_path: Path, cache: Path, endpoint: FakeEndpoint
) -> None:
    for n in range(2):
        picture(n).save(tmp_path / f"{n}.png")
    (tmp_path / "haloquest-eval.csv").write_text(
        ",image_name,hallucination type,question,groundtruth responses\n"
        "0,0.png,false premises,is there a dog ?,There is none\n"
        "1,1.png,visual challenge,is there a cat ?,There is\n"
    )
    command = ["eval", "--model", str(tiny), "--method", "vhr", "--benchmarks", "haloquest"]
    command += ["--benchmark-args", "folder=.", "--gen-kwargs", "max_new_tokens=4"]
    done = halluc(*command, cwd=tmp_path)
    assert done.returncode == 2
    refusal = done.stderr.splitlines()[-1]
    assert refusal.startswith("halluc: haloquest: answered but not scored, as no judge is given")
    runs = sorted((tmp_path / "runs").iterdir())
    assert len(runs) == 2  # the method was answered too
    assert all(f"halluc score runs/{run.name} --judge" in refusal for run in runs)
    assert [len(RunFolder.read(run).answers("haloquest")) for run in runs] == [2, 2]
    unscored = halluc("score", str(runs[0]), cwd=tmp_path)
    assert (unscored.returncode, unscored.stdout) == (2, "")
    assert "haloquest: needs --judge endpoint:MODEL or local:MODEL" in unscored.stderr
    judge = ["--judge", "endpoint:m", "--json"]
    scored = halluc("score", str(runs[0]), *judge, cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    found = json.loads(scored.stdout)["haloquest"]
    assert found["protocols"]["official"]["values"]["accuracy"]["value"] == 1
    assert "judge: endpoint:m" in found["notes"]


def test_pope_is_built_from_objects(shared: Path, tmp_path: Path) -> None:
    objects = shared / "data/pope/coco500_objects_reconstructed.jsonl"
    command = ["build", "pope", "--objects", str(objects), "--output", "built"]
    done = halluc(*command, "--template", "official", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (popular,) = (tmp_path / "built").glob("*_popular.json")
    built = [json.loads(line) for line in popular.read_text().splitlines()]
    released = (shared / "data/pope/coco_pope_popular.json").read_text().splitlines()
    expected = [json.loads(line) for line in released]
    assert [(row["image"], row["label"]) for row in built] == [
        (row["image"], row["label"]) for row in expected
    ]


def test_a_run_is_rescored_under_every_protocol(tiny: Path, tmp_path: Path) -> None:
    halluc("eval", "--model", str(tiny), "--limit", "1", "--benchmarks", "glyph_pope", cwd=tmp_path)
    (folder,) = (tmp_path / "runs").iterdir()
    done = halluc("score", str(folder), "--protocol", "all", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["glyph_pope"]
    assert {"official", "vcd", "opera", "lmms-eval", "vlmevalkit", "repope"} == set(
        found["protocols"]
    )
    assert 0 <= found["probabilities"]["all"]["auroc"] <= 1


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["score"], "give a run folder, or --answers"),
        (["score", "nowhere"], "nowhere is not a run folder"),
        (["score", "nowhere", "--ground-truth", "a"], "--ground-truth goes with --answers"),
        (["score", "nowhere", "--labels", "a_random.json"], "nowhere is not a run folder"),
        (
            ["score", "--answers", "a", "--benchmark", "pope_coco", "--labels", "repope"],
            "a: no such file",
        ),
        (
            [
                "score",
                "--answers",
                "a",
                "--benchmark",
                "pope_coco",
                "--labels",
                "b",
                "--labels",
                "c",
            ],
            "a: no such file",
        ),
        (["score", "--answers", "a"], "--answers needs --benchmark"),
        (["score", "--answers", "a", "--benchmark", "mme"], "a: no such file"),
        (["build", "pope", "--objects", "a"], "a: no such file"),
        (["eval", "--benchmark-args", "folder=nowhere"], "folder 'nowhere' does not exist"),
        (["eval", "--benchmark-args", "fodler=x"], "takes no 'fodler', only protocol"),
        (["eval", "--benchmark-args", "mme.prompt=x"], "'mme' is not one of"),
        (["calibrate", "--method", "vhr", "--images", "a", "--benchmark", "b"], "not both"),
        (["compare", "a", "b"], "answers files need --benchmark"),
        (["compare", "a", "b", "--benchmark", "pope_coco"], "a: no such file"),
        (["power", "--benchmark", "pop", "--difference", "0.01"], "unknown benchmark 'pop'"),
        (["power", "--benchmark", "pope_coco", "--difference", "0.1"], "lies between 0 and 0.1"),
        (["power", "--benchmark", "pope_coco", "--difference", "0"], "lies between 0 and 0.1"),
        (["power", "--benchmark", "pope_coco"], "say --difference, as in --difference 0.01; or"),
        (["power", "--difference", "0.1"], "say --benchmark, as in --benchmark pope_coco; or give"),
        (["power", "--benchmark", "haloquest", "--difference", "0.01"], "give --pilot"),
        (["leaderboard", "nowhere.json"], "no folder 'nowhere.json'"),
        (["export", "csv", "runs"], "unknown format 'csv', choose from lm-eval"),
        (["export", "lm-eval", "runs"], "no folder 'runs'"),
    ],
)
def test_bad_input_to_other_commands(arguments: list[str], culprit: str, tmp_path: Path) -> None:
    done = halluc(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert culprit in done.stderr
    assert done.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs that no model made."""
    folder = tmp_path_factory.mktemp("made")
    write_run(folder / "runs", error=0.1)
    write_run(folder / "runs", "vhr", error=0.5)
    return folder


def test_two_runs_are_compared(made: Path) -> None:
    method, baseline = (next((made / "runs").glob(f"*-{name}-*")) for name in ("vhr", "baseline"))
    done = halluc("compare", str(method), str(baseline), "--json", cwd=made)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["differ_in"] == []
    mme, chair = (found["benchmarks"][name] for name in ("glyph_mme", "glyph_chair"))
    total = mme["metrics"]["total"]
    assert total["difference"]["value"] == pytest.approx(total["ours"] - total["theirs"])
    assert total["difference"]["p"] <= total["difference"]["bh"] <= total["difference"]["holm"]
    assert mme["right_wrong"]["only_theirs"] > mme["right_wrong"]["only_ours"]
    assert chair["metrics"]["chair_i"]["same_length"]["value"] is not None
    assert total["same_length"] is None
    shown = halluc("compare", str(method), str(baseline), cwd=made).stdout
    assert "McNemar" in shown and "at equal length" in shown
    other = write_run(made / "other", "vhr", error=0.5, decoding=DecodingConfig(num_beams=3))
    shown = halluc("compare", str(other.path), str(baseline), cwd=made).stdout
    assert "also differ in decoding.num_beams (3 and 1)" in shown
    single = write_run(made / "other", benchmarks=("glyph_mme",))
    chair_only = write_run(made / "another", benchmarks=("glyph_chair",))
    done = halluc("compare", str(single.path), str(chair_only.path), cwd=made)
    assert done.returncode == 2
    assert "has scores of glyph_mme by official and" in done.stderr
    assert "they have no scores of the same samples by the same protocol" in done.stderr


def test_two_answers_files_are_compared(shared: Path, tmp_path: Path) -> None:
    pope = shared / "golden/pope"
    real = pope / "llava15_random910_answers.jsonl"
    rows = [json.loads(line) for line in real.read_text().splitlines()]
    for row in rows:
        row["text"] = row["answer"] = "Yes"
    (tmp_path / "yes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    labels = str(pope / "llava15_random910_labels.jsonl")
    command = ["compare", "yes.jsonl", str(real), "--benchmark", "pope_coco", "--labels", labels]
    found = json.loads(halluc(*command, "--json", cwd=tmp_path).stdout)["benchmarks"]["pope_coco"]
    # of 413 + 405 right answers only the 413 yes stay; 42 wrong no become right
    assert (found["right_wrong"]["only_ours"], found["right_wrong"]["only_theirs"]) == (42, 405)
    accuracy = found["metrics"]["random/accuracy"]
    assert accuracy["difference"]["value"] == pytest.approx((42 - 405) / 910)
    assert found["notes"] == ["no images named: intervals resample questions and are too narrow"]


def test_power_says_what_a_benchmark_can_see(made: Path) -> None:
    command = ["power", "--benchmark", "pope_coco", "--difference", "0.01"]
    found = json.loads(halluc(*command, "--json", cwd=made).stdout)
    assert (found["at_hand"]["images"], found["at_hand"]["questions"]) == (500, 9000)
    assert found["design_effect"] == pytest.approx(1 + 17 * 0.1)
    assert found["needed"]["images"] == 1177
    assert "1177 images (21186 questions)" in halluc(*command, cwd=made).stdout
    pilot = [str(next((made / "runs").glob(f"*-{name}-*"))) for name in ("vhr", "baseline")]
    command = ["power", "--benchmark", "glyph_mme", "--difference", "0.05", "--pilot", *pilot]
    measured = json.loads(halluc(*command, "--json", cwd=made).stdout)
    assert measured["assumed"] is False
    assert 0.3 < measured["discordance"] < 0.5
    named = halluc("power", "--pilot", *pilot, cwd=made)
    assert named.stderr == "halluc: --benchmark: the pilot has glyph_chair, glyph_mme; name one\n"
    command[2] = "glyph_pope"
    done = halluc(*command, cwd=made)
    assert done.returncode == 2
    assert "has no scores of glyph_pope, only of glyph_chair, glyph_mme" in done.stderr


def test_a_board_is_written_in_three_forms(made: Path) -> None:
    (made / "page.md").write_text("<!-- leaderboard:start -->\n<!-- leaderboard:end -->\n")
    command = ["leaderboard", "runs", "--output", "out/board.json", "--csv", "out/board.csv"]
    done = halluc(*command, "--markdown", "page.md", "--quiet", cwd=made)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out/board.json: 4 rows\n"
    assert "| vhr |" in (made / "page.md").read_text()
    assert (made / "out/board.csv").read_text().count("\n") > 20
    again = halluc("leaderboard", "out/board.json", "runs", "--quiet", cwd=made)
    assert again.returncode == 0, again.stderr


def test_a_run_that_is_not_scored_is_one_line_and_no_board(made: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs", benchmarks=("glyph_mme",))
    next(run.path.glob("scores_*")).unlink()
    for place in ("runs", str(run.path)):
        done = halluc("leaderboard", place, "--output", "board.json", cwd=tmp_path)
        assert done.returncode == 2
        assert "glyph_mme was asked and is not scored; run its 'halluc eval' again" in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "board.json").exists()
    both = ["leaderboard", "runs", str(made / "runs"), "--skip-unfinished", "--quiet"]
    assert halluc(*both, cwd=tmp_path).returncode == 0


def test_runs_are_exported(made: Path) -> None:
    for form in ("lm-eval", "every-eval-ever", "model-index"):
        done = halluc("export", form, "runs", "--output", f"out/{form}", cwd=made)
        assert done.returncode == 0, done.stderr
        assert all((made / line).is_file() for line in done.stdout.splitlines())
    done = halluc("export", "eval-results", "runs", "--output", "out", cwd=made)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
