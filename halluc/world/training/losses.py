"""The losses, and the auxiliary heads, which are not kept in the saved model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from halluc.world.captions import SIDES
from halluc.world.catalog import NAMES
from halluc.world.language import HUES
from halluc.world.training.architectures import COLUMNS, IMAGE_TOKENS, Architecture, embedded
from halluc.world.training.planted_sinks import SINK_DIMS
from halluc.world.training.tensors import IGNORE, Sights, Talks

NAME_WEIGHT = 3.0
"""The additional weight of a category's word in a caption; other words have weight 1."""
WORD_LAYER = 2
"""The language layer whose output presence, colour and side are read from."""


class Heads(nn.Module):
    """Auxiliary heads: patches and CLS to words; presence, colour and side at a category's word."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width = architecture.words.shape[1]
        self.background = nn.Parameter(torch.zeros(1, width))
        self.whole = nn.Linear(architecture.vision_width, width)
        self.bias = nn.Parameter(torch.full((len(NAMES),), -2.0))
        self.presence = nn.Linear(width, 1)
        self.column = nn.Linear(width, COLUMNS)
        self.hue = nn.Linear(width, len(HUES))
        self.side = nn.Linear(width, len(SIDES))
        self.end = architecture.tokenizer.eos_token_id
        self.register_buffer("names", architecture.ids(NAMES))
        self.register_buffer("hues", architecture.ids(HUES))

    names: Tensor
    hues: Tensor


def seeing_losses(
    rows: Tensor, heads: Heads, labels: Sights, tokens: Tensor, whole: Tensor
) -> dict[str, Tensor]:
    """Ask each image token for its category, colour and column, and the whole for all categories.

    The dimensions of sinks take no part: a token may be as massive there as it likes.

    Args:
        rows: Word embeddings [words, width].
        heads: The auxiliary heads.
        labels: What is under each token.
        tokens: Image tokens [B, 64, width].
        whole: One vector a picture [B, vision width].

    Returns:
        Losses by name, and "patch", the share of object patches named correctly.
    """
    kept = torch.ones(tokens.shape[-1], device=tokens.device)
    kept[list(SINK_DIMS)] = 0
    tokens = _unit(tokens.float() * kept)
    column = torch.arange(IMAGE_TOKENS, device=tokens.device).expand(len(tokens), -1) % COLUMNS
    logits = tokens @ torch.cat([rows[heads.names], heads.background]).T
    hues = tokens @ rows[heads.hues].T
    present = _unit(heads.whole(whole.float())) @ rows[heads.names].T + heads.bias
    thing = labels.category < len(NAMES)
    right = (logits.argmax(-1) == labels.category)[thing].float().mean()
    return {
        "name": functional.cross_entropy(logits.flatten(0, 1), labels.category.flatten()),
        "hue": functional.cross_entropy(
            hues.flatten(0, 1), labels.colour.flatten(), ignore_index=IGNORE
        ),
        "column": functional.cross_entropy(heads.column(tokens).flatten(0, 1), column.flatten()),
        "whole": functional.binary_cross_entropy_with_logits(present, labels.present),
        "patch": right.detach(),
    }


def _unit(hidden: Tensor) -> Tensor:
    """Scale to a root mean square of one, as the language model's last norm does."""
    return hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-6)


def speaking_losses(
    architecture: Architecture, heads: Heads, talk: Talks, tokens: Tensor
) -> dict[str, Tensor]:
    """Run the packed conversations.

    Args:
        architecture: The model.
        heads: The auxiliary heads.
        talk: The conversations.
        tokens: Image tokens [B, 64, width].

    Returns:
        Losses by name, and "right", the share of yes/no answers that match the lesson's.
    """
    embed = architecture.model.get_input_embeddings()
    inputs = embedded(architecture, tokens, embed(talk.ids))
    before = inputs.shape[1] - talk.ids.shape[1]
    caught: list[Tensor] = []
    decoder = architecture.decoder
    hook = decoder.layers[WORD_LAYER].register_forward_hook(
        lambda _m, _i, output: caught.append(output)
    )
    hidden = decoder(
        inputs_embeds=inputs,
        attention_mask=_mask(talk.turn, before),
        position_ids=architecture.positions(talk.places),
        use_cache=False,
    ).last_hidden_state[:, before:]
    hook.remove()
    said = _answers(architecture.model, heads, talk, hidden)
    return said | _presence(heads, talk, caught[0][:, before:])


def _mask(turn: Tensor, before: int) -> Tensor:
    """Let each turn see the prefix and itself: bool [B, 1, before + L, before + L]."""
    size, length = turn.shape
    whole = torch.cat([turn.new_zeros(size, before), turn], 1)
    is_prefix = torch.arange(before + length, device=turn.device) < before
    same = whole[:, :, None] == whole[:, None, :]
    causal = torch.ones(before + length, before + length, device=turn.device).tril().bool()
    return ((same | is_prefix) & causal)[:, None]


def _answers(model: Any, heads: Heads, talk: Talks, hidden: Tensor) -> dict[str, Tensor]:
    labelled = talk.labels != IGNORE
    logits = model.lm_head(hidden[labelled]).float()
    labels, caption = talk.labels[labelled], talk.caption[labelled]
    each = functional.cross_entropy(logits, labels, reduction="none")
    weight = 1 + NAME_WEIGHT * torch.isin(labels, heads.names)
    end = heads.end
    answer = ~caption & (labels != end)
    right = (logits.argmax(-1) == labels)[answer].float().mean()
    return {
        "caption": (each * weight)[caption].sum() / weight[caption].sum(),
        "answer": each[answer].mean(),
        "end": each[~caption & (labels == end)].mean(),
        "right": right.detach(),
    }


def _presence(heads: Heads, talk: Talks, hidden: Tensor) -> dict[str, Tensor]:
    asked = ~talk.asked.isnan()
    logits = heads.presence(hidden[asked].float()).squeeze(-1)
    truth = talk.asked[asked]
    return {
        "presence": functional.binary_cross_entropy_with_logits(logits, truth),
        "present": ((logits > 0) == (truth > 0)).float().mean().detach(),
        "its_hue": _at_word(heads.hue, hidden, talk.hue),
        "its_side": _at_word(heads.side, hidden, talk.side),
    }


def _at_word(head: nn.Linear, hidden: Tensor, truth: Tensor) -> Tensor:
    known = truth != IGNORE
    return functional.cross_entropy(head(hidden[known].float()), truth[known])
