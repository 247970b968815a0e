"""Exports against the rules of the formats: their schemas, or else their own readers."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData, parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results
from jsonschema import Draft7Validator

from halluc.errors import UserError
from halluc.export import export_runs
from halluc.export.exported_run import conversation
from halluc.scoring.building import build
from halluc.statistics import clustered_stderr
from halluc.store import RunFolder, find_scored
from halluc.store.rescoring_runs import rescore
from halluc.types import Answer
from tests.export.every_eval_ever import AGGREGATE, INSTANCE
from tests.kit.runs import asked_by, keep_scored, write_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder, error=0.1)
    write_run(folder, "vhr", error=0.5, params={"gain": 2.0})
    return folder


def files(form: str, runs: Path, output: Path, **options: Any) -> list[Path]:
    written = list(export_runs(form, [runs], output, **options))
    assert sorted(written) == sorted(path for path in output.rglob("*") if path.is_file())
    return written


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def rewritten(folder: Path, answers: list[Answer]) -> RunFolder:
    """A run that gave these answers to glyph_mme."""
    run = write_run(folder, benchmarks=())
    keep_scored(run, build("glyph_mme"), asked_by(answers), answers)
    return run


def test_lm_eval_finds_its_files_and_keys(runs: Path, tmp_path: Path) -> None:
    written = files("lm-eval", runs, tmp_path)
    folders = {path.parent.name for path in written}
    assert "org__model" in folders  # a slash becomes two underscores
    (method,) = folders - {"org__model"}
    assert re.fullmatch(r"org__model\+vhr-[0-9a-f]{10}", method)
    (file,) = (tmp_path / method).glob("results_*.json")
    found = json.loads(file.read_text())
    assert found.keys() >= {
        "results", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better",
        "n-samples", "config", "git_hash", "date", "pretty_env_info", "transformers_version",
        "task_hashes", "model_source", "model_name", "model_name_sanitized",
        "total_evaluation_time_seconds",
    }  # fmt: skip
    assert isinstance(found["pretty_env_info"], str)
    assert float(found["total_evaluation_time_seconds"]) > 0
    assert found["config"]["model_args"]["pretrained"] == "org/model"
    assert found["config"]["method_args"] == {"gain": 2.0}
    for task, metrics in found["results"].items():
        for name, value in metrics.items():
            if name not in ("alias", "name", "sample_len"):
                metric, _, kind = name.partition(",")
                assert kind == "none" and (isinstance(value, float) or value == "N/A")
                assert metric.endswith("_stderr") or f"{metric}_stderr,none" in metrics
                assert metric.removesuffix("_stderr") in found["higher_is_better"][task]


def test_lm_eval_samples_average_to_the_result(runs: Path, tmp_path: Path) -> None:
    files("lm-eval", runs, tmp_path)
    for file in tmp_path.glob("*/samples_*.jsonl"):
        task, date = file.stem.removeprefix("samples_").rsplit("_", 1)
        results = json.loads((file.parent / f"results_{date}.json").read_text())
        samples = lines(file)
        assert [sample["doc_id"] for sample in samples] == list(range(len(samples)))
        assert results["n-samples"][task]["effective"] == len(samples)
        right = [sample["right"] for sample in samples]
        stderr = clustered_stderr(right, [s["doc"]["image"] for s in samples], "lmms-eval")
        assert results["results"][task]["right,none"] == sum(right) / len(right)
        assert results["results"][task]["right_stderr,none"] == stderr
        joined = "".join(s["doc_hash"] + s["prompt_hash"] + s["target_hash"] for s in samples)
        assert results["task_hashes"][task] == hashlib.sha256(joined.encode()).hexdigest()
        one = samples[0]
        assert one["arguments"]["gen_args_0"]["arg_0"] == one["doc"]["question"]
        assert one["resps"] == [one["filtered_resps"]]
        assert isinstance(one["target"], str)


def test_every_eval_ever_keeps_its_schemas(runs: Path, tmp_path: Path) -> None:
    written = files("every-eval-ever", runs, tmp_path, organization="us")
    place = re.compile(
        r"data/glyph_(mme|chair)/org/model/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-"
        r"[0-9a-f]{12}(_samples\.jsonl|\.json)"
    )
    aggregates = [path for path in written if path.suffix == ".json"]
    assert len(aggregates) == 4
    for path in written:
        assert place.fullmatch(str(path.relative_to(tmp_path)))
    for path in aggregates:
        log = json.loads(path.read_text())
        assert list(Draft7Validator(AGGREGATE).iter_errors(log)) == []
        detail = log["detailed_evaluation_results"]
        samples = tmp_path / detail["file_path"]
        assert samples == path.with_name(f"{path.stem}_samples.jsonl")
        assert detail["checksum"] == hashlib.sha256(samples.read_bytes()).hexdigest()
        rows = lines(samples)
        assert detail["total_rows"] == len(rows)
        for row in rows:
            assert list(Draft7Validator(INSTANCE).iter_errors(row)) == []
            assert row["evaluation_id"] == log["evaluation_id"]
            assert row["model_id"] == log["model_info"]["id"]
        assert len({row["sample_id"] for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("model", "id", "deployed"),
    [
        ("glyph", "halluc/glyph", "self_deployed"),
        ("/some/where/my model", "local/my_model", "self_deployed"),
        ("openai:org/big", "org/big", "externally_managed"),
        ("openai:big", "unknown/big", "externally_managed"),
    ],
)
def test_every_eval_ever_names_any_model(
    model: str, id: str, deployed: str, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "runs", benchmarks=("glyph_chair",), model=model, limit=3)
    *_, file = export_runs("every-eval-ever", [run.path], tmp_path)
    info = json.loads(file.read_text())["model_info"]
    assert (info["id"], info["name"]) == (id, model)
    assert info["additional_details"]["deployment_type"] == deployed
    assert str(file.parent.relative_to(tmp_path)) == f"data/glyph_chair/{id}"


def test_every_eval_ever_says_which_method_and_what_beside(runs: Path, tmp_path: Path) -> None:
    files("every-eval-ever", runs, tmp_path, organization="us")
    logs = [json.loads(path.read_text()) for path in tmp_path.glob("data/glyph_chair/*/*/*.json")]
    by_method = {
        log["evaluation_results"][0]["generation_config"]["additional_details"]["method"]: log
        for log in logs
    }
    assert set(by_method) == {"baseline", "vhr"}
    log = by_method["vhr"]
    assert log["source_metadata"]["source_organization_name"] == "us"
    results = {one["metric_config"]["metric_name"]: one for one in log["evaluation_results"]}
    assert set(results) == {"chair_s", "chair_i", "recall", "precision", "f1"}
    chair = results["chair_i"]
    assert chair["metric_config"]["lower_is_better"] is True
    assert chair["score_details"]["uncertainty"]["num_bootstrap_samples"] == 10_000
    details = chair["score_details"]["details"]
    assert float(details["length"]) > 5  # no better direction, so it is no result of its own
    gap = json.loads(details["difference to baseline"])
    base = {
        result["metric_config"]["metric_name"]: result
        for result in by_method["baseline"]["evaluation_results"]
    }
    expected = chair["score_details"]["score"] - base["chair_i"]["score_details"]["score"]
    assert gap["value"] == pytest.approx(expected)
    assert "difference at equal length" in details


def test_a_repeated_export_replaces_itself(runs: Path, tmp_path: Path) -> None:
    for form in ("every-eval-ever", "lm-eval", "model-index"):
        once = files(form, runs, tmp_path / form)
        assert files(form, runs, tmp_path / form) == once


def test_what_is_scored_by_several_protocols_is_exported_apart(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs", benchmarks=("glyph_mme",))
    rescore(run, {"protocol": "all"})
    protocols = {one.scores.scoring.protocol: one.scores.key for one in find_scored(run)}
    assert len(protocols) == len(build("glyph_mme").protocols) > 1
    written = {
        form: files(form, run.path, tmp_path / form, **options)
        for form, options in (
            ("lm-eval", {}),
            ("every-eval-ever", {}),
            ("eval-results", {"dataset": "org/glyph"}),
        )
    }
    (results,) = (file for file in written["lm-eval"] if file.name.startswith("results_"))
    tasks = {f"glyph_mme_{key}" for key in protocols.values()}
    assert json.loads(results.read_text())["results"].keys() == tasks
    assert len(written["lm-eval"]) == 1 + len(tasks)
    assert len(written["every-eval-ever"]) == 2 * len(tasks)
    assert len(written["eval-results"]) == len(tasks)


def test_a_conversation_is_exported_whole() -> None:
    turn = Answer("1", "image", "all", "And a cat?", "no", history=(("Is there a dog?", "Yes"),))
    assert conversation(turn) == "Is there a dog?\nYes\nAnd a cat?"


def test_a_later_turn_of_a_conversation_is_exported_as_such(tmp_path: Path) -> None:
    first, *others = write_run(tmp_path / "whole", benchmarks=("glyph_mme",)).answers("glyph_mme")
    said = (("Is there a dog?", "Yes."),)
    second = replace(first, history=said, prompt="A cat?", text="No.")
    run = rewritten(tmp_path / "runs", [second, *others])
    list(export_runs("every-eval-ever", [run.path], tmp_path / "out"))
    (samples,) = (tmp_path / "out").rglob("*_samples.jsonl")
    rows = {row["sample_id"]: row for row in lines(samples)}
    row = rows.pop(first.id)
    assert list(Draft7Validator(INSTANCE).iter_errors(row)) == []
    assert row["interaction_type"] == "multi_turn"
    assert [(message["role"], message["content"]) for message in row["messages"]] == [
        ("user", "Is there a dog?"),
        ("assistant", "Yes."),
        ("user", "A cat?"),
        ("assistant", "No."),
    ]
    assert row["evaluation"]["num_turns"] == 2
    (read,) = row["answer_attribution"]
    assert (read["turn_idx"], read["source"]) == (3, "messages[turn_idx].content")
    assert row["input"]["raw"] == "Is there a dog?\nA cat?"  # the same for every model
    assert {row["interaction_type"] for row in rows.values()} == {"single_turn"}


def test_failed_answers_are_in_no_samples_file(tmp_path: Path) -> None:
    whole = write_run(tmp_path / "whole", benchmarks=("glyph_mme",)).answers("glyph_mme")
    failed = replace(whole[0], status="failed", text="", error="out of memory")
    run = rewritten(tmp_path / "runs", [failed, *whole[1:]])
    export_to = tmp_path / "out"
    list(export_runs("every-eval-ever", [run.path], export_to))
    list(export_runs("lm-eval", [run.path], export_to))
    for samples in export_to.rglob("*samples*.jsonl"):
        assert len(lines(samples)) == len(whole) - 1


def test_hugging_face_reads_its_eval_results(runs: Path, tmp_path: Path) -> None:
    options = {"dataset": "org/glyph", "source_url": "https://example.org/runs"}
    written = files("eval-results", runs, tmp_path, **options)
    assert {path.parent.name for path in written} == {".eval_results"}
    assert len(written) == 4  # a file a benchmark and method
    (file,) = (path for path in written if path.name.startswith("glyph_chair-vhr-"))
    entries = parse_eval_result_entries(yaml.safe_load(file.read_text()))
    by_task = {entry.task_id: entry for entry in entries}
    assert set(by_task) == {f"glyph_chair_{m}" for m in ("chair_s", "chair_i", "recall", "length")}
    entry = by_task["glyph_chair_chair_s"]
    (run,) = (RunFolder.read(p) for p in runs.iterdir() if "vhr" in p.name)
    (scored,) = (one for one in find_scored(run) if one.name == "glyph_chair")
    value = scored.scores.values["chair_s"].value
    assert value is not None
    assert entry.value == pytest.approx(100 * value)
    assert entry.dataset_id == "org/glyph"
    assert entry.source_url == "https://example.org/runs"
    assert entry.notes is not None
    for said in ("method: vhr (gain=2.0)", "95% interval by image", "minus baseline: +", "n: 12"):
        assert said in entry.notes


def test_hugging_face_reads_its_model_index(runs: Path, tmp_path: Path) -> None:
    (file,) = files("model-index", runs, tmp_path)
    assert file.suffix == ".md"  # front matter between dashes, which is no YAML file
    card = ModelCard(file.read_text())
    assert isinstance(card.data, ModelCardData)
    results = card.data.eval_results
    assert results is not None
    assert {r.dataset_config for r in results} == {"glyph_mme", "glyph_chair"}
    index = yaml.safe_load(file.read_text().split("---")[1])["model-index"]
    assert len(model_index_to_eval_results(index)[1]) == len(results) == 2 * (5 + 4)
    assert {r.metric_name for r in results if r.metric_type == "recall"} == {
        "recall, baseline",
        "recall, vhr (gain=2.0)",
    }


def test_errors(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown format 'csv', choose from lm-eval"):
        list(export_runs("csv", [runs], tmp_path))
    with pytest.raises(UserError, match=r"halluc\.world\) is not on the hub.*give --dataset"):
        list(export_runs("eval-results", [runs], tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no scored run in"):
        list(export_runs("lm-eval", [tmp_path / "empty"], tmp_path))
    unscored = write_run(tmp_path / "half")
    for file in unscored.scores_files():
        file.unlink()
    with pytest.raises(UserError, match="no scored run in"):
        list(export_runs("lm-eval", [unscored.path], tmp_path / "out"))
    assert not (tmp_path / "out").exists()
