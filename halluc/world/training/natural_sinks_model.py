"""The small Llama of the trial of attention sinks, its cells, its optimisers and planted sinks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from halluc.world.training.natural_sinks_text import BOS, VOCABULARY
from halluc.world.training.stages import warm_cosine

WIDTH, FEED_FORWARD = 192, 512
LENGTH, BATCH = 64, 8
"""Tokens of a text, and texts of a step."""
LOG_STEPS = 100
"""What is measured is logged every so many steps."""
RATE, WARMUP, LAST, DECAY = 2e-3, 100, 0.1, 0.3
"""Peak learning rate, steps of its rise, the share of it at the end, decay of matrices."""

MARK, BIAS = 5, 0
"""Planted sinks: the dimension that only BOS has, and the one that all tokens have."""
MARK_SIZE, BIAS_SIZE, LOGIT = 1.0, 0.04, 6.0
"""Their sizes, and the attention logit on BOS that they give at the start."""


@dataclass(frozen=True)
class Cell:
    """A training run of the ablation.

    Attributes:
        optimiser: Of the matrices inside layers; all else is trained with AdamW.
        head: Dimensions of a head; heads times dimensions is WIDTH.
        share: The share of Bigram-Backcopy texts.
        planted: Whether sinks are put into the initial weights.
        layers: Of the model.
    """

    optimiser: Literal["adamw", "muon"]
    head: int
    share: float
    planted: bool = False
    layers: int = 4

    @property
    def name(self) -> str:
        """The name of its folder."""
        planted = "-planted" if self.planted else ""
        layers = f"-{self.layers}layer" if self.layers != 4 else ""
        return f"{self.optimiser}-{self.head}-{self.share:g}{planted}{layers}"


def build_model(cell: Cell, seed: int) -> Any:
    """Make a Llama with random weights, and planted sinks where the cell has them."""
    heads = WIDTH // cell.head
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=cell.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=cell.head,
        max_position_embeddings=LENGTH,
        bos_token_id=BOS,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = LlamaForCausalLM(config)
    model.set_attn_implementation("eager")  # gives attention weights; the fastest on a CPU
    if cell.planted:
        plant_sinks(model)
    return model


@torch.no_grad()
def plant_sinks(model: Any) -> None:
    """Put a sink on BOS into a Llama's initial weights, in every head of every layer.

    Only BOS has dimension MARK, and every token has dimension BIAS. In each head the pair of
    dimensions that rotary positions turn least gets a query that reads BIAS and a key that reads
    MARK, scaled so that the first layer's attention logit on BOS is LOGIT; values do not read MARK.
    """
    embedding = model.model.embed_tokens.weight
    embedding[:, MARK] = 0.0
    embedding[:, BIAS] = BIAS_SIZE
    embedding[BOS, MARK] = MARK_SIZE
    rms = embedding.pow(2).mean(1).sqrt()
    bias = float(BIAS_SIZE / rms[BOS + 1 :].mean())
    mark = float(MARK_SIZE / rms[BOS])
    head: int = model.config.head_dim
    size = math.sqrt(LOGIT * math.sqrt(head) / (bias * mark))
    for layer in model.model.layers:
        attention = layer.self_attn
        attention.v_proj.weight[:, MARK] = 0.0
        for project, dimension in ((attention.q_proj, BIAS), (attention.k_proj, MARK)):
            rows = project.weight.view(-1, head, WIDTH)
            rows[:, [head // 2 - 1, head - 1]] = 0.0
            rows[:, head // 2 - 1, dimension] = size


def optimisers(model: Any, cell: Cell) -> list[torch.optim.Optimizer]:
    """Make AdamW, or Muon for the matrices inside layers and AdamW for the rest.

    Matrices decay by DECAY, norms and embeddings do not, nor do queries and keys where sinks are
    planted: decay wears those rows off.
    """
    matrices: dict[float, list[Tensor]] = {0.0: [], DECAY: []}
    rest: list[Tensor] = []
    for name, parameter in model.model.named_parameters():
        if parameter.ndim == 2 and "embed" not in name:
            kept = cell.planted and name.endswith(("q_proj.weight", "k_proj.weight"))
            matrices[0.0 if kept else DECAY].append(parameter)
        else:
            rest.append(parameter)
    inner = [{"params": own, "weight_decay": decay} for decay, own in matrices.items() if own]
    others = [
        {"params": [model.lm_head.weight], "weight_decay": DECAY},
        {"params": rest, "weight_decay": 0.0},
    ]
    betas = (0.9, 0.95)
    if cell.optimiser == "adamw":
        return [torch.optim.AdamW([*inner, *others], lr=RATE, betas=betas)]
    return [
        torch.optim.Muon(inner, lr=RATE, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=RATE, betas=betas),
    ]


def rate_at(step: int, steps: int) -> float:
    """Return the learning rate of a step: a linear rise over WARMUP, then a cosine to LAST."""
    return RATE * warm_cosine(step, steps, WARMUP, LAST)
