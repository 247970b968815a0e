"""`halluc reproduce`: what it takes, and commands that are valid."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.plan import assumed
from halluc.claims import all_claims, claim_cost, find_claim
from halluc.claims.claim_cost import spent
from halluc.claims.known_models import MODELS
from halluc.claims.reproduction import lines, plan
from halluc.cli import claims as command_line
from halluc.cli.app import app
from halluc.config import BASELINE, RunConfig
from halluc.errors import UserError
from tests.claims.hand_made import row
from tests.kit.pages import Valid

VCD = find_claim("vcd-pope-random-llava15-7b-accuracy")
VHR = find_claim("vhr-chair-llava15-7b-chair-s")


def test_the_commands_of_a_sampled_claim() -> None:
    planned = plan(VCD, limit=50, seeds=2, output_dir="out")
    assert [shlex.join(command) for command in planned.commands] == [
        "eval --model llava-hf/llava-1.5-7b-hf --dtype float16 --model-args "
        "image_aspect=pad,system_prompt=vicuna --method vcd --benchmarks pope_coco "
        "--benchmark-args prompt=vcd,protocol=vcd --gen-kwargs "
        f"do_sample=true,seed={seed} --limit 50 --output-dir out"
        for seed in (0, 1)
    ]
    assert (planned.images, planned.questions, planned.folder) == (50, 900, False)


def test_a_greedy_claim_has_one_command_whatever_the_seeds() -> None:
    planned = plan(VHR, seeds=3, benchmark_args="folder=/coco", model_args="device_map=auto")
    assert [shlex.join(command) for command in planned.commands] == [
        "eval --model llava-hf/llava-1.5-7b-hf --dtype float16 --model-args "
        "image_aspect=pad,system_prompt=vicuna,device_map=auto --method vhr --benchmarks "
        "chair_coco --benchmark-args prompt=official,folder=/coco --output-dir runs"
    ]
    assert not planned.folder and plan(VHR).folder
    assert "folder=DIR" in shlex.join(plan(VHR).commands[0])


def test_parameters_beams_and_given_options_reach_the_command() -> None:
    vista = plan(find_claim("vista-pope-llava15-7b-f1"), model_args="image_aspect=native")
    (command,) = vista.commands
    assert command[command.index("--method-args") + 1] == "strength=0.01"
    assert command[command.index("--model-args") + 1] == "system_prompt=vicuna,image_aspect=native"
    (command,) = plan(find_claim("opera-pope-llava15-7b-f1-in-vhr")).commands
    assert command[command.index("--gen-kwargs") + 1] == "num_beams=5"
    (command,) = plan(find_claim("vcd-pope-random-instructblip-7b-f1"), dtype="float32").commands
    assert "--model-args" not in command and command[command.index("--dtype") + 1] == "float32"


def test_weights_are_counted_in_the_type_they_are_loaded_in() -> None:
    assert plan(VCD).gigabytes == pytest.approx(14.2)  # 7.1 * 2
    assert plan(VCD, dtype="float32").gigabytes == pytest.approx(28.4)  # 7.1 * 4


def test_passes_and_time_by_hand() -> None:
    # yes/no: 5 tokens; VCD's two streams: 10 passes. Given .1 s a pass, 18 questions about 1 image:
    # 18 * (5 + 10) * .1 s = 27 s
    found = spent(VCD, 1, 1, 0.1)
    assert found.passes == (5, 10) and not found.at_least
    assert found.hours == pytest.approx(27 / 3600)
    assert spent(VCD, 1, 3, 0.1).hours == pytest.approx(81 / 3600)
    # captions: 110 tokens; VHR reads each prompt twice more: 112
    assert spent(VHR, 1, 1, 0.1).passes == (110, 112)
    # planned: a prompt of 65 + 576 tokens takes 2 * 7.1e9 * 641 / (989e12 * .4) = .02301 s, a later
    # token .025 / 16 s; the baseline 1 prompt and 4 tokens, VCD 2 and 8; 60 s to load
    expected = 18 * (3 * 0.02301 + 12 * 0.025 / 16) + 60
    assert spent(VCD, 1, 1, None).hours == pytest.approx(expected / 3600, rel=1e-3)


def test_beams_are_counted_each() -> None:
    opera = find_claim("opera-pope-llava15-7b-f1-in-vhr")
    found = spent(opera, 500, 1, 0.1)
    assert found.passes[0] == 1 + 4 * 5  # one prompt, five beams of four later tokens
    assert found.at_least  # the search's passes depend on the answer
    assert "at least" in list(found.told())[1]


def test_two_tasks_are_counted_apart() -> None:
    avisc = find_claim("avisc-amber-llava15-7b-chair")
    # 1004 descriptions of 80 tokens, 14216 answers of 5: 151400 / 15220 = 9.95
    assert spent(avisc, 1004, 1, 0.1).passes[0] == pytest.approx(151400 / 15220)


def test_the_rule_is_that_of_the_planning_page() -> None:
    gpu = assumed.GPUS["h200"]
    planned = assumed.Assumed()
    assert (gpu.name, gpu.tflops) == (claim_cost.GPU, claim_cost.TFLOPS)
    assert planned.utilisation == claim_cost.UTILISATION
    assert (planned.step, planned.batch) == (claim_cost.STEP, claim_cost.BATCH)
    assert planned.load == claim_cost.LOAD
    assert claim_cost.TEXT == assumed.TEMPLATE + assumed.QUESTION
    assert {task: assumed.LENGTH[task] for task in claim_cost.LENGTH} == claim_cost.LENGTH
    for model in assumed.MODELS:
        if model.name in MODELS:
            known = MODELS[model.name]
            assert (known.params, known.image) == (model.params, model.image)


def test_what_it_says_before_it_starts() -> None:
    said = list(lines(plan(VHR)))
    assert said[0].startswith("vhr-chair-llava15-7b-chair-s: vhr on LLaVA-1.5-7B, chair_coco")
    assert "49.68 to 33.32, -16.36 % (arXiv:2412.13949" in said[0]
    text = "\n".join(said)
    for part in (
        "note: mean of five random sets of 500 images",
        "model: llava-hf/llava-1.5-7b-hf, about 14 GB of weights",
        "data: 500 images, 500 questions of COCO 2014 val",
        "give --benchmark-args folder=DIR",
        "passes a sample: 110 of the baseline, 112 of the method",
        "an estimate, nothing was measured",
        "each command asks the baseline too",
    ):
        assert part in text
    assert "power" not in text  # of CHAIR nothing is known beforehand
    unlike = "\n".join(lines(plan(find_claim("opera-pope-random-llava15-7b-f1-in-crg"))))
    assert "the paper decodes its baseline in another way" in unlike
    assert "agla needs: an image-text matcher" in "\n".join(
        lines(plan(find_claim("agla-pope-random-llava15-7b-f1")))
    )


def test_the_power_is_that_of_halluc_power() -> None:
    from halluc.statistics.power import Design

    # a strategy asks 6 questions an image
    assert plan(VCD, limit=100).power == pytest.approx(Design(6).power(0.0444, 100))
    mean = find_claim("vcd-pope-llava15-7b-accuracy-in-damro")
    assert plan(mean, limit=100).power == pytest.approx(Design(18).power(0.029, 100))
    assert plan(find_claim("vcd-pope-llava15-7b-f1-in-damro")).power is None


@pytest.mark.parametrize(
    ("id", "why"),
    [
        ("vcd-pope-random-qwen-vl-accuracy", "Qwen-VL cannot be run: transformers has no class"),
        ("vhr-chair-llava-next-7b-chair-s", "not known whether Vicuna's or Mistral's was meant"),
        ("damro-chair-llava15-7b-chair-s", "no wording 'Generate a short caption of this image.'"),
    ],
)
def test_claims_that_cannot_be_run_are_refused(id: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        CliRunner().invoke(app, ["reproduce", id], catch_exceptions=False)


@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_every_command_is_valid(
    every: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each is taken by `halluc eval` up to where it would load a model, and asks for the claim."""
    asked: list[RunConfig] = []

    def load_nothing(configs: list[RunConfig], *_: Any, **__: Any) -> None:
        asked.extend(configs)
        raise Valid

    monkeypatch.setattr("halluc.evaluation.questions_of", lambda config: [])
    monkeypatch.setattr("halluc.evaluation.open_model", load_nothing)
    tried = 0
    for claim in list(all_claims().values())[::every]:
        try:
            planned = plan(claim, limit=2, benchmark_args=f"folder={tmp_path}")
        except UserError:
            continue
        for command in planned.commands:
            asked.clear()
            done = CliRunner().invoke(app, list(command))
            assert isinstance(done.exception, Valid), (claim.id, done.exception or done.output)
            baseline, method = asked
            assert baseline.method.name == BASELINE and method.method.name == claim.method
            assert method.method.params == claim.method_args
            assert baseline.decoding == method.decoding == claim.decoding
            assert method.benchmarks == (claim.benchmark,) and method.limit == 2
            tried += 1
    assert tried > 300 / every


