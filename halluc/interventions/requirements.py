"""Requirements of methods: a model that lacks what a method needs is refused with the reason."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.interventions.seams import IN_ATTENTION, IN_LAYERS
from halluc.models.families import family_of

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.models import VisionLanguageModel

Heads = dict[int, tuple[int, ...]]
"""Heads of some layers, 0-based."""

_CLS_TOWERS = (
    "clip_vision_model",
    "dinov2",
    "internvl_vision",
    "blip_2_vision_model",
    "instructblip_vision_model",
)


def needs_masks(method: type[Any], attention: str) -> None:
    """Refuse a method that edits attention on a kernel that takes no additive masks.

    Args:
        attention: The attention implementation; "auto" where it is not known yet.

    Raises:
        UserError: If the method edits attention, and the kernel takes no such masks.
    """
    edits = method.vision_layers or set(method.declared()) & (IN_ATTENTION | {"image_tokens"})
    if edits and attention not in ("auto", "sdpa", "eager"):
        raise UserError(
            f"method {method.name!r} edits attention, and {attention} takes no masks; "
            "choose attn_implementation=sdpa"
        )


def needs_cls(name: str, config: Any, model: str) -> None:
    """Refuse a vision tower that has no CLS token in front of its patches.

    Raises:
        UserError: If the tower has no CLS token.
    """
    tower = getattr(config, "vision_config", None)
    kind = getattr(tower, "model_type", "none")
    if kind not in _CLS_TOWERS:
        raise UserError(
            f"method {name!r} reads the CLS token's attention, and the vision tower of "
            f"{model!r} ({kind}) has no CLS token; towers that do: {', '.join(_CLS_TOWERS)}"
        )


def needs_patch_tokens(name: str, config: Any, model: str) -> None:
    """Refuse a model whose image tokens are not the vision tower's patches, one for one.

    Raises:
        UserError: If they are something else.
    """
    made_of = {"merged": "several patches each", "query": "learned queries", "keys": "no tokens"}
    if (token := family_of(config).token) in made_of:
        raise UserError(
            f"method {name!r} chooses among patches of the vision tower, and the image tokens of "
            f"{model!r} are {made_of[token]}; models with a token a patch: LLaVA's families"
        )


def needs_one_feature_layer(name: str, config: Any, model: str) -> None:
    """Refuse a model whose language model reads several layers of the vision tower.

    Raises:
        UserError: If it does not read exactly one layer.
    """
    if not isinstance(getattr(config, "vision_feature_layer", None), int):
        raise UserError(
            f"method {name!r} drops patches before the vision layer the language model reads, and "
            f"{model!r} does not read exactly one"
        )


def needs_shared_rows(name: str, config: Any, model: str) -> None:
    """Refuse a model whose layers attend to the image or to text, but not to both.

    Raises:
        UserError: If it has layers of its own for the image.
    """
    if family_of(config).token == "keys":
        raise UserError(
            f"method {name!r} weighs image tokens against text tokens in one row of attention, and "
            f"{model!r} has layers for the image alone; give a model with image tokens in prompts"
        )


def needs_early_logits(name: str, model: VisionLanguageModel) -> None:
    """Refuse a model whose logits are not its vocabulary head on its last normed hidden state.

    Raises:
        UserError: If reading logits off the last layer does not give the model's own.
    """
    import torch
    from PIL import Image

    inputs = model.encode([model.render("?")], [Image.new("RGB", (64, 64))])
    seen: list[Tensor] = []

    def keep(_: Any, args: Any, kwargs: Any) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    handle = model.final_norm.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        with torch.no_grad():
            own = model.model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1].float()
            read = model.read_off(seen[-1][:, -1]).float() if seen else None
    finally:
        handle.remove()
    if read is None or not torch.allclose(read, own, atol=1e-2, rtol=1e-2):
        raise UserError(
            f"method {name!r} reads logits off earlier layers, and the logits of {model.name!r} "
            "are not its vocabulary head applied to a normed hidden state"
        )


def needs_feed_forwards(name: str, model: VisionLanguageModel) -> None:
    """Refuse a model with no feed-forward networks to hook, in its layers or its vision tower's.

    Raises:
        UserError: If it has none.
    """
    if not (model.feed_forwards and model.tower.feed_forwards):
        raise UserError(
            f"method {name!r} edits what feed-forward networks give, and layers of {model.name!r} "
            "have none in a module of its own"
        )


def needs_text_first(name: str, model: VisionLanguageModel) -> None:
    """Refuse a model whose prompt starts with the image: its first token is not an attention sink.

    Raises:
        UserError: If its prompts start with the image.
    """
    from PIL import Image

    inputs = model.encode([model.render("?")], [Image.new("RGB", (64, 64))])
    if int(inputs["input_ids"][0, 0]) == model.image_token:
        raise UserError(
            f"method {name!r} scales attention to the prompt's first token, and a prompt of "
            f"{model.name!r} starts with the image; it needs a text token there"
        )


def needs_reached_layers(method: Any, model: VisionLanguageModel) -> None:
    """Refuse a method, or a part of one, none of whose layers can be reached in the model.

    Raises:
        UserError: If its layers do not exist, or have no attention that can be reached.
    """
    for part in method.methods or [method]:
        reached = {*model.self_attention, *(model.cross_attention if part.cross_attention else ())}
        named = set(part.layers(model.n_layers))
        highest = model.n_layers - ("hidden" not in part.declared())
        if IN_LAYERS & set(part.declared()) and not named <= set(range(highest + 1)):
            raise UserError(
                f"method {part.name!r} acts in layers {_listed(named)}; {model.name!r} has layers "
                f"0 to {model.n_layers - 1}"
            )
        if part.attention_in_tower:
            needs_tower_attention(part.name, model)
        elif IN_ATTENTION & set(part.declared()) and not reached & named:
            raise UserError(
                f"method {part.name!r} acts in layers {_listed(named)}; the attention of "
                f"{model.name!r} can be reached in {_listed(reached)}"
            )


def needs_tower_attention(name: str, model: VisionLanguageModel) -> None:
    """Refuse a vision tower whose attention cannot be reached, or mixes images in a row.

    Raises:
        UserError: If attention of one of its layers is not called for each image apart.
    """
    import torch
    import transformers
    from PIL import Image

    from halluc.interventions.attention_switch import SeamError, kernel_of, switched
    from halluc.interventions.tower_rows import images_of_rows
    from halluc.models.embed_prompt import reads_encoded

    kernel, seen = model.attention_of("vision"), dict[int, list[tuple[int, int]]]()

    def attend(module: Any, query: Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.setdefault(id(module), []).append((query.shape[0], query.shape[2]))
        return kernel_of(kernel, module)(module, query, *args, **kwargs)

    inputs = model.encode([model.render("?")] * 2, [Image.new("RGB", (64, 64))] * 2)
    try:
        with torch.no_grad(), switched(model, "vision", attend):
            model.encode_images(inputs)
    except SeamError:
        seen.clear()
    found = [seen.get(id(module), []) for module in model.tower.attention_modules]
    apart = all(calls for calls in found)
    for calls in found:
        start = 0
        for rows, tokens in calls:
            apart &= images_of_rows(model, inputs, 2, rows, start, tokens) is not None
            start += tokens
    if _pads_images(model):
        raise UserError(
            f"method {name!r} edits attention in the vision tower, and {model.name!r} pads images "
            "there to the largest of a batch"
        )
    if not reads_encoded(model, inputs):
        raise UserError(
            f"method {name!r} edits attention in the vision tower, and transformers "
            f"{transformers.__version__} does not read encoded images of {model.name!r} as it "
            "reads pixels; update transformers"
        )
    if not apart:
        raise UserError(
            f"method {name!r} edits attention in the vision tower, and that of {model.name!r} "
            "cannot be reached for each image apart"
        )


def _pads_images(model: VisionLanguageModel) -> bool:
    """Return whether the vision tower sees padding that depends on other images of a batch."""
    from PIL import Image

    images = [Image.new("RGB", size) for size in ((64, 64), (64, 32))]
    inputs = model.encode([model.render("?")] * 2, images)
    if "aspect_ratio_mask" in inputs:  # tiles of an image stand in one row, with some for padding
        return True
    mask = inputs.get("pixel_attention_mask")
    if mask is None or mask.dim() < 4:  # none, or of patches [N, P], which stand apart
        return False
    seen = mask.flatten(-2).bool()
    return bool((seen.any(-1) & ~seen.all(-1)).any())  # tiles that are not there do not count


def _listed(layers: Collection[int]) -> str:
    return ", ".join(map(str, sorted(layers))) or "none"


def needs_heads(name: str, heads: Heads, model: VisionLanguageModel) -> None:
    """Refuse heads the model does not have.

    Raises:
        UserError: If a layer or a head does not exist.
    """
    for layer, chosen in heads.items():
        if not 0 <= layer < model.n_layers:
            raise UserError(
                f"method {name!r}: heads names layer {layer}; {model.name!r} has layers 0 to "
                f"{model.n_layers - 1}"
            )
        for head in chosen:
            if not 0 <= head < model.n_heads:
                raise UserError(
                    f"method {name!r}: heads names head {head} of layer {layer}; {model.name!r} "
                    f"has heads 0 to {model.n_heads - 1}"
                )


def needs_layers(name: str, first: int, last: int, model: VisionLanguageModel) -> None:
    """Refuse a range of layers, both ends included, that is empty or leaves the model.

    Raises:
        UserError: If the range is empty, or names a layer that does not exist.
    """
    if not 0 <= first <= last < model.n_layers:
        raise UserError(
            f"method {name!r}: first_layer {first} to last_layer {last} is not a range within the "
            f"layers 0 to {model.n_layers - 1} of {model.name!r}"
        )


def head_mask(like: Tensor, heads: Heads | None, layer: int, n_heads: int) -> Tensor:
    """Mark the chosen heads of a layer, bool [1, H, 1, 1] on the device of `like`.

    Args:
        heads: By layer; None chooses all.
    """
    chosen = range(n_heads) if heads is None else heads.get(layer, ())
    mask = like.new_zeros(n_heads).bool()
    mask[list(chosen)] = True
    return mask.view(1, n_heads, 1, 1)
