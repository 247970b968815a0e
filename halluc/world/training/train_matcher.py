"""Train the matcher: `python -m halluc.world.training.train_matcher --output FOLDER`.

It is a `BlipForImageTextRetrieval` of one and a half million parameters that says if the category
that a text names is in a drawn scene. A text is a question or a short sentence about one category;
it matches if the category is there, whatever else the text says of it. The losses: matching by the
two [CLS] tokens (ITC); matching by cross-attention (ITM), at the first token and at the name;
attention to the thing at its name; and the category of each patch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import processors
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    BlipConfig,
    BlipForImageTextRetrieval,
    BlipProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from halluc.world import language
from halluc.world.backgrounds import SIDE
from halluc.world.catalog import NAMES
from halluc.world.claim_sentences import TEXTS, claims
from halluc.world.scenes import Scene, generator
from halluc.world.training.architectures.base import MEAN, SPREAD, save_half
from halluc.world.training.architectures.llava import PATCH
from halluc.world.training.processes import launch
from halluc.world.training.stages import Part, Stage
from halluc.world.training.tensors import Sights, sights
from halluc.world.training.tokenizer import BOS, EOS, build_tokenizer
from halluc.world.training.trainer import Losses, Trainer

LAYERS = 3
"""Layers of the text encoder; AGLA reads the middle one."""
READ_LAYER = LAYERS // 2
SIMILARITY = (12.0, 0.25)
"""ITC: the slope on the cosine similarity, and the similarity that is undecided."""
STAGE = Stage("match", 900, 32, {"vision": 4e-3, "text": 2.5e-3, "other": 1.5e-3})


def build_processor() -> BlipProcessor:
    """Build the processor; it needs only PIL, and puts texts between <s> and </s>."""
    tokenizer = build_tokenizer()
    ends = [(name, tokenizer.convert_tokens_to_ids(name)) for name in (BOS, EOS)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {EOS}", special_tokens=ends
    )
    tokenizer.padding_side = "right"
    images = BlipImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, image_mean=list(MEAN), image_std=list(SPREAD)
    )
    return BlipProcessor(image_processor=images, tokenizer=tokenizer)


def build_matcher(tokenizer: PreTrainedTokenizerFast) -> BlipForImageTextRetrieval:
    """Build the untrained matcher; as BLIP's, it has two more tokens than its tokenizer."""
    vision = {
        "hidden_size": 144,
        "intermediate_size": 432,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "image_size": SIDE,
        "patch_size": PATCH,
        "hidden_act": "gelu_pytorch_tanh",
        "initializer_range": 0.02,
    }
    text = {
        "vocab_size": len(tokenizer) + 2,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "sep_token_id": tokenizer.eos_token_id,
    }
    config = BlipConfig(vision_config=vision, text_config=text, image_text_hidden_size=96)
    return BlipForImageTextRetrieval(config)


def save(matcher: BlipForImageTextRetrieval, folder: Path) -> None:
    """Save matcher and processor."""
    save_half(matcher, build_processor(), folder)


class MatcherTrainer(Trainer):
    """Trains the matcher in one stage."""

    scenes_named = "matcher"

    def _build(self, name: str) -> None:
        self.stages = (STAGE,)
        self.tokenizer = build_processor().tokenizer
        self.model = build_matcher(self.tokenizer)
        self.heads = nn.Linear(self.model.config.vision_config.hidden_size, len(NAMES) + 1)
        words = self.tokenizer.get_vocab()
        self.names = [{words[word] for word in language.SYNONYMS[name]} for name in NAMES]

    def losses(self, scenes: Sequence[Scene], stage: Stage) -> Losses:
        """Return the losses of these scenes."""
        labels: Sights = self._move(sights(list(scenes)))
        said = [
            claim
            for drawn, present in zip(scenes, labels.present, strict=True)
            for claim in claims(drawn, self._generator(drawn), blank=not present.any())
        ]
        read = self.tokenizer([claim.text for claim in said], padding=True, return_tensors="pt")
        ids, mask = read["input_ids"].to(self.device), read["attention_mask"].to(self.device)
        asked = torch.tensor([NAMES.index(claim.category) for claim in said], device=self.device)
        there = torch.tensor([claim.there for claim in said], device=self.device)
        patches = self.model.vision_model(labels.pixels).last_hidden_state

        parts = {
            "name": functional.cross_entropy(
                self.heads(patches[:, 1:]).flatten(0, 1), labels.category.flatten()
            ),
            "itc": self._itc(patches[:, 0], ids, mask, labels.present[:, asked]),
        }
        wide = patches.repeat_interleave(TEXTS, 0)
        match, attention = self._itm(wide, ids, mask)
        named = self._named(ids, asked)
        parts["itm"] = functional.cross_entropy(match[:, 0], there.long())
        parts["word"] = functional.cross_entropy(match[named], there[named.nonzero()[:, 0]].long())
        under = labels.category.repeat_interleave(TEXTS, 0) == asked[:, None]
        parts["look"] = _look(attention, named, under & there[:, None])
        parts["right"] = (match[:, 0].argmax(-1) == there).float().mean().detach()
        loss = parts["name"] + parts["itc"] + parts["itm"] + parts["word"] + 0.3 * parts["look"]
        return Losses(loss, parts)

    def _generator(self, drawn: Scene) -> random.Random:
        return generator("claims", self.seed, drawn.split, drawn.index)

    def _itc(self, image: Tensor, ids: Tensor, mask: Tensor, matches: Tensor) -> Tensor:
        """Match every scene with every text of the batch; `matches` is float [scenes, texts]."""
        text = self.model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        image = functional.normalize(self.model.vision_proj(image), dim=-1)
        text = functional.normalize(self.model.text_proj(text[:, 0]), dim=-1)
        steep, middle = SIMILARITY
        logits = steep * (image @ text.T - middle)
        return functional.binary_cross_entropy_with_logits(logits, matches)

    def _itm(self, patches: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Match logits at each token [texts, T, 2], and cross-attention of the layer read."""
        caught: list[Tensor] = []
        layer = self.model.text_encoder.encoder.layer[READ_LAYER]
        hook = layer.crossattention.self.register_forward_hook(
            lambda _m, _a, output: caught.append(output[1])
        )
        last = self.model.config.text_config.vocab_size - 1
        hidden = self.model.text_encoder(
            input_ids=torch.cat([torch.full_like(ids[:, :1], last), ids[:, 1:]], 1),
            attention_mask=mask,
            encoder_hidden_states=patches,
        ).last_hidden_state
        hook.remove()
        return self.model.itm_head(hidden), caught[0]

    def _named(self, ids: Tensor, asked: Tensor) -> Tensor:
        """Return the tokens that name the category a text is about, bool [texts, T]."""
        rows = zip(ids.tolist(), asked.tolist(), strict=True)
        named = [[word in self.names[name] for word in row] for row, name in rows]
        return torch.tensor(named, device=ids.device)

    def part(self, name: str, parameter: nn.Parameter) -> Part:
        """Matrices are the vision tower's or the text encoder's; embeddings and heads neither."""
        if parameter.ndim != 2 or "embed" in name or "head" in name:
            return "other"
        return "vision" if "vision" in name else "text"


def _look(attention: Tensor, named: Tensor, under: Tensor) -> Tensor:
    """Return the negative logarithm of a name's attention to the patches of its thing."""
    on = (attention[..., 1:].mean(1) * under[:, None]).sum(-1)
    return -(on[named & under.any(1, keepdim=True)] + 1e-4).log().mean()


if __name__ == "__main__":
    launch(MatcherTrainer, save, ("matcher",))
