"""A method's own loop says what the model says without a cache, whatever was forked and undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import LogitsProcessor

from halluc.config import DecodingConfig
from halluc.decoding.generation import Generated, generate
from halluc.errors import UserError
from halluc.interventions import At, Batch, Method, MethodParams
from halluc.interventions.search_loop import SearchLoop
from halluc.interventions.shared_prefix import Memo
from halluc.models import VisionLanguageModel
from halluc.models.inputs import continued
from tests.kit.asking import questions
from tests.kit.families import FAMILIES, build, picture
from tests.references import plain_loop

CLOSE = 1e-4
INDEPENDENT = ("llava", "qwen2_5_vl", "gemma3")
A, B, C = [5, 9, 11], [60, 12, 13], [33, 14, 15]  # words and special tokens of the tiny models
WORDS = [9, 11, 12]  # image tokens of no tiny model

Script = Callable[[SearchLoop], list[int]]


class Scripted(Method):
    """Searches as a test says, and notes what its seams see."""

    name = "scripted"

    def __init__(self, script: Script) -> None:
        super().__init__(MethodParams())
        self.script = script
        self.reordered: list[list[int]] = []

    def begin(self, batch: Batch) -> dict[str, Any]:
        return {"rows": torch.zeros(1, dtype=torch.long)}

    def reorder(self, state: dict[str, Any], rows: Tensor) -> dict[str, Any]:
        self.reordered.append(rows.tolist())
        return state

    def search(self, loop: SearchLoop) -> list[int]:
        return self.script(loop)


class Streamed(Scripted):
    """Adds the logits of the same questions without their image."""

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Mapping[str, Any]]:
        return {"blind": model.without_image(batch.inputs)}

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        return 2 * logits["main"] - logits["blind"]


def search(
    model: VisionLanguageModel, script: Script, cls: type[Scripted] = Scripted, **given: Any
) -> tuple[Scripted, Generated]:
    method = cls(script)
    decoding = DecodingConfig(num_beams=given.pop("beams", 1))
    made = generate(
        model, method, questions(model, 0), decoding, max_new_tokens=8, share=False, **given
    )
    return method, made


def step(loop: SearchLoop, *tokens: int) -> Tensor:
    return loop.step(torch.tensor(tokens))


def fork(loop: SearchLoop, *rows: int) -> None:
    loop.fork(torch.tensor(rows))


def plain(model: VisionLanguageModel, *sequences: list[int], blind: bool = False) -> Tensor:
    """Next-token logits [N, V] behind the first question and these tokens, without a cache."""
    inputs = questions(model, 0).inputs
    inputs = model.without_image(inputs) if blind else inputs
    return torch.stack([plain_loop.next_logits(model.model, inputs, s) for s in sequences])


def differs(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


@pytest.mark.parametrize("name", INDEPENDENT)
def test_logits_are_those_of_the_whole_sequence(name: str) -> None:
    model = build(name)
    found: list[tuple[Tensor, list[list[int]]]] = []

    def note(loop: SearchLoop) -> None:
        found.append((loop.logits, loop.tokens.tolist()))

    def script(loop: SearchLoop) -> list[int]:
        note(loop)
        fork(loop, 0, 0)
        note(loop)
        for tokens in zip(A, B, strict=True):
            step(loop, *tokens)
            note(loop)
        fork(loop, 1, 0, 1)  # b, a, b
        note(loop)
        step(loop, 33, 14, 15)
        note(loop)
        loop.rollback(3)
        note(loop)
        step(loop, 6, 6, 60)
        note(loop)
        loop.rollback(1)
        loop.rollback(1)
        note(loop)
        step(loop, *C)
        note(loop)
        fork(loop, 2)
        note(loop)
        return [7]

    search(model, script)
    assert [sequences for _, sequences in found][6:] == [
        [[*B, 33], [*A, 14], [*B, 15]], [B[:1], A[:1], B[:1]], [[60, 6], [5, 6], [60, 60]],
        [[], [], []], [[33], [14], [15]], [[15]],
    ]  # fmt: skip
    for logits, sequences in found:
        assert differs(logits, plain(model, *sequences)) < CLOSE, sequences


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_goes_on_as_if_nothing_had_been_undone(name: str) -> None:
    model = build(name)
    after: list[Tensor] = []  # nothing, and one, two, three tokens of A
    again: list[tuple[int, Tensor]] = []

    def straight(loop: SearchLoop) -> list[int]:
        after.append(loop.logits)
        after.extend(step(loop, token) for token in A)
        return [7]

    def detour(loop: SearchLoop) -> list[int]:
        fork(loop, 0, 0)
        for tokens in zip(B, A, strict=True):
            step(loop, *tokens)
        again.append((3, loop.logits[[1]]))
        step(loop, 8, 9)
        fork(loop, 0, 1, 1)
        loop.rollback(2)
        again.extend((2, loop.logits[[row]]) for row in (1, 2))
        step(loop, 20, 11, 30)
        fork(loop, 1)
        again.append((3, loop.logits))
        loop.rollback(3)
        again.append((0, loop.logits))
        again.extend((n, step(loop, token)) for n, token in enumerate(A, 1))
        loop.rollback(1)
        again.append((2, loop.logits))
        return [7]

    _, whole = search(model, straight)
    search(model, detour)
    for number, logits in again:
        assert differs(logits, after[number]) < CLOSE, number
    assert differs(after[1], after[2]) > 100 * CLOSE
    assert whole.passes == [4]


@pytest.mark.parametrize("name", INDEPENDENT)
def test_streams_are_fed_and_undone_together(name: str) -> None:
    model = build(name)
    found: list[tuple[Tensor, list[list[int]]]] = []

    def script(loop: SearchLoop) -> list[int]:
        fork(loop, 0, 0)
        step(loop, 5, 60)
        step(loop, 9, 12)
        found.append((loop.logits, loop.tokens.tolist()))
        fork(loop, 1, 0, 1)
        step(loop, 13, 11, 14)
        found.append((loop.logits, loop.tokens.tolist()))
        loop.rollback(2)
        found.append((loop.logits, loop.tokens.tolist()))
        return [7]

    method, made = search(model, script, Streamed)
    assert method.reordered == [[0, 0, 1, 1], [1, 0, 1, 3, 2, 3]]
    for logits, sequences in found:
        expected = 2 * plain(model, *sequences) - plain(model, *sequences, blind=True)
        assert differs(logits, expected) < CLOSE, sequences
    if name != "gemma3":  # its sliding windows cannot be cut: it reads all again
        assert made.passes == [2 * (1 + 2 + 2 + 3 + 3)]


def test_scores_add_up_log_probabilities() -> None:
    model = build("llava")
    scores: list[Tensor] = []

    def script(loop: SearchLoop) -> list[int]:
        scores.append(loop.score())
        fork(loop, 0, 0)
        for tokens in zip(A, B, strict=True):
            step(loop, *tokens)
        fork(loop, 1, 0)
        scores.append(loop.score())
        loop.rollback(2)
        scores.append(loop.score())
        return [7]

    def total(tokens: list[int]) -> float:
        rows = [plain(model, tokens[:n])[0].log_softmax(-1) for n in range(len(tokens))]
        return sum(float(row[token]) for row, token in zip(rows, tokens, strict=True))

    search(model, script)
    expected = [[0.0], [total(B), total(A)], [total(B[:1]), total(A[:1])]]
    for found, wanted in zip(scores, expected, strict=True):
        assert found.tolist() == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize(("count", "left"), [(4, 3), (-1, 3)])
def test_no_more_is_taken_back_than_there_is(count: int, left: int) -> None:
    def script(loop: SearchLoop) -> list[int]:
        for token in A:
            step(loop, token)
        with pytest.raises(ValueError, match=f"cannot take {count} of {left} tokens back"):
            loop.rollback(count)
        before = loop.logits
        loop.rollback(0)
        assert loop.logits is before
        return [7]

    _, made = search(build("llava"), script)
    assert made.passes == [4]


@pytest.mark.parametrize("beams", [1, 3])
def test_the_loop_begins_as_one_row_and_knows_the_run(beams: int) -> None:
    model = build("llava")
    seen: list[Any] = []

    def script(loop: SearchLoop) -> list[int]:
        seen.extend([loop.beams, loop.max_new_tokens, loop.end_tokens, loop.part])
        seen.extend([tuple(loop.tokens.shape), len(loop.logits), loop.batch.prompts])
        fork(loop, 0, 0)
        step(loop, *A[:2])
        return [4, 5, 2]

    _, made = search(model, script, beams=beams)
    assert seen == [beams, 8, [2], None, (1, 0), 1, ["is there a dog ?"]]
    assert made.tokens.tolist() == [[4, 5, 2]] and made.passes == [3]


def test_rows_that_ended_cost_nothing_until_they_are_taken_back() -> None:
    def script(loop: SearchLoop) -> list[int]:
        fork(loop, 0, 0)  # one pass so far, of the prompt
        step(loop, 2, 5)  # one more: the end token itself does not count
        step(loop, 9, 9)  # one more
        loop.rollback(2)
        step(loop, 5, 5)  # two more
        return [7]

    _, made = search(build("llava"), script)
    assert made.passes == [5]


class Seen(LogitsProcessor):
    """Keeps what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], Tensor]] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.calls.append((list(input_ids.shape), scores.clone()))
        return scores


