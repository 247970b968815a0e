"""Adapter of every vision-language model: its layers, heads and image columns."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from halluc.config import content_hash
from halluc.models.encoding import PromptEncoder
from halluc.models.fingerprint import folder_hash
from halluc.models.tokens import on_keys
from halluc.models.vision_tower import Tower

_DOWN_PROJECTIONS = ("down_proj", "fc2", "w2")
_FINAL_NORMS = ("norm", "final_layernorm", "final_layer_norm", "embedding_norm")


class VisionLanguageModel(PromptEncoder):
    """A loaded model and its processor; `PromptEncoder` makes its inputs."""

    @cached_property
    def decoder(self) -> nn.Module:
        """The language model's stack of layers."""
        decoder, before = self.model.get_decoder(), None
        while not hasattr(decoder, "layers") and decoder is not before:  # it may be its own
            decoder, before = decoder.get_decoder(), decoder
        stack: nn.Module = decoder
        return stack

    @cached_property
    def tower(self) -> Tower:
        """The vision tower."""
        return Tower(self.model)

    @cached_property
    def layers(self) -> list[nn.Module]:
        """The language model's layers, in order."""
        return list(self.decoder.layers)  # type: ignore[arg-type]

    @cached_property
    def n_layers(self) -> int:
        """Number of the language model's layers."""
        return len(self.layers)

    @cached_property
    def n_heads(self) -> int:
        """Number of query heads of each of them."""
        count: int = self.model.config.get_text_config().num_attention_heads
        return count

    @cached_property
    def self_attention(self) -> dict[int, nn.Module]:
        """The self-attention of each layer that has one; convolution layers, for one, do not."""
        return self._named("self_attn")

    @cached_property
    def cross_attention(self) -> dict[int, nn.Module]:
        """The attention of each layer whose keys are the image alone."""
        return self._named("cross_attn")

    @cached_property
    def feed_forwards(self) -> dict[int, nn.Module]:
        """The feed-forward network of each layer that has one in a module of its own."""
        return self._named("mlp") | self._named("feed_forward")

    @cached_property
    def down_projections(self) -> dict[int, str]:
        """The name in `model` of the weight [D, F] each feed-forward network ends with, by layer.

        Layers whose network has several such weights, or one by another name, are left out.
        """
        names = {id(weight): name for name, weight in self.model.named_parameters()}
        by_layer: dict[int, str] = {}
        for i, layer in enumerate(self.layers):
            network = self.feed_forwards.get(i, layer)  # OPT's is not a module of its own
            ends = (getattr(network, name, None) for name in _DOWN_PROJECTIONS)
            weights = [end.weight for end in ends if isinstance(end, nn.Linear)]
            if weights and id(weights[0]) in names:
                by_layer[i] = names[id(weights[0])]
        return by_layer

    @cached_property
    def final_norm(self) -> nn.Module:
        """The norm between the last layer and the vocabulary head; the identity without one."""
        named = (getattr(self.decoder, name, None) for name in _FINAL_NORMS)
        norm = next((module for module in named if isinstance(module, nn.Module)), None)
        return norm if norm is not None else nn.Identity()

    @property
    def n_hooks(self) -> int:
        """How many forward hooks are set on its modules."""
        modules = self.model.modules()
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)

    @property
    def end_tokens(self) -> list[int]:
        """Ids of the tokens that end an answer; those of the tokenizer if the model names none."""
        end = self.model.generation_config.eos_token_id
        end = self.processor.tokenizer.eos_token_id if end is None else end
        return list(end) if isinstance(end, list) else [] if end is None else [int(end)]

    def read_off(self, hidden: Tensor, normed: bool = True) -> Tensor:
        """Read next-token logits off a residual stream, as the model does at its end.

        Args:
            hidden: [..., D].
            normed: Apply the final norm first.

        Returns:
            [..., V].
        """
        config = self.model.config.get_text_config()
        if normed:
            hidden = self.final_norm.forward(hidden)  # past hooks, which serve passes alone
        logits: Tensor = self.model.get_output_embeddings()(hidden)
        logits = logits * getattr(config, "logit_scale", 1.0)
        cap = getattr(config, "final_logit_softcapping", None)
        return logits if cap is None else (logits / cap).tanh() * cap

    def _named(self, name: str) -> dict[int, nn.Module]:
        layers = enumerate(self.layers)
        return {i: getattr(layer, name) for i, layer in layers if hasattr(layer, name)}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the folder where weights are local files, the hub's commit where they are not."""
        folder = Path(self.model.name_or_path)
        if folder.is_dir():
            return folder_hash(folder)
        return str(getattr(self.model.config, "_commit_hash", None) or self.revision or "unknown")

    @cached_property
    def image_processing(self) -> str:
        """The aspect, the image processor's class, and a hash of its settings: size, crop, mean."""
        processor = self.processor.image_processor
        settings = content_hash(json.loads(processor.to_json_string()))
        return f"{self.image_aspect} {type(processor).__name__} {settings}"

    @property
    def loaded_as(self) -> dict[str, str]:
        """The dtype, the kind of device and the attention it really runs with."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        attention = self.text_attention
        return {"dtype": dtype, "device": self.device.type, "attn_implementation": attention}

    def attention_key(self, part: str) -> str:
        """Return the name of the sub-config that governs attention in "text" or "vision"."""
        return f"{part}_config"

    def attention_of(self, part: str) -> str:
        """Return the name of the attention implementation now serving "text" or "vision"."""
        name: str = getattr(self.model.config, self.attention_key(part))._attn_implementation
        return name

    @property
    def text_attention(self) -> str:
        """The language model's attention implementation."""
        return self.attention_of("text")

    def image_columns(
        self, layer: int, n_keys: int, image_mask: Tensor, n_tokens: int | None = None
    ) -> Tensor:
        """Mark the keys of a layer that are image tokens.

        Args:
            layer: 0-based layer index; families differ from layer to layer.
            n_keys: K, keys the layer sees in this pass.
            image_mask: Image tokens of the prompt, bool [B, L].
            n_tokens: Tokens read so far, more than K in a sliding window; K if None.

        Returns:
            bool [B, K]; generated tokens are never image tokens. Where the image has layers of
            its own, all keys of those layers are, and no keys of the others.
        """
        if layer in self.cross_attention:
            return image_mask.new_ones(len(image_mask), n_keys)
        if self.family.token == "keys":
            return image_mask.new_zeros(len(image_mask), n_keys)
        return on_keys(image_mask, n_keys, n_tokens or n_keys)
