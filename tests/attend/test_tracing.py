"""A trace shows attention as the layers used it, and changes no token."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from time import process_time
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL.Image import Image
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from halluc.attend.tracing import Trace, trace
from halluc.config import DecodingConfig
from halluc.decoding.whole_batch import answer_together, batch_of_questions
from halluc.errors import UserError
from halluc.interventions import At, Method, MethodParams
from halluc.interventions.compose import joined
from halluc.lab.probes import RemovedKeys, SilentHeads
from halluc.models import VisionLanguageModel, load_model
from halluc.world import render, scene
from tests.attend.test_geometry import TILED, WHOLE
from tests.kit.asking import prepared
from tests.kit.families import build, llava, picture

PROMPT = "is there a dog ?"
PLAIN = Method(MethodParams())


@pytest.fixture(scope="module")
def glyph() -> VisionLanguageModel:
    return load_model("glyph")


@pytest.fixture(scope="module")
def tiny() -> VisionLanguageModel:
    return llava()


def drawn() -> Image:
    return render(scene("test", 3))


def untraced(
    model: VisionLanguageModel, method: Method, image: Image, prompt: str, most: int
) -> list[int]:
    """The tokens of an answer nobody looks at, up to the end token."""
    batch = batch_of_questions([prompt], [image])
    row = answer_together(model, method, batch, DecodingConfig(), most).tokens[0].tolist()
    ends = [i + 1 for i, token in enumerate(row) if token in model.end_tokens]
    return row[: ends[0]] if ends else row


def of(model: VisionLanguageModel, method: Method | None = None, **given: Any) -> Trace:
    return trace(model, picture(1), PROMPT, method, max_new_tokens=6, **given)


@pytest.mark.parametrize("name", ["var", "vcd", "opera", "vhr", "pai", "dola", "vhr+vcd"])
def test_tracing_changes_no_token(glyph: VisionLanguageModel, name: str) -> None:
    image, prompt = drawn(), "Please describe this image in detail."
    method = prepared(name, glyph)
    found = trace(glyph, image, prompt, method, max_new_tokens=16)
    assert found.baseline.tokens == untraced(glyph, PLAIN, image, prompt, 16)
    assert found.method is not None and found.method.tokens == found.baseline.tokens
    theirs = untraced(glyph, method, image, prompt, 16)
    assert theirs == (found.own or found.method).tokens


@pytest.mark.parametrize("name", [*TILED, *WHOLE])
def test_families_are_traced(name: str) -> None:
    model, image = build(name), picture(1, 64, 48)
    found = trace(model, image, PROMPT, prepared("pai", model), max_new_tokens=3)
    assert found.baseline.tokens == untraced(model, PLAIN, image, PROMPT, 3)
    for seen in found.seen:
        assert seen.places is not None and len(seen.places.boxes) == seen.image.sum()
        reached = ~np.isnan(seen.attention).any((0, 2, 3))
        assert reached.tolist() == [layer in model.self_attention for layer in range(4)]
        assert_allclose(seen.shares()[:, reached].sum(-1), 1, atol=1e-5)
        assert_allclose(seen.attention[:, reached].sum(-1), 1, atol=1e-5)


def test_weights_are_those_of_the_model(glyph: VisionLanguageModel) -> None:
    image, prompt = drawn(), "Is there a cow in the image?"
    seen = trace(glyph, image, prompt, max_new_tokens=5).baseline
    inputs = glyph.encode([glyph.render(prompt)], [image])
    longer = glyph.continued(inputs, torch.tensor(seen.tokens))
    own = glyph.text_attention
    glyph.model.set_attn_implementation({"text_config": "eager"})
    try:
        with torch.no_grad():
            whole = glyph.model(**longer, output_attentions=True).attentions
    finally:
        glyph.model.set_attn_implementation({"text_config": own})
    start = len(seen.prompt)
    assert start == inputs["input_ids"].shape[1]
    for layer, weights in enumerate(whole):
        for step in range(len(seen.tokens)):  # the row that predicts a token is the one before it
            row = weights[0, :, start + step - 1, : start + step].numpy()
            assert_allclose(seen.attention[step, layer, :, : start + step], row, atol=1e-5)
            assert not seen.attention[step, layer, :, start + step :].any()


def test_weights_are_seen_behind_all_edits(tiny: VisionLanguageModel) -> None:
    heads = SilentHeads({1: (2,)}, behind_image=True)
    found = of(tiny, heads).method
    assert found is not None
    assert not found.attention[:, 1, 2].any() and found.attention[:, 1, 1].any()
    assert np.isnan(found.shares()[:, 1, 2]).all()
    # Logits that are edited are seen, too: the first four image tokens get nothing.
    batch = batch_of_questions([PROMPT], [picture(1)])
    gone = torch.arange(16) < 4
    found = of(tiny, RemovedKeys({batch.image_hashes[0]: gone})).method
    assert found is not None
    image = found.attention[:, :, :, : len(found.image)][..., found.image]
    assert not image[..., :4].any() and image[..., 4:].all()


class Bias(Method):
    """Takes the first token out by a bias, which the kernel would serve."""

    name = "bias"

    def attention_bias(self, at: At) -> Tensor:
        return at.first_token[:, None, None].float() * -1e4


def test_a_bias_is_seen(tiny: VisionLanguageModel) -> None:
    found = of(tiny, Bias(Bias.Params())).method
    assert found is not None and not found.attention[..., 0].any()


@pytest.mark.parametrize("name", ["vcd", "icd"])
def test_the_main_stream_is_seen_without_padding(tiny: VisionLanguageModel, name: str) -> None:
    """Of a method that contrasts, the main stream sees what the baseline does."""
    found = of(tiny, prepared(name, tiny))
    assert found.method is not None
    assert found.method.prompt == found.baseline.prompt
    assert_allclose(found.method.attention, found.baseline.attention, atol=1e-5)
    assert (found.method.sinks == found.baseline.sinks).all()


def test_a_method_that_does_nothing_sees_what_the_baseline_does(tiny: VisionLanguageModel) -> None:
    found = of(tiny, prepared("var", tiny, keep=1.0))
    assert found.method is not None and found.own is None
    assert_allclose(found.method.attention, found.baseline.attention, atol=1e-6)
    assert found.method.lens is not None and found.baseline.lens is not None
    assert_allclose(found.method.lens.probability, found.baseline.lens.probability, atol=1e-5)


class Early(Method):
    """Keeps what `at.early` gives at each step, [layers + 1, V]."""

    name = "early"

    def __init__(self) -> None:
        super().__init__(self.Params())
        self.seen: list[Tensor] = []

    def early_layers(self, n_layers: int) -> range:
        return range(n_layers + 1)

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        self.seen.append(torch.stack([at.early(i)["main"][0] for i in range(at.n_layers + 1)]))
        return logits["main"]


def test_the_lens_reads_what_methods_read(glyph: VisionLanguageModel) -> None:
    image, early = drawn(), Early()
    seen = trace(glyph, image, "Is there a cow?", max_new_tokens=4).baseline
    assert untraced(glyph, early, image, "Is there a cow?", 4) == seen.tokens
    assert seen.lens is not None
    for step, token in enumerate(seen.tokens):
        rows = early.seen[step]
        chance, rank = rows.softmax(-1)[:, token], 1 + (rows > rows[:, [token]]).sum(-1)
        assert_allclose(seen.lens.probability[step, :-1], chance.numpy(), atol=1e-5)
        assert seen.lens.rank[step, :-1].tolist() == rank.tolist()
    assert (seen.lens.rank[:, -2:] == 1).all()  # greedy


def test_the_lens_ends_with_what_the_method_makes(tiny: VisionLanguageModel) -> None:
    found = of(tiny, prepared("vcd", tiny, alpha=3.0, beta=0.0))
    assert found.method is not None
    lens, plain, own = (
        seen.lens for seen in (found.method, found.baseline, found.own or found.method)
    )
    assert lens is not None and plain is not None and own is not None
    assert_allclose(lens.probability[:, :-1], plain.probability[:, :-1], atol=1e-5)
    assert np.abs(lens.probability[:, -1] - lens.probability[:, -2]).max() > 1e-3
    assert (own.rank[:, -1] == 1).all()


def test_a_given_answer_is_fed_to_both(tiny: VisionLanguageModel) -> None:
    method = prepared("vcd", tiny, beta=0.9)  # rules nearly everything out
    found = of(tiny, method, answer="yes there is a cat")
    assert [word.text for word in found.baseline.words] == ["yes", "there", "is", "a", "cat"]
    assert found.given and found.own is None and found.method is not None
    assert found.method.tokens == found.baseline.tokens
    assert found.method.lens is not None and found.method.lens.probability[:, -1].min() == 0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"answer": " "}, "the answer to trace is empty"),
        ({"layers": [4]}, "there is no layer 4; 'tiny-llava' has layers 0 to 3"),
    ],
)
def test_what_cannot_be_traced(
    tiny: VisionLanguageModel, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        of(tiny, **given)


def test_a_token_that_is_never_written_is_refused(tiny: VisionLanguageModel) -> None:
    own = tiny.model.generation_config.bad_words_ids
    cat = tiny.processor.tokenizer.convert_tokens_to_ids("cat")
    tiny.model.generation_config.bad_words_ids = [[cat]]
    try:
        with pytest.raises(UserError, match="never writes 'cat'"):
            of(tiny, answer="a cat")
    finally:
        tiny.model.generation_config.bad_words_ids = own


def test_layers_that_are_not_wanted_are_not_kept(tiny: VisionLanguageModel) -> None:
    part, whole = of(tiny, layers=[3, 1]), of(tiny)
    assert part.layers == (1, 3)
    assert_allclose(part.baseline.attention, whole.baseline.attention[:, [1, 3]])
    assert (part.baseline.sinks == whole.baseline.sinks[[1, 3]]).all()
    assert part.baseline.lens is not None and part.baseline.lens.rank.shape[1] == 4 + 2


def test_places_of_patches_that_are_left(tiny: VisionLanguageModel) -> None:
    found = of(tiny, prepared("flowcut", tiny))
    assert found.method is not None and found.method.places is not None
    count = int(found.method.image.sum())
    assert 0 < count < 16 and len(found.method.places.boxes) == count
    whole = {tuple(box) for box in found.baseline.places.boxes}  # type: ignore[union-attr]
    left = [tuple(box) for box in found.method.places.boxes]
    assert set(left) <= whole and len(set(left)) == count


def test_the_model_is_restored(tiny: VisionLanguageModel) -> None:
    before = tiny.n_hooks, tiny.text_attention, sorted(ALL_ATTENTION_FUNCTIONS)
    weights = {name: value.clone() for name, value in tiny.model.named_parameters()}
    of(tiny, prepared("var", tiny))
    assert (tiny.n_hooks, tiny.text_attention, sorted(ALL_ATTENTION_FUNCTIONS)) == before
    for name, value in tiny.model.named_parameters():
        assert torch.equal(value, weights[name]), name


def test_an_ordinary_run_knows_nothing_of_it() -> None:
    code = (
        "import sys, halluc.cli.app, halluc.decoding.answering, halluc.interventions.engine\n"
        "import halluc.evaluation, halluc.methods.var\n"
        "assert not [name for name in sys.modules if name.startswith('halluc.attend')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_parts_are_joined_as_they_are(tiny: VisionLanguageModel) -> None:
    var, opera = prepared("var", tiny, keep=0.3), prepared("opera", tiny)
    both = joined([var, opera], without=["search"])
    assert list(both.methods) == [var, opera]
    assert "search" not in both.declared() and "hidden" in both.declared()
    again = joined([prepared("vhr+vcd", tiny), var])
    assert [part.name for part in again.methods] == ["vhr", "vcd", "var"]


@pytest.mark.slow
def test_a_trace_takes_at_most_two_and_a_half_answers(glyph: VisionLanguageModel) -> None:
    """Measured in processor time, side by side, the least of several."""
    image, prompt = drawn(), "Please describe this image in detail."

    def least(run: Any) -> float:
        times = []
        for _ in range(5):
            start = process_time()
            run()
            times.append(process_time() - start)
        return min(times)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        plain = least(lambda: untraced(glyph, PLAIN, image, prompt, 64))
        traced = least(lambda: trace(glyph, image, prompt, max_new_tokens=64))
        var = prepared("var", glyph)
        both = plain + least(lambda: untraced(glyph, var, image, prompt, 64))
        compared = least(lambda: trace(glyph, image, prompt, var, max_new_tokens=64))
    finally:
        torch.set_num_threads(threads)
    assert traced <= 2.5 * plain, f"{traced / plain:.2f}"
    assert compared <= 2.5 * both, f"{compared / both:.2f}"


class Idle(Method):
    """Declares a seam and does nothing in it."""

    name = "idle"

    def hidden(self, at: At, hidden: Tensor) -> None:
        """Look away."""


OTHERS = {*TILED, *WHOLE} - {"llava_next", "qwen2_vl", "gemma3", "paligemma", "idefics3"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in OTHERS)) for name in (*TILED, *WHOLE)],
)
def test_one_pass_sees_what_token_by_token_is_seen(name: str) -> None:
    """A method that does nothing is fed each token; the baseline gets all of them at once."""
    model, image = build(name), picture(1, 64, 48)
    found = trace(model, image, PROMPT, Idle(Idle.Params()), answer="there is a cat")
    assert found.method is not None and found.method.prompt == found.baseline.prompt
    assert_allclose(found.method.attention, found.baseline.attention, atol=1e-5)
    assert (found.method.sinks == found.baseline.sinks).all()
    assert (found.method.first == found.baseline.first).all()
    assert (found.method.image == found.baseline.image).all()
    assert (found.method.lens is None) == (found.baseline.lens is None)
    if found.method.lens is not None and found.baseline.lens is not None:
        assert_allclose(found.method.lens.probability, found.baseline.lens.probability, atol=1e-5)