def test_onlookers_see_the_prompt_first() -> None:
    model = build("llava")

    def script(loop: SearchLoop) -> list[int]:
        fork(loop, 0, 0)
        step(loop, 5, 60)
        return [7]

    seen = Seen()
    search(model, script, watch=[seen])
    length = questions(model, 0).inputs["input_ids"].shape[1]
    assert [shape for shape, _ in seen.calls] == [[1, length], [2, length + 1]]
    assert differs(seen.calls[0][1], plain(model, [])) < CLOSE


def test_what_a_checkpoint_must_never_write_stays_ruled_out() -> None:
    model = build("llava")
    model.model.generation_config.bad_words_ids = [[33]]
    model.model.generation_config.suppress_tokens = [9]
    found: list[Tensor] = []

    def script(loop: SearchLoop) -> list[int]:
        found.extend([loop.logits, step(loop, 5)])
        return [7]

    search(model, script)
    for logits in found:
        assert logits[0, 33] == -float("inf")
        assert logits[0, 9].isfinite()  # a default of the checkpoint, which is taken out
    assert model.model.generation_config.suppress_tokens == [9]


def test_what_is_generated_follows_forks_and_roll_backs() -> None:
    model = build("llava")
    generated: list[list[list[int]]] = []

    class Noting(Scripted):
        def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
            generated.append(at.generated.tolist())
            return logits["main"]

    def script(loop: SearchLoop) -> list[int]:
        fork(loop, 0, 0)
        step(loop, 5, 60)
        step(loop, 9, 12)
        fork(loop, 1, 1, 0)
        loop.rollback(1)  # reads the token that stays again
        step(loop, 1, 3, 4)
        loop.rollback(2)
        step(loop, 6, 6, 6)
        return [7]

    search(model, script, Noting)
    assert generated == [
        [[]], [[5], [60]], [[5, 9], [60, 12]], [[60], [60], [5]], [[60, 1], [60, 3], [5, 4]],
        [[6], [6], [6]],
    ]  # fmt: skip


