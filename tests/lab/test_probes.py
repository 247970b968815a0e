"""Probes see what transformers' own eager attention gives; knock-outs take out what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding.generation import generate
from halluc.interventions import At, BatchState, Method, MethodParams
from halluc.interventions.engine import intervene
from halluc.lab.probes import Chosen, Gaze, Kind, MassiveTokens, RemovedKeys, SilentHeads
from halluc.models import VisionLanguageModel
from halluc.testing import leaks_nothing, needs_no_company, needs_no_sharing, restores_the_model
from tests.kit.asking import logits_after, questions
from tests.kit.families import build, llava, picture, prompts

EMBEDDED = ("llava", "qwen2_vl", "smolvlm")  # the classes of the embedded models
ASKED = ("is there a dog ?", "please describe this image is there a car in the image ?")
DIM = 7


def plain() -> Method:
    return Method(MethodParams())


def eager(model: VisionLanguageModel, inputs: Mapping[str, Any]) -> list[Tensor]:
    """transformers' own weights, a layer each [B, H, Q, K]."""
    model.model.set_attn_implementation("eager")
    with torch.inference_mode():
        output = model.model(**inputs, output_attentions=True)
    model.model.set_attn_implementation("sdpa")
    return list(output.attentions)


@pytest.mark.parametrize("family", EMBEDDED)
@pytest.mark.parametrize("probe", [Gaze, MassiveTokens])
def test_a_probe_changes_no_logits(family: str, probe: Callable[[], Method]) -> None:
    model = build(family)
    inputs = prompts(model, *ASKED)
    before, after = (logits_after(model, method, inputs) for method in (plain(), probe()))
    assert torch.allclose(before, after, atol=1e-5)


@pytest.mark.parametrize("family", EMBEDDED)
def test_gaze_is_the_last_row_of_eager_attention(family: str) -> None:
    model = build(family)
    inputs = prompts(model, *ASKED)
    gaze = Gaze()
    logits_after(model, gaze, inputs)
    image = inputs["input_ids"] == model.image_token
    first = model.first_token(inputs)
    for layer, weights in enumerate(eager(model, inputs)):
        kinds: dict[Kind, Tensor] = {"image": image, "first": first}
        for kind, columns in kinds.items():
            expected = (weights[:, :, -1] * columns[:, None]).sum(-1)
            assert torch.allclose(
                gaze.share(kind, model.n_layers)[0, :, layer], expected, atol=1e-5
            )
    even = image.sum(1) / inputs["attention_mask"].sum(1)
    assert torch.allclose(gaze.share("even", model.n_layers)[0, :, 0, 0], even)


def test_gaze_follows_each_token_that_is_written() -> None:
    model = llava()
    batch = questions(model, 1)
    gaze = Gaze()
    made = generate(model, gaze, batch, DecodingConfig(), max_new_tokens=5)
    told = made.tokens[:, :-1]
    whole = dict(batch.inputs) | {
        "input_ids": torch.cat([batch.inputs["input_ids"], told], 1),
        "attention_mask": torch.cat([batch.inputs["attention_mask"], torch.ones_like(told)], 1),
    }
    image = (whole["input_ids"] == model.image_token)[:, None, None]
    share = gaze.share("image", model.n_layers)
    assert len(share) == made.tokens.shape[1] == 5
    for layer, weights in enumerate(eager(model, whole)):
        expected = (weights * image).sum(-1)[0, :, -5:].T
        assert torch.allclose(share[:, 0, layer], expected, atol=1e-5)


def test_the_share_of_chosen_tokens_is_theirs_and_of_all_tokens_the_images() -> None:
    model = llava()
    batch = questions(model, 0, 1)
    some = torch.zeros(16, dtype=torch.bool)
    some[3] = True

    def shares(chosen: Chosen) -> tuple[Tensor, Tensor]:
        gaze = Gaze(chosen)
        generate(model, gaze, batch, DecodingConfig(), max_new_tokens=1)
        return gaze.share("chosen", 4), gaze.share("image", 4)

    chosen, image = shares({"0": torch.ones(16, dtype=torch.bool), "1": some})
    assert torch.allclose(chosen[:, 0], image[:, 0], atol=1e-6)
    third = batch.inputs["input_ids"][1].eq(model.image_token).nonzero()[3]
    expected = eager(model, batch.inputs)[2][1, :, -1, third][:, 0]
    assert torch.allclose(chosen[0, 1, 2], expected, atol=1e-5)


def test_layers_that_cannot_be_reached_are_not_numbers() -> None:
    model = build("lfm2_vl")
    gaze = Gaze()
    logits_after(model, gaze, prompts(model, *ASKED))
    unknown = gaze.share("image", model.n_layers).isnan().all(-1)[0, 0]
    assert unknown.tolist() == [True, False, False, True]


def planted() -> VisionLanguageModel:
    """LLaVA all of whose image tokens are massive in one dimension."""
    model = llava()
    projector: Any = model.tower.projector
    with torch.no_grad():
        projector.linear_2.bias[DIM] = 60.0
    return model


