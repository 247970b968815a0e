"""The losses, and the auxiliary heads, which are not kept in the saved model."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from halluc.world.captions import SIDES
from halluc.world.catalog import NAMES
from halluc.world.language import HUES
from halluc.world.training.architecture import PATCHES
from halluc.world.training.tensors import IGNORE, Sights, Talks

NAME_WEIGHT = 3.0
"""The additional weight of a category's word in a caption; other words have weight 1."""
COLUMNS = round(PATCHES**0.5)
"""Patches in a row of the picture."""
WORD_LAYER = 2
"""The language layer whose output presence, colour and side are read from."""


def words(model: LlavaForConditionalGeneration) -> Tensor:
    """Return the word embeddings, which are also the output layer's: float [words, width]."""
    return cast("Tensor", model.get_input_embeddings().weight)


class Heads(nn.Module):
    """Auxiliary heads: patches and CLS to words; presence, colour and side at a category's word."""

    def __init__(self, model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast):
        super().__init__()
        width = words(model).shape[1]
        vision = model.model.vision_tower.config.hidden_size
        self.background = nn.Parameter(torch.zeros(1, width))
        self.whole = nn.Linear(vision, width)
        self.bias = nn.Parameter(torch.full((len(NAMES),), -2.0))
        self.presence = nn.Linear(width, 1)
        self.column = nn.Linear(width, COLUMNS)
        self.hue = nn.Linear(width, len(HUES))
        self.side = nn.Linear(width, len(SIDES))
        self.end = tokenizer.eos_token_id
        ids = tokenizer.convert_tokens_to_ids
        self.register_buffer("names", torch.tensor(ids(list(NAMES))))
        self.register_buffer("hues", torch.tensor(ids(list(HUES))))

    names: Tensor
    hues: Tensor


def see(model: LlavaForConditionalGeneration, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Encode pictures as the model itself does.

    Returns:
        Image tokens [B, 64, width] as the language model gets them, and the pooled CLS [B, vision].
    """
    tower = model.model.vision_tower(pixels, output_hidden_states=True)
    patches = tower.hidden_states[model.config.vision_feature_layer][:, 1:]
    return model.model.multi_modal_projector(patches), tower.pooler_output


def seeing_losses(
    model: LlavaForConditionalGeneration, heads: Heads, labels: Sights, tokens: Tensor, cls: Tensor
) -> dict[str, Tensor]:
    """Ask each patch for its category, colour and column, and CLS for every category present.

    Returns:
        Losses by name, and "patch", the share of object patches named correctly.
    """
    rows = words(model)
    tokens = _unit(tokens.float())
    column = torch.arange(PATCHES, device=tokens.device).expand(len(tokens), -1) % COLUMNS
    logits = tokens @ torch.cat([rows[heads.names], heads.background]).T
    hues = tokens @ rows[heads.hues].T
    whole = _unit(heads.whole(cls.float())) @ rows[heads.names].T + heads.bias
    thing = labels.category < len(NAMES)
    right = (logits.argmax(-1) == labels.category)[thing].float().mean()
    return {
        "name": functional.cross_entropy(logits.flatten(0, 1), labels.category.flatten()),
        "hue": functional.cross_entropy(
            hues.flatten(0, 1), labels.colour.flatten(), ignore_index=IGNORE
        ),
        "column": functional.cross_entropy(heads.column(tokens).flatten(0, 1), column.flatten()),
        "whole": functional.binary_cross_entropy_with_logits(whole, labels.present),
        "patch": right.detach(),
    }


def _unit(hidden: Tensor) -> Tensor:
    """Scale to a root mean square of one, as the language model's last norm does."""
    return hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-6)


def speaking_losses(
    model: LlavaForConditionalGeneration, heads: Heads, talk: Talks, tokens: Tensor, prefix: Tensor
) -> dict[str, Tensor]:
    """Run the packed conversations.

    Args:
        talk: The conversations.
        tokens: Image tokens [B, 64, width].
        prefix: ids of what stands before the image, int [2].

    Returns:
        Losses by name, and "right", the share of yes/no answers that match the lesson's.
    """
    embed = model.get_input_embeddings()
    size = len(tokens)
    inputs = torch.cat([embed(prefix.expand(size, -1)), tokens, embed(talk.ids)], 1)
    before = prefix.numel() + PATCHES
    positions = torch.arange(before, device=tokens.device).expand(size, -1)
    caught: list[Tensor] = []
    decoder = model.model.language_model
    hook = decoder.layers[WORD_LAYER].register_forward_hook(
        lambda _m, _i, output: caught.append(output)
    )
    hidden = decoder(
        inputs_embeds=inputs,
        attention_mask=_mask(talk.turn, before),
        position_ids=torch.cat([positions, talk.positions], 1),
        use_cache=False,
    ).last_hidden_state[:, before:]
    hook.remove()
    return _answers(model, heads, talk, hidden) | _presence(heads, talk, caught[0][:, before:])


def _mask(turn: Tensor, before: int) -> Tensor:
    """Let each turn see the prefix and itself: bool [B, 1, before + L, before + L]."""
    size, length = turn.shape
    whole = torch.cat([turn.new_zeros(size, before), turn], 1)
    is_prefix = torch.arange(before + length, device=turn.device) < before
    same = whole[:, :, None] == whole[:, None, :]
    causal = torch.ones(before + length, before + length, device=turn.device).tril().bool()
    return ((same | is_prefix) & causal)[:, None]


def _answers(
    model: LlavaForConditionalGeneration, heads: Heads, talk: Talks, hidden: Tensor
) -> dict[str, Tensor]:
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
