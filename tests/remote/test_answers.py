"""Models behind an endpoint: answers are scored like any other's, and no method reaches them."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from halluc.config import DecodingConfig, MethodConfig, ModelConfig, RunConfig
from halluc.decoding import answer_samples
from halluc.errors import UserError
from halluc.evaluation import evaluate
from halluc.images import BadImage
from halluc.methods.baseline import Baseline
from halluc.remote.client import EndpointRefused
from halluc.remote.conversation import messages
from halluc.remote.model import EndpointModel
from halluc.store import RunFolder, find_scored
from halluc.types import Answer, Sample
from tests.kit.command import halluc
from tests.kit.fake_endpoint import FakeEndpoint, completion
from tests.kit.families import picture


def samples(n: int) -> list[Sample]:
    return [
        Sample(f"s{i}", f"i{i}", f"question {i}", lambda: picture(0), max_new_tokens=7)
        for i in range(n)
    ]


def asked(body: dict[str, Any]) -> str:
    (turn,) = body["messages"]
    return str(turn["content"][1]["text"])


def answers(
    questions: list[Sample], decoding: DecodingConfig | None = None, in_flight: int = 3
) -> list[Answer]:
    model, greedy = EndpointModel.named("openai:m"), Baseline(Baseline.Params())
    return list(answer_samples(model, greedy, questions, decoding or DecodingConfig(), in_flight))


def test_the_image_goes_first_and_keeps_its_pixels() -> None:
    sample = Sample("s", "i", "and this?", lambda: picture(3), history=(("what is it?", "a dog"),))
    first, reply, last = messages(sample, picture(3))
    assert reply == {"role": "assistant", "content": "a dog"}
    assert last == {"role": "user", "content": "and this?"}
    image, text = first["content"]
    assert text == {"type": "text", "text": "what is it?"}
    kind, _, content = image["image_url"]["url"].partition("base64,")
    assert kind == "data:image/png;"
    sent = Image.open(io.BytesIO(base64.b64decode(content)))
    assert np.array_equal(np.asarray(sent), np.asarray(picture(3)))


def test_answers_come_in_order_whatever_comes_back_first(endpoint: FakeEndpoint) -> None:
    def later_is_faster(body: dict[str, Any], n: int) -> tuple[int, Any]:
        time.sleep(0.02 * (6 - int(asked(body).split()[1])))
        return 200, completion(f" to {asked(body)} ")

    endpoint.respond = later_is_faster
    found = answers(samples(6))
    assert [answer.text for answer in found] == [f"to question {i}" for i in range(6)]
    assert {(a.status, a.prompt_tokens, a.tokens, a.forward_passes) for a in found} == {
        ("ok", 70, 2, 0)
    }
    assert all(answer.image_hash for answer in found)


def test_as_many_requests_at_a_time_as_asked_for(endpoint: FakeEndpoint) -> None:
    together = threading.Barrier(3, timeout=10)

    def wait_for_company(body: dict[str, Any], n: int) -> tuple[int, Any]:
        together.wait()
        assert together.n_waiting < 3
        return 200, completion()

    endpoint.respond = wait_for_company
    started = time.perf_counter()
    found = answers(samples(6), in_flight=3)
    passed = time.perf_counter() - started
    assert [answer.status for answer in found] == ["ok"] * 6
    assert 0 < sum(answer.seconds for answer in found) <= passed


def test_decoding_parameters_are_sent(endpoint: FakeEndpoint) -> None:
    answers(samples(1))
    answers(samples(1), DecodingConfig(max_new_tokens=3))
    sampled = DecodingConfig(do_sample=True, temperature=0.7, top_p=0.9, seed=5)
    answers(samples(1), sampled)
    sent = [{k: v for k, v in body.items() if k != "messages"} for _, _, body in endpoint.requests]
    assert sent == [
        {"model": "m", "max_tokens": 7, "temperature": 0},
        {"model": "m", "max_tokens": 3, "temperature": 0},
        {"model": "m", "max_tokens": 7, "temperature": 0.7, "top_p": 0.9, "seed": 5},
    ]


def test_what_gets_no_answer_fails_alone(endpoint: FakeEndpoint) -> None:
    def picky(body: dict[str, Any], n: int) -> tuple[int, Any]:
        if "2" in asked(body):
            return 400, {"error": {"message": "unsafe"}}
        return 200, completion()

    def broken() -> Image.Image:
        raise BadImage("cat.png: the file is empty")

    endpoint.respond = picky
    questions = samples(4)
    questions[1] = replace(questions[1], load_image=broken)
    found = answers(questions)
    assert [answer.status for answer in found] == ["ok", "failed", "failed", "ok"]
    assert found[1].error == "BadImage: cat.png: the file is empty"
    assert found[2].error == "RequestFailed: HTTP 400: unsafe"


def test_a_refused_key_ends_the_run_at_once(endpoint: FakeEndpoint) -> None:
    endpoint.respond = lambda body, n: (401, {"error": {"message": "no"}})
    with pytest.raises(EndpointRefused, match="HTTP 401"):
        answers(samples(50))
    assert len(endpoint.requests) < 10


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": MethodConfig(name="var")}, "'var' needs the model's weights, and 'openai:m'"),
        ({"method": MethodConfig(name="vhr+var")}, "only --method baseline works there"),
        ({"decoding": DecodingConfig(num_beams=2)}, "endpoints take no num_beams"),
        ({"decoding": DecodingConfig(do_sample=True, top_k=5)}, "endpoints take no top_k"),
        (
            {"model": ModelConfig(name="openai:m", dtype="float16", image_aspect="pad")},
            "leave out dtype, image_aspect",
        ),
    ],
)
def test_what_an_endpoint_cannot_do_is_refused_before_it_is_asked(
    changes: dict[str, Any], reason: str, endpoint: FakeEndpoint, tmp_path: Path
) -> None:
    config = RunConfig(model=ModelConfig(name="openai:m"), benchmarks=("glyph_mme",))
    with pytest.raises(UserError, match=reason):
        evaluate(config.model_copy(update=changes), tmp_path)
    model = EndpointModel.named("openai:m")
    with pytest.raises(UserError, match=reason):
        evaluate(config.model_copy(update=changes), tmp_path, model=model)
    assert not endpoint.requests
    assert not any(tmp_path.iterdir())


def test_names() -> None:
    assert EndpointModel.named("openai:org/m:free").endpoint.model == "org/m:free"
    for name in ("openai:", "openai: ", "openai:m\n", "openai:a\x1b[2J", "openai:\udcff", "glyph"):
        with pytest.raises(UserError, match="write openai:NAME"):
            EndpointModel.named(name)


def test_another_address_is_another_model(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = EndpointModel.named("openai:m")
    here = model.fingerprint
    assert str(endpoint.port) not in here
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    assert model.fingerprint != here


def test_a_benchmark_from_the_command_line(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    endpoint.respond = lambda body, n: (200, completion("Yes" if n % 2 else "No"))
    command = ["eval", "--model", "openai:org/m", "--benchmarks", "glyph_pope", "--limit", "2"]
    refused = halluc(*command, "--method", "paint", cwd=tmp_path)
    assert refused.returncode == 2
    assert "method 'paint' needs the model's weights" in refused.stderr
    assert not (tmp_path / "runs").exists()

    done = halluc(*command, "--batch-size", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    lines = [json.loads(row) for row in (folder / "answers_glyph_pope.jsonl").open()]
    assert len(lines) == 36
    asked = {(line["image_id"], line["prompt"]) for line in lines}
    assert len(endpoint.requests) == len(asked) == sum(not line["same_as"] for line in lines)
    (scored,) = find_scored(RunFolder.read(folder))
    assert {reading.prediction for reading in scored.readings} == {"yes", "no"}
    accuracy = scored.scores.values["accuracy"].value
    assert accuracy is not None and 0 <= accuracy <= 1
    assert scored.run.asker.decoding.do_sample is False
    for file in folder.iterdir():
        for secret in ("sk-secret", "127.0.0.1", str(endpoint.port)):
            assert secret not in file.read_text()
    assert "sk-secret" not in done.stdout + done.stderr

    again = halluc(*command, "--batch-size", "4", cwd=tmp_path)
    assert again.stdout == done.stdout
    assert len(endpoint.requests) == len(asked)  # read back
