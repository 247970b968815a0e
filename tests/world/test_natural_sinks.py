"""The trial of attention sinks: its text, its measures, planted sinks, and runs that resume."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from halluc.errors import UserError
from halluc.world.training import natural_sinks
from halluc.world.training import natural_sinks_measures as m
from halluc.world.training.natural_sinks_model import (
    DECAY,
    LOGIT,
    RATE,
    Cell,
    build_model,
    optimisers,
    rate_at,
)
from halluc.world.training.natural_sinks_page import (
    SinkRuns,
    Trained,
    best,
    markdown,
    measured_order,
    of_images,
    rank_correlation,
    write_part,
)
from halluc.world.training.natural_sinks_run import SinkRun, read_log, token_losses
from halluc.world.training.natural_sinks_text import BOS, TRIGGERS, VOCABULARY, Text

ROOT = Path(__file__).parents[2]


# The text


def test_after_a_trigger_stands_the_token_before_it() -> None:
    ids, copies = Text(1.0, seed=3).batch(0, 200, 64)
    assert copies.all()
    rows, places = np.nonzero(np.isin(ids[:, :-1], TRIGGERS))
    assert len(rows) > 200
    assert (ids[rows, places + 1] == ids[rows, places - 1]).all()


@pytest.mark.parametrize(("share", "follows"), [(1.0, "triggers copy"), (0.0, "all the chain")])
def test_all_other_tokens_follow_the_chain(share: float, follows: str) -> None:
    text = Text(share, seed=3)
    ids, _ = text.batch(0, 6000, 64)
    counts = np.zeros((VOCABULARY, VOCABULARY))
    np.add.at(counts, (ids[:, :-1].ravel(), ids[:, 1:].ravel()), 1)
    rows = [row for row in range(VOCABULARY) if follows == "all the chain" or row not in TRIGGERS]
    met = counts.sum(1, keepdims=True)
    error = np.sqrt(text.chain * (1 - text.chain) / met.clip(1))
    gaps = np.abs(counts / met.clip(1) - text.chain)[rows]
    assert met[rows].min() > 100
    assert (gaps <= 5 * error[rows] + 0.01).all()


def test_bos_stands_first_and_nowhere_else() -> None:
    ids, copies = Text(0.5, seed=0).batch(7, 2000, 64)
    assert (ids[:, 0] == BOS).all()
    assert (ids[:, 1:] != BOS).all()
    assert 0.45 < copies.mean() < 0.55


def test_a_number_gives_the_same_texts_and_another_gives_others() -> None:
    first, again, other = (Text(0.5, 0).batch(number, 8, 64)[0] for number in (4, 4, 5))
    assert (first == again).all()
    assert not (first == other).all(1).any()


# The measures


def _attention(*first: float) -> Tensor:
    """One layer and text, a head a number: rows of 5 tokens that give it to the first token."""
    heads = []
    for share in first:
        head = torch.eye(5) * (1 - share)
        head[:, 0] += share
        heads.append(head)
    return torch.stack(heads)[None, None]


def test_a_heads_attention_on_the_first_token_is_the_mean_of_all_rows() -> None:
    # The first row gives itself 1, the other four give the first token .2 and .5.
    means = m.first_attention(_attention(0.2, 0.5))
    assert means.tolist() == [[pytest.approx((1 + 4 * 0.2) / 5), pytest.approx((1 + 4 * 0.5) / 5)]]


def test_the_share_of_heads_with_a_sink_is_of_those_above_epsilon() -> None:
    # Means of .28, .36, .60 and 1: three of four are above .3.
    assert m.sink_share(_attention(0.1, 0.2, 0.5, 1.0)) == 0.75


def test_a_peak_is_the_largest_activation_over_the_root_mean_square() -> None:
    hidden = torch.tensor([[3.0, -4.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 9.0]])
    assert m.peaks(hidden).tolist() == [pytest.approx(4 / 2.5), 1.0, 2.0]


def test_kurtosis_is_in_excess_of_a_normal_distribution() -> None:
    torch.manual_seed(0)
    coin = torch.tensor([1.0, -1.0]).repeat(8).view(1, 1, 4, 4)  # fourth moment 1 over 1 squared
    assert m.excess_kurtosis(coin).tolist() == [-2.0]
    assert abs(float(m.excess_kurtosis(torch.randn(1, 4, 64, 192)))) < 0.05


def test_a_drained_value_is_small_beside_the_others() -> None:
    assert m.drained(torch.tensor([[[0.5, 1.0, 3.0], [1.5, 2.0, 2.0]]])).tolist() == [0.5]


@pytest.mark.parametrize(
    ("attended", "massive", "sink"),
    [(0.13, 3.0, True), (0.12, 3.0, False), (0.13, 2.8, False)],
)
def test_a_sink_is_massive_and_attended(attended: float, massive: float, sink: bool) -> None:
    """The mean of (1 + 4 a) / 5 reaches .3 at a = .125; x / rms reaches .6 sqrt(16) at x = 2.9."""
    hidden = torch.ones(1, 1, 5, 16)
    hidden[..., 0, 3] = massive
    inside = m.Inside(_attention(attended), hidden, torch.ones(1, 1, 5))
    assert m.measures(inside)["sink"] is sink


def test_what_is_inside_is_what_the_model_computes() -> None:
    model = build_model(Cell("adamw", 48, 0.5), seed=1)
    ids = torch.from_numpy(Text(0.5, 1).batch(0, 2, 16)[0])
    logits, inside = m.look_inside(model, ids)
    assert inside.attention.shape == (4, 2, 4, 16, 16)
    assert torch.allclose(inside.attention.sum(-1), torch.ones(4, 2, 4, 16), atol=1e-5)
    after = model.lm_head(model.model.norm(inside.hidden[-1]))
    assert torch.allclose(after, logits, atol=1e-5)
    layer = model.model.layers[1]
    value = layer.self_attn.v_proj(layer.input_layernorm(inside.hidden[0]))
    norms = value.view(2, 16, 4, 48).norm(dim=-1).mean(-1)
    assert torch.allclose(norms, inside.values[1], atol=1e-5)


# The model


@pytest.mark.parametrize("head", [16, 48])
def test_planted_sinks_draw_the_attention_worked_out_by_hand(head: int) -> None:
    """Of n other keys with logits near 0, BOS gets e^LOGIT / (e^LOGIT + n) of a row."""
    cell = Cell("adamw", head, 0.5, planted=True)
    ids = torch.from_numpy(Text(0.5, 0).batch(0, 32, 64)[0])
    _, inside = m.look_inside(build_model(cell, 0), ids)
    wanted = torch.tensor([math.exp(LOGIT) / (math.exp(LOGIT) + row) for row in range(64)])
    rows = inside.attention[0, ..., 0].mean((0, 1))
    assert torch.allclose(rows[1:], wanted[1:], atol=0.05)  # other logits are near 0, not 0
    assert float(rows.mean()) == pytest.approx(float(wanted.mean()), abs=0.005)
    measured = m.measures(inside)
    assert measured["sink"]
    assert measured["values"][0] < 0.5  # values do not read the dimension that BOS has
    plain = m.look_inside(build_model(Cell("adamw", head, 0.5), 0), ids)[1]
    assert not m.measures(plain)["sink"]


def _groups(cell: Cell) -> dict[tuple[str, float], int]:
    """The numbers of an optimiser's parameters, by its name and decay."""
    return {
        (type(optimiser).__name__, group["weight_decay"]): len(group["params"])
        for optimiser in optimisers(build_model(cell, 0), cell)
        for group in optimiser.param_groups
        if group["params"]
    }


