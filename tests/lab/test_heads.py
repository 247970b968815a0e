"""The map of heads: its measures, on models of several families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from halluc.lab.base import Setting
from halluc.lab.drawing import save
from halluc.lab.experiments.heads import HeadMap, Quantity, agreement, table, told
from halluc.lab.questions import scenes
from halluc.lab.single_heads import (
    cut_behind_name,
    ends_with_name,
    laid_out,
    retrieval,
    without_each,
)
from halluc.lab.yes_no import questions
from halluc.models import VisionLanguageModel, load_model
from tests.kit.families import build, llava

COLUMNS = ["layer", "head", "image", "vhd", "loss", "retrieval"]


@pytest.fixture(scope="module")
def glyph() -> VisionLanguageModel:
    return load_model("glyph")


def quantity(name: str, *maps: list[list[float]]) -> Quantity:
    return Quantity(name, name, np.array(maps, dtype=float))


@pytest.mark.parametrize(
    ("family", "left_out"),
    [("llava", ""), ("qwen2_vl", ""), ("smolvlm", "no known place"), ("blip_2", "no known place"),
     ("lfm2_vl", ""), ("mllama", "no known place")],
)  # fmt: skip
def test_any_family_has_a_map(family: str, left_out: str, tmp_path: Path) -> None:
    model = build(family)
    finding = HeadMap().run(Setting(model, (), 2))
    assert finding.held == "no claim"
    assert len(finding.rows) == model.n_layers * model.n_heads
    columns = [name for name in finding.rows[0] if not name.endswith(("_lo", "_hi"))]
    assert columns == (COLUMNS[:-1] if left_out else COLUMNS)
    assert ("Retrieval is left out" in finding.because) == bool(left_out)
    assert left_out in finding.because
    reached = {*model.self_attention, *model.cross_attention}
    for row in finding.rows:
        assert all((row[name] is not None) == (row["layer"] in reached) for name in columns[2:])
        assert row["image"] is None or -1e-3 <= float(row["image"]) <= 100.001
    save(finding, tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 5000


def test_nothing_is_lost_without_a_head_that_says_nothing() -> None:
    model = llava()
    attention: Any = model.layers[1].self_attn
    width = attention.head_dim
    with torch.no_grad():
        attention.o_proj.weight[:, 2 * width : 3 * width] = 0.0
    _, loss = without_each(model, questions(scenes(2), 1))
    assert bool((loss[:, 1, 2].abs() < 1e-5).all())
    others = loss.flatten(1)[:, [i for i in range(16) if i != 6]]
    assert bool((others.abs() > 1e-5).any(0).all())


def test_what_is_lost_is_of_the_right_answer() -> None:
    model = llava()
    asked = questions(scenes(1), 1)
    turned = [type(one)(one.scene, one.category, not one.present) for one in asked]
    (_, loss), (_, opposite) = (without_each(model, some) for some in (asked, turned))
    assert torch.allclose(loss, -opposite, atol=1e-5)


def test_a_question_is_cut_behind_the_name_it_asks_for(glyph: VisionLanguageModel) -> None:
    for one in questions(scenes(4)):
        text = cut_behind_name(glyph, one)
        assert text.endswith(one.category) and text in glyph.render(one.sample.prompt)
        inputs = glyph.encode([text], [one.sample.load_image()])
        assert ends_with_name(glyph, inputs["input_ids"][0], one)
        whole = glyph.encode([glyph.render(one.sample.prompt)], [one.sample.load_image()])
        assert not ends_with_name(glyph, whole["input_ids"][0], one)


def test_retrieval_is_attention_to_the_patches_of_the_thing(
    glyph: VisionLanguageModel,
) -> None:
    from halluc.lab.patches import scene_grid, showing

    grid = scene_grid(glyph)
    assert grid is not None
    (one, *_) = [question for question in questions(scenes(1)) if question.present]
    found = retrieval(glyph, [one], grid)
    assert found is not None
    inputs = glyph.encode([cut_behind_name(glyph, one)], [one.sample.load_image()])
    glyph.model.set_attn_implementation("eager")
    with torch.inference_mode():
        attentions = glyph.model(**inputs, output_attentions=True).attentions
    glyph.model.set_attn_implementation("sdpa")
    columns = (inputs["input_ids"][0] == glyph.image_token).nonzero()[:, 0]
    thing = columns[showing(one.scene, grid, one.category)]
    for layer, weights in enumerate(attentions):
        assert torch.allclose(found[0, layer], weights[0, :, -1, thing].sum(-1), atol=1e-4)


def test_values_are_laid_out_by_layer() -> None:
    whole = laid_out({1: torch.ones(2, 3)}, torch.zeros(2, 4, 3))
    assert whole[:, 1].eq(1).all() and whole[:, [0, 2, 3]].isnan().all()


def test_questions_about_a_scene_are_averaged_first() -> None:
    asked = [*questions(scenes(2)[:1], 2), *questions(scenes(2)[1:], 1)]
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 10.0, 20.0])[: len(asked), None, None]
    made = Quantity.of("x", "x", values, asked)
    assert made.values[:, 0, 0].tolist() == [2.5, 15.0] and made.map.tolist() == [[8.75]]


def test_intervals_resample_scenes() -> None:
    one = quantity("x", [[0.0, 5.0]], [[1.0, 5.0]], [[2.0, 5.0]], [[3.0, 5.0]])
    first, second = table([one], 0)
    assert first["x"] == 1.5 and 0 <= float(first["x_lo"] or 0) < 1.5 < float(first["x_hi"] or 0)
    assert (second["x"], second["x_lo"], second["x_hi"]) == (5.0, 5.0, 5.0)


def test_maps_agree_by_the_ranks_of_heads() -> None:
    one = quantity("one", [[1, 2], [3, 4]], [[1, 2], [3, 4]])
    same = quantity("same", [[1, 20], [300, 4000]], [[1, 20], [300, 4000]])
    turned = quantity("turned", [[4, 3], [2, 1]], [[4, 3], [2, 1]])
    assert agreement(one, same, 0).value == pytest.approx(1.0)
    assert agreement(one, turned, 0).high == pytest.approx(-1.0)
    gaps = quantity("gaps", [[float("nan")] * 2, [4, 3]], [[float("nan")] * 2, [4, 3]])
    assert agreement(one, gaps, 0).value == pytest.approx(-1.0)


def test_the_head_without_which_most_is_lost_is_named() -> None:
    loss = quantity("loss", [[0.1, 0.2], [0.9, 0.3]], [[0.1, 0.2], [0.7, 0.3]])
    other = quantity("vhd", [[1, 2], [4, 3]], [[1, 2], [4, 3]])
    said = told([quantity("image", [[4, 3], [1, 2]], [[4, 3], [1, 2]]), other, loss], 0)
    assert "head 0 of layer 1: 0.80 [0.70, 0.90]" in said
    assert "1.00 [1.00, 1.00] for VHD" in said and "-1.00 [-1.00, -1.00] for image" in said
