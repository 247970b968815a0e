"""Attention sinks put into a model's weights: in BOS, and in plain background patches.

A small model that is trained for minutes grows no attention sinks (docs/sinks.md), while
pre-trained ones have them. So they are put in before the last stage, and the language model is
trained on from there, these weights too:

- two dimensions of the residual stream are taken out of use: nothing writes or reads them;
- BOS is massive in the first of them, from its embedding on; plain background patches are massive
  in the second and large in the first: a unit of the projector reads how plain a patch is;
- in every head, one channel of the keys reads one of the two, and the query's bias wants it, so
  strongly that sinks get a stated share of attention. Where there are sinks of both kinds, the
  first half of a layer's heads looks at BOS and the other half at patches, so that neither takes
  the other's share. It is the channel that rotary position turns least. (Attention sinks act as
  biases of keys: Gu et al., ICLR 2025, arXiv:2410.10781.)
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from halluc.world.language import CAPTION_PROMPTS, exists
from halluc.world.rendering import render
from halluc.world.scenes import scene
from halluc.world.training.architectures.base import Architecture, embedded, normalise
from halluc.world.training.plainness import plain_patches

SINK_DIMS = (16, 172)
"""The dimensions of the residual stream that sinks take; BOS the first alone.

They are the two that glyph, trained from seed 0, uses least: without them no loss changes by more
than .01. Others would cost more, and training on would make up for it.
"""
SHARE = 0.4
"""The mean share of a text token's attention that sinks get in each head, to start with."""
SIZE = 6.0
"""A sink's length, next to that of the largest other token in any layer."""
FIRST = 0.5
"""A patch's length in BOS's dimension, next to that in its own."""
PATCHES_A_SCENE = 6.0
"""The mean number of patches in a scene that become sinks; one at least in nearly every scene."""
FIT_SCENES = 400
"""Scenes on which the reading of plainness is fitted."""
_TYPICAL, _LEAST = 12.0, 3.0
"""What the projector's unit says to a typical sink and to the least; to others not below -.17."""
_TUNED_ON, _ROUNDS, _FIRST_LOGIT = 24, 4, 5.0


@torch.no_grad()
def plant_sinks(architecture: Architecture, bos: bool, patches: bool) -> dict[str, float]:
    """Write sinks into a trained model.

    Args:
        architecture: The model, changed in place.
        bos: The first token becomes a sink.
        patches: Plain background patches become sinks; needs a projector of two matrices.

    Returns:
        What was done: the share of the plainest patches among those that are made sinks
        ("precision"), the share of scenes with one ("scenes"), sinks' share of attention ("share").
    """
    size = SIZE * largest(architecture)
    _take_out_of_use(architecture)
    if bos:
        architecture.words[architecture.ids(architecture.before[:1])[0], SINK_DIMS[0]] = size
    found = _plant_in_patches(architecture, size) if patches else {}
    return found | {"share": _want_sinks(architecture, _wanted_dims(architecture, bos, patches))}


def largest(architecture: Architecture) -> float:
    """Return the length of the largest token that enters a layer."""
    streams, _ = look(architecture, CAPTION_PROMPTS[0])
    return max(float(stream.norm(dim=-1).max()) for stream in streams)


def look(architecture: Architecture, question: str) -> tuple[list[Tensor], list[Tensor]]:
    """Read a question about some scenes.

    Returns:
        By layer, what enters it [B, T, width], and its attention weights [B, H, T, T].
    """
    model = architecture.model
    device = next(model.parameters()).device
    before = architecture.decoder.config._attn_implementation
    model.set_attn_implementation("eager")
    images = [render(scene("planted", index)) for index in range(_TUNED_ON)]
    tokens, _ = architecture.see(normalise(images).to(device))
    encode = architecture.tokenizer.encode
    asks = encode(architecture.turn.format(question=question), add_special_tokens=False)
    ids = torch.tensor(asks, device=device).expand(len(images), -1)
    seen = architecture.decoder(
        inputs_embeds=embedded(architecture, tokens, model.get_input_embeddings()(ids)),
        position_ids=architecture.positions(torch.arange(len(asks), device=device).expand_as(ids)),
        output_hidden_states=True,
        output_attentions=True,
        use_cache=False,
    )
    model.set_attn_implementation(before)
    return list(seen.hidden_states[:-1]), list(seen.attentions)


def _take_out_of_use(architecture: Architecture) -> None:
    """Let nothing write the sinks' dimensions or read them; the last norm drops them."""
    dims = list(SINK_DIMS)
    architecture.words[:, dims] = 0
    architecture.decoder.norm.weight[dims] = 0
    if architecture.projector is not None:
        last = architecture.projector[1]
        last.weight[dims] = 0
        last.bias[dims] = 0
    for layer in architecture.decoder.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for reader in (attention.q_proj, attention.k_proj, attention.v_proj):
            reader.weight[:, dims] = 0
        for reader in (mlp.gate_proj, mlp.up_proj):
            reader.weight[:, dims] = 0
        for writer in (attention.o_proj, mlp.down_proj):
            writer.weight[dims] = 0
            if writer.bias is not None:
                writer.bias[dims] = 0