def test_muon_takes_the_matrices_inside_layers_and_no_norm_or_embedding_decays() -> None:
    # Seven matrices a layer; two norms a layer, a last one, and the embedding.
    matrices, rest = 4 * 7, 4 * 2 + 1 + 1
    muon = _groups(Cell("muon", 48, 0.5))
    assert muon == {("Muon", DECAY): matrices, ("AdamW", DECAY): 1, ("AdamW", 0.0): rest}
    model = build_model(Cell("adamw", 48, 0.5), 0)
    (adam,) = optimisers(model, Cell("adamw", 48, 0.5))
    decays = {id(p): g["weight_decay"] for g in adam.param_groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        still = "norm" in name or "embed" in name
        assert decays[id(parameter)] == (0.0 if still else DECAY), name


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_planted_queries_and_keys_do_not_decay(optimiser: Any) -> None:
    cell = Cell(optimiser, 48, 0.5, planted=True)
    model = build_model(cell, 0)
    made = optimisers(model, cell)
    decays = {id(p): g["weight_decay"] for o in made for g in o.param_groups for p in g["params"]}
    attention = model.model.layers[2].self_attn
    assert decays[id(attention.q_proj.weight)] == decays[id(attention.k_proj.weight)] == 0.0
    assert decays[id(attention.v_proj.weight)] == DECAY


def test_the_learning_rate_rises_for_100_steps_and_falls_to_a_tenth() -> None:
    assert rate_at(0, 10**6) == pytest.approx(RATE / 100)
    assert rate_at(99, 10**6) == pytest.approx(RATE)
    assert rate_at(1000, 2000) == pytest.approx(0.55 * RATE)
    assert rate_at(2000, 2000) == pytest.approx(0.1 * RATE)


# Runs


def test_bos_is_never_a_target() -> None:
    ids = torch.tensor([[BOS, 5, 6]])
    logits = torch.zeros(1, 3, VOCABULARY)
    logits[0, 0, 5] = 50.0
    assert token_losses(logits, ids)[0].tolist() == pytest.approx([0.0, math.log(VOCABULARY)])
    with pytest.raises(AssertionError, match="never a target"):
        token_losses(logits, torch.tensor([[BOS, 5, BOS]]))


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_one_step_moves_every_parameter(optimiser: Any, tmp_path: Path) -> None:
    run = SinkRun(tmp_path, Cell(optimiser, 48, 0.5), steps=2)
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    assert abs(run.learn() - math.log(VOCABULARY)) < 0.1  # untrained, it knows nothing
    still = [name for name, p in run.model.named_parameters() if torch.equal(p, before[name])]
    assert run.step == 1
    assert not still


def test_a_resumed_run_ends_like_one_that_was_not_interrupted(tmp_path: Path) -> None:
    cell = Cell("muon", 48, 0.5, layers=1)  # AdamW trains what is not a matrix
    whole = SinkRun(tmp_path / "whole", cell, steps=4)
    log = whole.run()
    parts = [SinkRun(tmp_path / "parts", cell, steps=4) for _ in range(2)]
    parts[0].folder.mkdir()
    parts[0]._note()
    parts[0].learn()
    parts[0].learn()
    parts[0].save()
    assert parts[1].run() == log
    assert [line["step"] for line in log] == [0, 4]
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, parts[1].model.get_parameter(name)), name