def test_sampling_and_batches_are_refused_by_name() -> None:
    model = build("llava")
    method = Scripted(lambda loop: [7])
    with pytest.raises(UserError, match="'scripted' searches; leave out do_sample"):
        generate(
            model, method, questions(model, 0), DecodingConfig(do_sample=True), max_new_tokens=2
        )
    with pytest.raises(ValueError, match="one prompt at a time"):
        generate(model, method, questions(model, 0, 1), DecodingConfig(), max_new_tokens=2)


def looked(model: VisionLanguageModel, images: list[Image.Image], cls: type[Scripted]) -> Any:
    """Logits of a look at other images behind WORDS, those of the loop around it, and passes."""
    found: list[Tensor] = []

    def script(loop: SearchLoop) -> list[int]:
        for token in WORDS:
            step(loop, token)
        others = loop.model.encode([*loop.batch.rendered] * len(images), images)
        found.append(loop.forward(loop.model.continued(others, torch.tensor(WORDS))))
        found.append(loop.logits)
        found.append(step(loop, 6))
        return [7]

    return found, search(model, script, cls)[1].passes[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_looks_at_other_images_and_goes_on(name: str) -> None:
    model = build(name)
    (seen, before, after), passes = looked(model, [picture(0), picture(3, 64, 48)], Scripted)
    assert seen.shape == (2, before.shape[1])
    assert differs(seen[:1], before) < CLOSE
    assert differs(seen[:1], seen[1:]) > CLOSE
    straight: list[Tensor] = []

    def script(loop: SearchLoop) -> list[int]:
        straight.extend(step(loop, token) for token in [*WORDS, 6])
        return [7]

    search(model, script)
    assert differs(after, straight[-1]) < CLOSE
    assert passes == 1 + len(WORDS) + 2 + 1


def test_a_look_is_a_prompt_of_its_own() -> None:
    model = build("llava")
    steps: list[tuple[str, int]] = []

    class Noting(Streamed):
        def hidden(self, at: At, hidden: Tensor) -> None:
            if at.layer == 0:
                steps.append((at.phase, at.step))

    (seen, streamed, _), _ = looked(model, [picture(0)], Noting)
    assert differs(seen, plain(model, WORDS)) < CLOSE  # no further stream takes part
    assert differs(streamed, plain(model, WORDS)) > CLOSE
    assert steps[-2:] == [("prefill", 0), ("decode", 4)]


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test_a_prefix_that_was_read_before_is_not_read_again(name: str) -> None:
    model = build(name)
    found: list[Tensor] = []

    def script(loop: SearchLoop) -> list[int]:
        found.extend([loop.logits, step(loop, WORDS[0])])
        fork(loop, 0, 0)
        found.extend([step(loop, *WORDS[1:])[:1]])
        loop.rollback(1)
        found.append(loop.logits[:1])
        return [7]

    method = Scripted(script)
    method.prefix_depends_on = "nothing"
    memo, decoding = Memo(), DecodingConfig()
    for _ in range(2):  # the second time from the memo
        made = generate(model, method, questions(model, 0), decoding, max_new_tokens=8, memo=memo)
        first, second, third, back = found[-4:]
        assert differs(first, plain(model, [])) < CLOSE
        assert differs(second, plain(model, WORDS[:1])) < CLOSE
        assert differs(third, plain(model, WORDS[:2])) < CLOSE
        assert differs(back, second) < CLOSE
    assert memo.saved > 0
    assert made.passes == [1 + 1 + 2 + 2]


def test_answers_that_go_on_are_attended_to_as_text() -> None:
    inputs = {
        "input_ids": torch.tensor([[0, 7], [8, 9]]),
        "attention_mask": torch.tensor([[0, 1], [1, 1]]),
        "mm_token_type_ids": torch.tensor([[1, 0], [1, 0]]),
        "pixel_values": torch.zeros(2, 3),
    }
    longer = continued(inputs, torch.tensor([[5, 6], [3, 4]]))
    assert longer["input_ids"].tolist() == [[0, 7, 5, 6], [8, 9, 3, 4]]
    assert longer["attention_mask"].tolist() == [[0, 1, 1, 1], [1, 1, 1, 1]]
    assert longer["mm_token_type_ids"].tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]
    assert longer["pixel_values"] is inputs["pixel_values"]


def test_an_image_token_that_was_written_stands_for_no_image() -> None:
    model = build("llava")
    inputs = questions(model, 0).inputs
    longer = model.continued(inputs, torch.tensor([9, model.image_token]))
    assert longer["input_ids"][0, -2:].tolist() == [9, model.pad_token]
    for name in ("llava", "paligemma"):
        same = build(name).continued(questions(build(name), 0).inputs, torch.tensor([]).long())
        inputs = questions(build(name), 0).inputs
        assert all(torch.equal(same[key], inputs[key]) for key in inputs)


def test_rows_that_stay_in_place_are_not_copied() -> None:
    kept: list[Any] = []

    def script(loop: SearchLoop) -> list[int]:
        fork(loop, 0, 0)
        step(loop, 5, 60)
        before = loop.tokens, loop.logits
        fork(loop, 0, 1)
        kept.extend([loop.tokens is before[0], loop.logits is before[1]])
        fork(loop, 0)
        kept.append(loop.tokens.tolist())
        return [5]

    method, _ = search(build("llava"), script)
    assert kept == [True, True, [[5]]]
    assert method.reordered == [[0, 0], [0]]
