"""`halluc doctor` as a stranger meets it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from halluc.config import ModelConfig
from halluc.doctor import Check, Examination, examine
from halluc.doctor.doctor_table import size, tables
from halluc.doctor.method_fit import Fit
from halluc.interventions import REGISTRY
from tests.kit.command import halluc
from tests.kit.fake_endpoint import FakeEndpoint
from tests.kit.families import llava


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """AGLA's matcher is on the hub; nobody waits for that here."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def saved(folder: Path, weight: float | None = None) -> Path:
    """A model folder; its head filled with one number."""
    model = llava()
    if weight is not None:
        torch.nn.init.constant_(model.model.lm_head.weight, weight)
    model.model.save_pretrained(folder)
    model.processor.save_pretrained(folder)
    return folder


def test_a_sound_model(tmp_path: Path) -> None:
    done = halluc("doctor", "--model", str(saved(tmp_path / "tiny")), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["healthy"] is True
    assert {checked["status"] for checked in report["promises"].values()} == {"kept"}
    assert {fit["name"]: fit["status"] for fit in report["methods"]}["var"] == "applies"
    assert report["model"]["image_tokens"] == [16, 16]
    assert report["model"]["parameters"] == sum(p.numel() for p in llava().model.parameters())
    assert report["packages"]["torch"] == torch.__version__
    assert report["devices"][0]["name"] == "cpu"
    assert report["data"]["benchmarks"]["glyph_pope"]["state"] == "drawn"
    assert not (tmp_path / "runs").exists()


def test_a_broken_promise_is_exit_code_1(tmp_path: Path) -> None:
    folder = saved(tmp_path / "nan", weight=float("nan"))
    done = halluc("doctor", "--model", str(folder), cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "✗ broken  identity gives stock logits" in done.stdout
    assert "largest difference nan" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["--model", "./nowhere"], "no such folder"),
        (["--model-args", "quantization=3bit"], "'quantization': input should be '4bit'"),
        (["--model-args", "dtype=float32", "--dtype", "float32"], "'dtype' is given twice"),
        (["--model", "openai:"], "write openai:NAME"),
        (["--model", "openai:m", "--dtype", "float32"], "is loaded elsewhere; leave out dtype"),
    ],
)
def test_a_mistake_of_the_user_is_exit_code_2(
    arguments: list[str], culprit: str, tmp_path: Path
) -> None:
    done = halluc("doctor", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert culprit in done.stderr
    assert done.stderr.count("\n") == 1


def test_offline_mode_and_caches_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    blob = tmp_path / "hf/hub/datasets--lmms-lab--POPE/blobs/b"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"x" * 2048)
    snapshot = blob.parents[1] / "snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "data.parquet").symlink_to(blob)
    folder = saved(tmp_path / "tiny")
    done = halluc("doctor", "--model", str(folder), "--json", cwd=tmp_path)
    data = json.loads(done.stdout)["data"]
    assert data["offline"] is True
    assert data["hub_cache"] == str(tmp_path / "hf/hub")
    pope = data["benchmarks"]["pope_coco"]
    assert pope == {"dataset": "lmms-lab/POPE", "state": "cached", "bytes": 2048}
    assert data["benchmarks"]["mmvp"]["state"] == "not cached"


def test_a_model_behind_an_endpoint_serves_greedy_alone(endpoint: FakeEndpoint) -> None:
    report = examine(ModelConfig(name="openai:m"))
    assert report.healthy
    assert [checked.status for checked in report.promises.values()] == ["kept"]
    assert [fit.name for fit in report.methods if fit.status == "applies"] == ["baseline"]
    assert len(report.methods) == len(REGISTRY.names())


def test_the_table_says_all_of_it() -> None:
    report = Examination(
        model={"name": "m", "parameters": 1234567, "weights_bytes": 3 * 2**30, "revision": None},
        promises={
            "p": Check("kept", "0"), "q": Check("broken", "1"), "r": Check("skipped", "-"),
        },
        methods=[Fit("a", "applies"), Fit("b", "refused", "has no CLS token")],
        packages={"torch": "2", "flash-attn": None},
        devices=[{"name": "cpu", "what": "2 cores", "memory": 2**30}],
        data={
            "offline": True,
            "benchmarks": {"mme": {"dataset": "d", "state": "cached", "bytes": 9}},
        },
    )  # fmt: skip
    console = Console(width=100, file=io.StringIO(), record=True)
    for table in tables(report):
        console.print(table)
    shown = console.export_text()
    for line in (
        "1,234,567", "3.0 GiB", "✓ kept", "✗ broken", "- skipped", "- refused  b  has no CLS token",
        "not installed", "2 cores, 1.0 GiB", "cached (9 B): d",
        "1 of 2 promises kept; 1 of 2 methods apply",
    ):  # fmt: skip
        assert line in shown
    assert not report.healthy


def test_sizes() -> None:
    assert [size(n) for n in (0, 1023, 1024, 10 * 1024, 2**41, 2**60)] == [
        "0 B", "1023 B", "1.0 KiB", "10 KiB", "2.0 TiB", "1048576 TiB",
    ]  # fmt: skip