def test_peaks_are_massive_tokens_and_the_attention_of_later_rows() -> None:
    model = planted()
    inputs = prompts(model, *ASKED)
    peaks = MassiveTokens()
    logits_after(model, peaks, inputs)
    image, real = inputs["input_ids"] == model.image_token, inputs["attention_mask"].bool()
    assert torch.equal(peaks.image, image)
    assert bool((peaks.size[0][image] > 0.9).all()) and bool((peaks.size[0][~image] < 0.6).all())
    after = image.shape[1] - 1 - image.flip(1).int().argmax(1)
    for layer, weights in enumerate(eager(model, inputs)):
        for row in range(2):
            for key in (int(after[row]), int(after[row]) + 2):
                later = [q for q in range(key + 1, image.shape[1]) if real[row, q]]
                expected = weights[row, :, later, key].mean(-1).amax()
                assert torch.allclose(peaks.attended[layer][row, key], expected, atol=1e-5)
    onto = (eager(model, inputs)[0] * image[:, None, None]).sum(-1)
    for row in range(2):
        behind = onto[row, :, int(after[row]) + 1 :].mean(-1).amax()
        assert torch.allclose(peaks.together[0][row], behind, atol=1e-5)


def test_tokens_below_the_bound_are_not_massive_together() -> None:
    model = llava()
    peaks = MassiveTokens(massive=1.01)  # more than a token can have
    logits_after(model, peaks, prompts(model, *ASKED))
    assert all(bool((share == 0).all()) for share in peaks.together.values())


def everywhere(model: VisionLanguageModel) -> dict[int, tuple[int, ...]]:
    return dict.fromkeys(range(model.n_layers), tuple(range(model.n_heads)))


@pytest.mark.parametrize("behind_image", [True, False])
@pytest.mark.parametrize("family", EMBEDDED)
def test_without_heads_the_image_has_no_influence(family: str, behind_image: bool) -> None:
    model = build(family)
    rendered = [model.render(ASKED[0])] * 2
    inputs = model.encode(rendered, [picture(0), picture(1)])
    seen = logits_after(model, plain(), inputs)
    blind = logits_after(model, SilentHeads(everywhere(model), behind_image), inputs)
    assert not torch.allclose(seen[0], seen[1], atol=1e-3)
    assert torch.allclose(blind[0], blind[1], atol=1e-5)


def test_a_silent_head_is_one_whose_columns_of_the_output_projection_are_zero() -> None:
    model, edited = llava(), llava()
    inputs = prompts(model, *ASKED)
    attention: Any = edited.layers[1].self_attn
    width = attention.head_dim
    with torch.no_grad():
        attention.o_proj.weight[:, 2 * width : 3 * width] = 0.0
    silent = logits_after(model, SilentHeads({1: (2,)}), inputs)
    assert torch.allclose(silent, logits_after(edited, plain(), inputs), atol=1e-5)
    assert not torch.allclose(silent, logits_after(model, plain(), inputs), atol=1e-4)


def test_only_heads_that_are_silent_while_the_image_is_read_have_prefixes_of_their_own() -> None:
    one, other = SilentHeads({0: (1,)}), SilentHeads({0: (2,)})
    assert one.prefix_key() != other.prefix_key()
    behind = [SilentHeads({0: (head,)}, behind_image=True) for head in (1, 2)]
    assert behind[0].prefix_key() == behind[1].prefix_key() == Gaze().prefix_key()


class Watched(RemovedKeys):
    """Keeps the weights its edit leads to."""

    def __init__(self, removed: Chosen) -> None:
        super().__init__(removed)
        self.seen: dict[int, tuple[Tensor, Tensor]] = {}

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        self.seen[at.layer] = weights, at.rows
        return weights


@pytest.mark.parametrize("family", EMBEDDED)
def test_removed_keys_get_nothing_and_the_others_all_in_proportion(family: str) -> None:
    model = build(family)
    batch = questions(model, 0, 1)
    inputs = dict(batch.inputs)
    image = inputs["input_ids"] == model.image_token
    count = int(image[0].sum())
    removed = {name: torch.arange(count) < 2 for name in batch.image_hashes}
    method = Watched(removed)
    with (
        torch.inference_mode(),
        intervene(model, method, BatchState.of_inputs(model, inputs, batch)),
    ):
        model.model(**inputs)
    gone = image & (image.cumsum(1) <= 2)
    for weights, rows in method.seen.values():
        chosen = weights.transpose(1, 2)[rows]  # [rows of all prompts, H, K]
        of = gone[:, None].expand(-1, rows.shape[1], -1)[rows][:, None]
        assert bool((chosen * of == 0).all())
        assert torch.allclose(chosen.sum(-1), torch.ones(()), atol=1e-5)
    weights, rows = method.seen[0]
    stock = eager(model, inputs)[0][:, :, -rows.shape[1] :] * ~gone[:, None, None]
    expected = stock / stock.sum(-1, keepdim=True)
    difference = (weights - expected).transpose(1, 2)[rows]
    assert bool((difference.abs() < 1e-5).all())


@pytest.mark.parametrize("make", ["gaze", "silent", "silent behind", "removed"])
def test_probes_keep_what_methods_promise(make: str) -> None:
    model = llava()
    batch = questions(model, 0, 1)
    removed = {name: torch.arange(16) % 3 == 0 for name in batch.image_hashes}
    made: dict[str, Callable[[], Method]] = {
        "gaze": Gaze,
        "silent": lambda: SilentHeads({1: (0, 3)}),
        "silent behind": lambda: SilentHeads({1: (0, 3)}, behind_image=True),
        "removed": lambda: RemovedKeys(removed),
    }
    fresh = made[make]
    needs_no_company(model, fresh(), batch, DecodingConfig())
    needs_no_company(model, fresh(), batch, DecodingConfig(num_beams=2))
    needs_no_sharing(model, fresh(), batch)
    leaks_nothing(model, fresh(), batch, fresh)
    restores_the_model(model, fresh(), batch)