@pytest.mark.slow
@pytest.mark.parametrize("planted", [False, True])
def test_a_hundred_steps_grow_no_sink_and_wear_off_none(planted: bool, tmp_path: Path) -> None:
    log = SinkRun(tmp_path, Cell("adamw", 48, 0.5, planted=planted), steps=100).run()
    assert log[-1]["loss"] < log[0]["loss"] - 0.5
    assert [line["sink"] for line in log] == [planted, planted]


# The page


def _run(share: float, sink: bool = False, attention: float = 0.1, steps: int = 300) -> Trained:
    line = {
        "loss": 2.5, "sink_share": share, "attention": [attention] * 4, "attention_most": attention,
        "peak": [3.0] * 4, "peak_first": [3.0] * 4, "limit": 13.86, "values": [1.0] * 4,
        "kurtosis": [0.5] * 4, "copied": 0.5, "sink": sink,
    }  # fmt: skip
    cell = Cell("adamw", 48, 0.5)
    return Trained(cell, steps, [{"step": step, **line} for step in range(0, steps + 1, 100)])


def test_runs_are_ordered_by_heads_with_a_sink_and_then_by_attention() -> None:
    runs = [_run(0.0, attention=0.2), _run(0.25), _run(0.0, attention=0.3)]
    assert measured_order(runs) == [3, 1, 2]
    assert best(runs) is runs[1]


def test_the_rank_correlation_is_spearmans() -> None:
    assert rank_correlation([1, 2, 3, 4]) == 1.0
    assert rank_correlation([4, 3, 2, 1]) == -1.0
    assert rank_correlation([2, 1, 3, 4]) == pytest.approx(0.8)