def test_only_run_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[tuple[str, ...]] = []

    def run_halluc(arguments: tuple[str, ...]) -> int:
        ran.append(arguments)
        return 0

    monkeypatch.setattr(command_line, "run_halluc", run_halluc)
    monkeypatch.setattr("halluc.leaderboard.collect", lambda *_, **__: board_of_one())
    command = ["reproduce", VCD.id, "--seeds", "2", "--output-dir", str(tmp_path)]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0 and not ran
    done = CliRunner().invoke(app, [*command, "--run"], catch_exceptions=False)
    assert done.exit_code == 0 and ran == list(
        plan(VCD, seeds=2, output_dir=str(tmp_path)).commands
    )
    assert "1 claims: 1 reproduced" in done.output


def board_of_one() -> Any:
    from tests.claims.hand_made import board

    return board(row())


def test_a_command_that_fails_ends_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []

    def run_halluc(arguments: tuple[str, ...]) -> int:
        ran.append(arguments)
        return 3

    monkeypatch.setattr(command_line, "run_halluc", run_halluc)
    done = CliRunner().invoke(app, ["reproduce", VCD.id, "--seeds", "2", "--run"])
    assert done.exit_code == 3 and len(ran) == 1


def test_a_folder_is_asked_for_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "run_halluc", lambda _: pytest.fail("ran"))
    with pytest.raises(UserError, match="--run needs a folder of images"):
        CliRunner().invoke(app, ["reproduce", VHR.id, "--run"], catch_exceptions=False)
