"""Letters of options: their log-probabilities at the first token, kept with the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from halluc.config import DecodingConfig
from halluc.decoding import answer_samples
from halluc.methods.baseline import Baseline
from halluc.models import VisionLanguageModel
from halluc.store.run_folder import read_answer
from halluc.types import Answer, Sample
from tests.kit.asking import answer, questions
from tests.kit.families import llava, picture
from tests.kit.runs import write_run

GREEDY = Baseline(Baseline.Params())
ANIMALS = (("dog", "a dog"), ("cat", "a cat"))
"""Words stand for letters, which the tiny tokenizer does not have."""


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


def sample(
    id: str, options: tuple[tuple[str, str], ...], prompt: str = "is there a dog ?"
) -> Sample:
    return Sample(id, "i", prompt, lambda: picture(0), max_new_tokens=2, options=options)


def letters(
    model: VisionLanguageModel, samples: list[Sample], beams: int = 1
) -> dict[str, dict[str, float | None] | None]:
    decoding = DecodingConfig(num_beams=beams)
    return {a.id: a.letters for a in answer_samples(model, GREEDY, samples, decoding)}


@pytest.mark.parametrize("beams", [1, 3])
def test_letters_are_read_at_the_first_token(model: VisionLanguageModel, beams: int) -> None:
    asked = [
        sample("both", ANIMALS),
        sample("none", (), "is there a car ?"),
        sample("one", (("car", ""), ("No", "")), "describe the image"),
        sample("unknown", (("dog", ""), ("Z", "")), "please describe the image"),
    ]
    found = letters(model, asked, beams)
    assert found["none"] is None
    assert found["unknown"] is None  # Z is no token
    assert found["both"] is not None and [*found["both"]] == ["dog", "cat"]
    assert found["one"] is not None and [*found["one"]] == ["car", "No"]
    for one in (asked[0], asked[2]):  # what is read is the sample's own, and not its neighbour's
        assert found[one.id] == pytest.approx(letters(model, [one], beams)[one.id], abs=1e-4)


def test_letters_are_log_probabilities_of_all_their_spellings(model: VisionLanguageModel) -> None:
    batch = questions(model, 0)
    first = answer(model, GREEDY, batch, tokens=1).logits[0].float().log_softmax(-1)
    asked = replace(sample("0", ANIMALS, batch.prompts[0]), load_image=lambda: picture(0))
    found = letters(model, [asked])["0"]
    assert found is not None
    for word, ids in model.letter_tokens(["dog", "cat"]).items():
        assert found[word] == pytest.approx(float(torch.logsumexp(first[ids], -1)), abs=1e-4)


def test_a_letter_is_read_in_its_case_and_with_or_without_a_space() -> None:
    class Tokenizer:
        unk_token_id = 0
        known = {"A": [5], " A": [6], "a": [7], "B": [8, 9], " B": [10], "C": [0]}

        def encode(self, text: str, add_special_tokens: bool) -> list[int]:
            assert not add_special_tokens
            return self.known.get(text, [1, 2])

    model = llava()
    model.processor.tokenizer = Tokenizer()
    assert model.letter_tokens(["A", "B", "C", "D"]) == {"A": [5, 6], "B": [10]}


def test_letters_are_kept_and_older_answers_have_none(tmp_path: Path) -> None:
    run = write_run(tmp_path, limit=1, benchmarks=("glyph_mme",))
    kept = Answer("1", "i", "all", "?", None, letters={"A": -0.5, "B": float("-inf")})
    with run.keeping("other", print) as keep:
        keep([kept])
    (read,) = run.answers("other")
    assert read.letters == {"A": -0.5, "B": None}
    (line,) = run.answers_file("other").read_text().splitlines()
    record = json.loads(line)
    del record["letters"]
    assert read_answer(record).letters is None
    with pytest.raises(ValueError, match="letters"):
        read_answer({**json.loads(line), "letters": [1, 2]})