def test_the_page_counts_the_cells_that_grew_a_sink() -> None:
    none = markdown(SinkRuns([_run(0.0), _run(0.0)], [_run(0.5, sink=True)], [], 0))
    assert "**0 of 2 cells grew a sink**" in none
    assert "**1 of 1 kept a sink.**" in none
    assert "### Long" not in none
    assert "### Planted" not in markdown(SinkRuns([_run(0.0)] * 2, [], [], 0))
    some = markdown(SinkRuns([_run(0.5, sink=True), _run(0.0)], [_run(0.0)], [_run(0.0)], 0))
    assert "**1 of 2 cells grew a sink**" in some
    assert "**0 of 1 kept a sink.**" in some
    assert "**It grew no sink.**" in some


def test_what_has_not_ended_is_called_so() -> None:
    half = Trained(Cell("muon", 16, 0.0), 600, _run(0.0).log)
    assert natural_sinks.ended([half, _run(0.0)]) == [_run(0.0)]
    page = markdown(SinkRuns([_run(0.0), _run(0.0)], [], [half], 0, waiting=6))
    assert "**It grew no sink (interrupted at step 300).**" in page
    assert "6 cells are not trained yet" in page
    whole = markdown(SinkRuns([_run(0.0), _run(0.0)], [], [_run(0.0)], 0))
    assert "interrupted" not in whole and "not trained yet" not in whole


def test_only_what_is_between_the_markers_is_written(tmp_path: Path) -> None:
    page = tmp_path / "sinks.md"
    page.write_text("before\n<!-- text -->\nold\n<!-- /text -->\nafter\n")
    write_part("text", "new", page)
    assert page.read_text() == "before\n<!-- text -->\nnew\n<!-- /text -->\nafter\n"
    (tmp_path / "other.md").write_text("no markers\n")
    with pytest.raises(UserError, match="no lines <!-- text -->"):
        write_part("text", "new", tmp_path / "other.md")


@pytest.mark.slow
def test_the_command_writes_a_page_and_a_figure_and_keeps_what_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, work = tmp_path / "sinks.md", tmp_path / "work"
    page.write_text("<!-- text -->\n<!-- /text -->\n<!-- images -->\n<!-- /images -->\n")
    command = ["natural_sinks", "--output", str(page), "--work", str(work), "--steps", "1"]
    images = tmp_path / "images"
    monkeypatch.setattr(sys, "argv", [*command, "--long-steps", "2", "--images", str(images)])
    natural_sinks.main()
    assert "of 8 cells" in page.read_text()
    assert "Long: AdamW, one layer" in page.read_text()
    assert (tmp_path / "figures" / "sinks.png").stat().st_size > 10_000
    kept = {file: file.stat().st_mtime_ns for file in work.rglob("*.*") if file.is_file()}
    assert len(kept) == 2 * (8 + 4 + 2)
    written = page.read_text()
    natural_sinks.main()
    assert page.read_text() == written
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--write-only"])
    natural_sinks.main()
    assert page.read_text() == written
    images.mkdir()
    line = read_log(next(work.iterdir()))[0] | {"image_peak": 4.0, "image_most": 0.1}
    (images / "log.jsonl").write_text(json.dumps(line) + "\n")
    natural_sinks.main()
    assert "**In 0 steps so far, of 4,000 planned, BOS grew no sink.**" in page.read_text()
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_the_part_on_images_says_how_far_it_is_and_whether_a_sink_grew() -> None:
    line = {"image_peak": 4.0, "image_most": 0.05}
    log = [one | line for one in _run(0.0).log]
    page = of_images(log, steps=4000)
    assert "**In 300 steps so far, of 4,000 planned, BOS grew no sink.**" in page
    assert page.count("\n| ") == 2 + len(log)
    most = (0.1, 0.3, 0.2, 0.5)
    attended = [one | {"attention_most": m} for one, m in zip(log, most, strict=True)]
    said = of_images(attended, steps=400)
    assert "BOS is attended as a sink is, and is not massive.** Some head gives it 0.3" in said
    assert f"first at step {log[1]['step']:,}" in said and "the most 0.50" in said
    assert "**In 300 steps, BOS grew a sink.**" in of_images(
        [*log[:-1], log[-1] | {"sink": True}], steps=400
    )
