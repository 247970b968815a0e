"""Demonstrations, the states read of them, and the directions that are fitted to those."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from halluc.calibration import demonstrations
from halluc.calibration.calibration_samples import drawn, from_benchmark
from halluc.calibration.demonstrations import (
    Demonstration,
    counted,
    drawn_demonstrations,
    hallucinated,
    masked_copies,
)
from halluc.calibration.directions import by_runs, component_and_mean, principal, singular
from halluc.calibration.layer_states import Read, caption_shifts, tower_shift
from halluc.calibration.measuring import run_calibration
from halluc.config import ModelConfig
from halluc.errors import UserError
from halluc.interventions.compose import find
from halluc.methods.vti import VTI
from halluc.models import load_model
from halluc.world import CATEGORY, NAMES, scene, true_captions
from halluc.world.language import PLURALS, SYNONYMS
from halluc.world.scenes import generator
from tests.kit.demonstrations import in_known_words
from tests.kit.families import build, picture

# -- Demonstrations --------------------------------------------------------------------------------


def swapped(true: str, wrong: str) -> tuple[str, str]:
    """Find the words that differ."""
    one, other = true.split(), wrong.split()
    front = next(i for i in range(len(one)) if one[i] != other[i])
    behind = next(i for i in range(1, len(one)) if one[-i] != other[-i])
    ends = (len(words) - behind + 1 for words in (one, other))
    return tuple(
        " ".join(w[front:end]).strip(".") for w, end in zip((one, other), ends, strict=True)
    )  # type: ignore[return-value]


def named(word: str) -> str:
    return next(name for name in NAMES if word in SYNONYMS[name])


def test_one_object_is_put_in_place_of_another_of_its_kind() -> None:
    kinds = []
    for index, one in enumerate(drawn_demonstrations(40)):
        there = scene("calibration", index)
        assert one.truthful == true_captions(there)[0]
        old, new = swapped(one.truthful, one.hallucinated)
        assert named(old) in there.categories
        assert named(new) not in there.categories
        several = sum(thing.category == named(old) for thing in there.things) > 1
        assert new == (PLURALS[named(new)] if several else named(new))
        kinds.append(CATEGORY[named(old)].supercategory == CATEGORY[named(new)].supercategory)
        assert one.truthful.partition(".")[0] == one.hallucinated.partition(".")[0]
        assert one.image.size == (128, 128)
    assert sum(kinds) == len(kinds)


def test_captions_are_as_long_and_end_alike() -> None:
    found = drawn_demonstrations(40)
    lengths = [(len(one.truthful.split()), len(one.hallucinated.split())) for one in found]
    assert all(true == wrong for true, wrong in lengths)
    assert all(one.truthful[-1] == one.hallucinated[-1] == "." for one in found)


def test_demonstrations_are_the_same_every_time_and_of_no_benchmark() -> None:
    first, again = drawn_demonstrations(3), drawn_demonstrations(5)
    assert [one.hallucinated for one in first] == [one.hallucinated for one in again[:3]]
    there = scene("calibration", 0)
    wrong = {
        hallucinated(there, true_captions(there)[0], generator("any", seed)) for seed in range(9)
    }
    assert len(wrong) > 1


def test_copies_show_as_many_cells_as_are_not_masked() -> None:
    image = picture(0, 32, 32)
    mean = torch.tensor(list(image.getdata()), dtype=torch.float).mean(0).round()
    copies = masked_copies(image, 4, 3, 0.9, seed=1)
    cells = []
    for copy in copies:
        pixels = torch.tensor(list(copy.getdata())).view(4, 8, 4, 8, 3).transpose(1, 2)
        own = torch.tensor(list(image.getdata())).view(4, 8, 4, 8, 3).transpose(1, 2)
        kept = (pixels == own).all(-1).all(-1).all(-1)
        assert int(kept.sum()) == 16 - int(0.9 * 16)
        assert (pixels[~kept] == mean).all()
        cells.append(kept)
    assert not torch.equal(cells[0], cells[1])
    assert masked_copies(image, 4, 1, 0.9, seed=1)[0].tobytes() == copies[0].tobytes()
    assert masked_copies(image, 4, 1, 0.9, seed=2)[0].tobytes() != copies[0].tobytes()


def test_samples_say_how_many_unless_demos_does() -> None:
    assert counted(VTI.Params(), drawn(6), "vti").demos == 6
    assert counted(VTI.Params(demos=4), drawn(6), "vti").demos == 4
    with pytest.raises(UserError, match="'vti' is calibrated on captions known to be true"):
        counted(VTI.Params(), from_benchmark("glyph_pope", 2), "vti")


# -- Directions ------------------------------------------------------------------------------------


def test_one_fit_by_hand() -> None:
    shifts = torch.tensor([[1.0, 0.0], [3.0, 0.0], [2.0, 3.0]])
    # The mean is (2, 1); about it the component is (0, 1), and (2, 3) lies farthest, above.
    assert torch.allclose(component_and_mean(shifts), torch.tensor([2.0, 2.0]))
    assert torch.allclose(component_and_mean(-shifts), torch.tensor([-2.0, -2.0]))


def test_the_first_direction_is_not_centred_and_lies_on_the_side_of_the_mean() -> None:
    shifts = torch.tensor([[-5.0, 0.1], [-5.0, -0.1], [-4.0, 0.0]])
    assert torch.allclose(principal(shifts), torch.tensor([-1.0, 0.0]), atol=1e-3)
    assert torch.allclose(principal(-shifts), torch.tensor([1.0, 0.0]), atol=1e-3)


def test_singular_vectors_are_those_of_an_svd() -> None:
    shifts = torch.randn(3, 5, 9, generator=torch.Generator().manual_seed(0))
    ours = singular(shifts, 4)
    theirs = torch.linalg.svd(shifts, full_matrices=False).Vh[:, :4]
    assert torch.allclose(ours.mT @ ours, theirs.mT @ theirs, atol=1e-4)
    assert torch.allclose(ours @ ours.mT, torch.eye(4).expand(3, 4, 4), atol=1e-5)


def test_what_shifts_do_not_span_is_zero() -> None:
    shifts = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert torch.allclose(singular(shifts, 5).abs(), torch.tensor([[1.0, 0, 0], [0, 0, 0]]))
    assert torch.equal(singular(torch.zeros(2, 3), 1), torch.zeros(1, 3))


def test_runs_are_neighbours_of_the_flat_list() -> None:
    shifts = torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(0))
    flat = shifts.reshape(4, 2, 15)  # 2 runs of 3 (layer, token) pairs
    expected = torch.stack([component_and_mean(flat[:, run]) for run in range(2)])
    assert torch.allclose(by_runs(shifts).flatten(), expected.flatten(), atol=1e-5)


# -- States ----------------------------------------------------------------------------------------


def test_states_are_those_of_transformers() -> None:
    model, shown = build("llava"), in_known_words(5)
    reads: tuple[Read, Read] = ("last", "mean")
    for read in reads:
        found = caption_shifts(model, shown, read, ("", " </s>"))
        for row, one in enumerate(shown):
            states = []
            for caption in (one.truthful, one.hallucinated):
                inputs = model.encode([model.render(one.prompt) + caption + " </s>"], [one.image])
                with torch.no_grad():
                    hidden = model.model(**inputs, output_hidden_states=True).hidden_states
                stacked = torch.stack(hidden)[:, 0]
                states.append(stacked[:, -1] if read == "last" else stacked.mean(1))
            expected = states[0] - states[1]
            assert torch.allclose(found.normed[row], expected, atol=1e-5)
            assert torch.allclose(found.raw[row, :-1], expected[:-1], atol=1e-5)
            assert (found.raw[row, -1] - expected[-1]).abs().max() > 1e-3


def test_a_tower_moves_from_the_picture_to_the_mean_of_its_copies() -> None:
    model = build("llava")
    image, copies = picture(0), [picture(1), picture(2)]
    none = tower_shift(model, image, [image, image])
    assert none.abs().max() < 1e-5
    assert none.shape == (4, 17, 32)  # CLS and 16 patches
    alone = [tower_shift(model, image, [copy]) for copy in copies]
    both = tower_shift(model, image, copies)
    assert torch.allclose(both, (alone[0] + alone[1]) / 2, atol=1e-5)
    assert both[:, 1:].abs().amax(-1).min() > 1e-3


# -- Command ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vti", "nullu"])
def test_a_run_reads_what_was_calibrated(
    name: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demonstrations, "drawn_demonstrations", in_known_words)
    cls = find(name)
    wanted = ModelConfig(name=str(tiny))
    calibration, file = run_calibration(
        cls, cls.parameters({}), wanted, None, None, 6, False, tmp_path
    )
    assert calibration.params["demos"] == 6
    assert Path(calibration.params["vectors"]).parent == file.parent
    model = load_model(str(tiny))

    def refuse(count: int) -> list[Demonstration]:
        raise AssertionError("measured again")

    monkeypatch.setattr(demonstrations, "drawn_demonstrations", refuse)
    for variant in ("paper", "official_code"):
        method = cls.for_model(model, calibration.params | {"variant": variant})
        assert len(json.loads(method.params.model_dump_json())["vectors_hash"]) == 16
