"""Training: what it computes is what the saved model computes, a step, the optimiser, the start."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from halluc.models import load_model
from halluc.world import render, scene
from halluc.world.training.architectures import ARCHITECTURES, Architecture, save
from halluc.world.training.architectures.base import embedded, normalise
from halluc.world.training.language_model import take_language_model
from halluc.world.training.lessons import LOOSE
from halluc.world.training.precision import use_float32_attention
from halluc.world.training.recipes import RECIPES
from halluc.world.training.stages import optimisers
from halluc.world.training.tensors import talks
from halluc.world.training.tokenizer import build_tokenizer
from halluc.world.training.train_matcher import STAGE, MatcherTrainer
from halluc.world.training.train_model import ModelTrainer

RATE, DECAY, MOMENTUM = 0.01, 0.05, 0.95
LOWEST = "5.17.0"
QUESTION = "Is there a dog in the image?"


def muon_step(weight: Tensor, gradient: Tensor, momentum: Tensor) -> Tensor:
    """Keller Jordan's step in float32, scaled by 0.2 sqrt(max(rows, columns))."""
    momentum.lerp_(gradient, 1 - MOMENTUM)
    x = gradient.lerp(momentum, MOMENTUM)
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    step: Tensor = RATE * 0.2 * max(weight.shape) ** 0.5 * x
    return weight * (1 - RATE * DECAY) - step


def test_matrices_are_moved_by_muon() -> None:
    torch.manual_seed(0)
    matrix, other = nn.Parameter(torch.randn(6, 10)), nn.Parameter(torch.randn(4))
    muon, _ = optimisers([matrix], [nn.Parameter(torch.randn(2, 2))], [other])
    for group in muon.param_groups:
        group["lr"] = RATE
    momentum = torch.zeros(6, 10)
    for _ in range(2):
        matrix.grad = torch.randn(6, 10)
        want = muon_step(matrix.detach(), matrix.grad, momentum)
        muon.step()
        moved = RATE * 0.2 * 10**0.5
        assert torch.allclose(matrix, want, atol=0.05 * moved)  # torch iterates in bfloat16


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_training_computes_what_the_saved_model_computes(name: str, tmp_path: Path) -> None:
    if name == "glyph-smol" and transformers.__version__ == LOWEST and not find_spec("torchvision"):
        pytest.skip(f"transformers {LOWEST} reads Idefics3's images with torchvision alone")
    torch.manual_seed(0)
    architecture = ARCHITECTURES[name]()
    save(architecture, tmp_path)
    model = load_model(str(tmp_path))
    image = render(scene("test", 0))
    inputs = model.encode([model.render(QUESTION)], [image])
    with torch.no_grad():
        want = model.model(**inputs).logits[0]
        architecture.model = model.model  # float16 on disk
        use_float32_attention(model.model)
        tokens, _ = architecture.see(normalise([image]))
        got = packed(architecture, tokens)
    assert torch.allclose(got, want, atol=1e-5)
    read = inputs["input_ids"][0].tolist()
    assert read.count(model.model.config.image_token_id) == 64
    assert architecture.tokenizer.unk_token_id not in read


def packed(architecture: Architecture, tokens: Tensor) -> Tensor:
    """Return the logits of one question as training computes them [T, words]."""
    encode = architecture.tokenizer.encode
    asks = encode(architecture.turn.format(question=QUESTION), add_special_tokens=False)
    words: Any = architecture.model.get_input_embeddings()
    hidden = architecture.decoder(
        inputs_embeds=embedded(architecture, tokens, words(torch.tensor([asks]))),
        position_ids=architecture.positions(torch.arange(len(asks))[None]),
    ).last_hidden_state
    logits: Tensor = architecture.model.lm_head(hidden)[0]
    return logits


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_share_the_ids_of_words(name: str) -> None:
    common = build_tokenizer().get_vocab()
    own = ARCHITECTURES[name]().tokenizer.get_vocab()
    assert {word: own[word] for word in common} == common


def test_a_language_model_is_taken_over_word_for_word() -> None:
    torch.manual_seed(1)
    architecture = ARCHITECTURES["glyph-qwen"]()
    untaken = architecture.words[-1].clone()
    take_language_model(architecture, "glyph")
    given: Any = load_model("glyph").model.model.language_model
    common = len(build_tokenizer())
    assert torch.equal(architecture.words[:common], given.embed_tokens.weight[:common])
    assert torch.equal(architecture.words[-1], untaken)
    last = architecture.decoder.layers[-1]
    assert torch.equal(last.self_attn.k_proj.weight, given.layers[-1].self_attn.k_proj.weight)
    assert torch.equal(last.mlp.down_proj.weight, given.layers[-1].mlp.down_proj.weight)


def test_false_yes_is_taught_as_often_as_the_recipe_says() -> None:
    architecture = ARCHITECTURES["glyph"]()
    yes = architecture.tokenizer.convert_tokens_to_ids("Yes")
    scenes = [scene("lessons", index) for index in range(60)]
    shares = []
    for rate in (0.0, 1.0):
        talk = talks(scenes, architecture, 0, replace(LOOSE, false_yes=rate))
        says_yes = talk.labels == torch.tensor(yes)
        turns = [
            says_yes[row][talk.turn[row] == turn].any()
            for row, turn in zip(*absent_turns(talk), strict=True)
        ]
        shares.append(float(torch.stack(turns).float().mean()))
    assert shares[0] == 0
    assert shares[1] > 0.05


def absent_turns(talk: Any) -> tuple[list[int], list[int]]:
    rows, columns = (talk.asked == 0).nonzero(as_tuple=True)
    return rows.tolist(), talk.turn[rows, columns].tolist()


@pytest.mark.parametrize("name", ["glyph", "matcher"])
def test_one_step_moves_every_part(name: str, tmp_path: Path) -> None:
    trainer, stage = (
        (MatcherTrainer, STAGE) if name == "matcher" else (ModelTrainer, RECIPES[name].stages[1])
    )
    training = trainer(name, tmp_path)
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    losses = training._learn(replace(stage, size=2))
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
    moved = [n for n, p in training.model.named_parameters() if not torch.equal(p, before[n])]
    assert len(moved) > 0.8 * len(before)