def _wanted_dims(architecture: Architecture, bos: bool, patches: bool) -> Tensor:
    """Return the dimension that the keys of each group of heads read, int [groups]."""
    attention = architecture.decoder.layers[0].self_attn
    groups = attention.k_proj.out_features // attention.head_dim
    on_patches = torch.arange(groups) >= (groups // 2 if bos else 0)
    return torch.tensor(SINK_DIMS)[(on_patches & patches).long()]


def _want_sinks(architecture: Architecture, dims: Tensor) -> float:
    """Let every head give sinks `SHARE` of its attention on average; return the share reached."""
    layers = [layer.self_attn for layer in architecture.decoder.layers]
    wanted = torch.full((len(layers), layers[0].config.num_attention_heads), _FIRST_LOGIT)
    share = torch.zeros_like(wanted)
    for _ in range(_ROUNDS):
        for attention, logits in zip(layers, wanted, strict=True):
            _want(attention, logits, dims, architecture.words.shape[1])
        share = _shares(architecture).clamp(0.005, 0.995)
        # Odds of looking at sinks grow by the factor e for each 1 that is added to their logit.
        wanted += math.log(SHARE / (1 - SHARE)) - (share / (1 - share)).log()
        wanted.clamp_(-5, 15)
    return float(share.mean())


def _want(attention: Any, logits: Tensor, dims: Tensor, width: int) -> None:
    """Give tokens that are massive in a group's dimension [groups] these logits, one a head [H]."""
    size = attention.head_dim
    channel = size // 2 - 1  # rotary position turns this pair of channels least
    query, key = attention.q_proj, attention.k_proj
    heads, groups = query.out_features // size, key.out_features // size
    rows = torch.arange(heads) * size + channel
    query.weight[rows] = 0
    query.bias[rows] = (logits * math.sqrt(size)).to(query.bias) / _KEY
    rows = torch.arange(groups) * size + channel
    key.weight[rows] = 0
    key.weight[rows, dims.to(rows)] = _KEY / math.sqrt(width)  # of a normalised sink's sqrt(width)
    key.bias[rows] = 0


_KEY = 6.0
"""What a sink's key holds in its channel."""


def _shares(architecture: Architecture) -> Tensor:
    """Measure sinks' mean share of text tokens' attention behind the image [L, H]."""
    shares = []
    for question in (CAPTION_PROMPTS[0], exists("dog")):
        streams, weights = look(architecture, question)
        largest_of_two = streams[0][..., list(SINK_DIMS)].abs().amax(-1)  # [B, T]
        sinks = largest_of_two > 0.5 * streams[0].norm(dim=-1)
        behind = len(architecture.before) + 64 + len(architecture.after)
        for layer in weights:
            held = (layer[:, :, behind:] * sinks[:, None, None]).sum(-1)  # [B, H, Q]
            shares.append(held.mean((0, 2)).cpu())
    return torch.stack(shares).view(2, -1, shares[0].numel()).mean(0)


def _plant_in_patches(architecture: Architecture, size: float) -> dict[str, float]:
    """Fit a reading of plainness and give it the projector's last unit."""
    from sklearn.linear_model import LogisticRegression

    projector = architecture.projector
    assert projector is not None
    first, second = projector
    features = _features(architecture, first)
    plain = plain_patches([scene("plain", index) for index in range(FIT_SCENES)]).reshape(-1)
    reading = LogisticRegression(max_iter=2000).fit(features.numpy(), plain)
    score = torch.from_numpy(reading.decision_function(features.numpy())).float()
    least = score.topk(round(PATCHES_A_SCENE * FIT_SCENES)).values[-1].item()
    typical = score[score >= least].median().item()
    sharp = (_TYPICAL - _LEAST) / (typical - least)
    first.weight[-1] = torch.from_numpy(reading.coef_[0]).to(first.weight) * sharp
    first.bias[-1] = (float(reading.intercept_[0]) - least) * sharp + _LEAST
    second.weight[:, -1] = 0
    for dim, length in zip(SINK_DIMS, (FIRST, 1.0), strict=True):
        second.weight[dim] = 0
        second.bias[dim] = 0
        second.weight[dim, -1] = size * length / (_TYPICAL / 2)
    named = (score >= least).numpy()
    scenes = named.reshape(FIT_SCENES, -1).any(1)
    return {"precision": float(plain[named].mean()), "scenes": float(scenes.mean())}


def _features(architecture: Architecture, first: nn.Linear) -> Tensor:
    """Return what the projector's first matrix reads, a row an image token [N, D]."""
    read: list[Tensor] = []
    hook = first.register_forward_pre_hook(lambda _m, arguments: read.append(arguments[0]))
    device = next(architecture.model.parameters()).device
    for start in range(0, FIT_SCENES, 50):
        images = [render(scene("plain", index)) for index in range(start, start + 50)]
        architecture.see(normalise(images).to(device))
    hook.remove()
    return torch.cat([part.float().flatten(0, -2).cpu() for part in read])
