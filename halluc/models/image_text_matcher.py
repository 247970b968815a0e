"""Image-text matcher: how well a text fits an image, and which patches say so.

Any `BlipForImageTextRetrieval` serves; the one for drawn scenes ships with the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from scipy import ndimage
from torch import Tensor
from transformers import BlipForImageTextRetrieval

from halluc.models.auxiliary import AuxiliaryModel, find_auxiliary
from halluc.world import MATCHER

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST_TOKENS = 35  # BLIP's matchers were trained on texts cut there
_BLUR = 0.02  # sigma of the blur, as a share of the longer side


def relevance(attention: Tensor, gradient: Tensor, mask: Tensor) -> Tensor:
    """Compute GradCAM of the image patches, over all words of the text.

    Args:
        attention: Cross-attention of the text to CLS and patches [B, H, T, 1 + P].
        gradient: The match logit's gradient with respect to it, of the same shape.
        mask: Real tokens, right-padded, bool [B, T]; the first and the last one are not words.

    Returns:
        Attention times positive gradient, averaged over heads and words [B, P].
    """
    position = torch.arange(mask.shape[1], device=mask.device)
    words = mask & (position > 0) & (position < mask.sum(1, keepdim=True) - 1)
    cam = (attention * gradient.clamp(min=0))[..., 1:].mean(1)
    share = words.to(cam) / words.sum(1, keepdim=True).clamp(min=1)
    return (cam * share[..., None]).sum(1)


def attention_map(relevance: Tensor, size: tuple[int, int]) -> Tensor:
    """Spread the patches' relevance over the image's pixels, as LAVIS' getAttMap does.

    It is normalised to 0..1, resized by cubic splines with black around it, blurred and normalised
    again.

    Args:
        relevance: [h, w].
        size: Height and width in pixels.

    Returns:
        [height, width] on the CPU; all zeros where no patch is more relevant than another.
    """
    patches = _normalised(relevance.double().cpu())
    zoom = [new / old for new, old in zip(size, patches.shape, strict=True)]
    grown = ndimage.zoom(patches.numpy(), zoom, order=3, mode="grid-constant", grid_mode=True)
    blurred = ndimage.gaussian_filter(grown.clip(0, 1), _BLUR * max(size))
    return _normalised(torch.from_numpy(blurred))


def _normalised(values: Tensor) -> Tensor:
    values = values - values.min()
    return values / values.max().clamp(min=torch.finfo(values.dtype).tiny)


def find_matcher(name: str, revision: str | None = None) -> AuxiliaryModel:
    """Look a matcher up: "glyph", a folder or a hub id.

    Raises:
        UserError: If it cannot be found or is not a BLIP matcher.
    """
    example = "Salesforce/blip-itm-base-coco"
    return find_auxiliary("matcher", name, revision, MATCHER, ("blip",), example)


class Matches(NamedTuple):
    """Images matched with texts.

    Attributes:
        relevance: Of each patch for its text [B, h, w].
        similarity: Cosine similarity of each image and its text [B].
    """

    relevance: Tensor
    similarity: Tensor


class Matcher:
    """A loaded matcher.

    Args:
        source: Which one.
        layer: The text encoder's layer whose cross-attention is read, 0-based.
        device: The device it runs on.

    Raises:
        UserError: If its weights or processor are missing or damaged.
    """

    def __init__(self, source: AuxiliaryModel, layer: int, device: torch.device | str) -> None:
        # Gradients cannot flow through inference tensors.
        with torch.inference_mode(False):
            self.processor, self.model = source.load(BlipForImageTextRetrieval, device)
        self.layer = layer

    @property
    def side(self) -> int:
        """Height and width in pixels of the images it sees."""
        side: int = self.model.config.vision_config.image_size
        return side

    def similarities(self, image: Image, texts: Sequence[str]) -> Tensor:
        """Return the cosine similarity of an image and each text, whole if it can be read [B]."""
        with torch.no_grad():
            return self._similarity(*self._together(image, texts))

    def chances(self, image: Image, texts: Sequence[str]) -> Tensor:
        """Return how probable it is that each text is about the image, by cross-attention [B]."""
        with torch.no_grad():
            seen, ids, mask = self._together(image, texts)
            hidden = self.model.text_encoder(
                input_ids=self.to_match(ids), attention_mask=mask, encoder_hidden_states=seen
            ).last_hidden_state
            chances: Tensor = self.model.itm_head(hidden[:, 0]).softmax(-1)[:, 1]
            return chances

    def _together(self, image: Image, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Encode the image once for all texts; return it, ids and mask."""
        most = self.model.config.text_config.max_position_embeddings
        inputs = self._inputs([image], texts, most)
        seen = self.model.vision_model(inputs["pixel_values"]).last_hidden_state
        return seen.expand(len(texts), -1, -1), inputs["input_ids"], inputs["attention_mask"]

    def _inputs(self, images: Sequence[Image], texts: Sequence[str], most: int) -> Any:
        """Prepare images and texts, padded on the right, of `most` tokens each at the most."""
        self.processor.tokenizer.padding_side = "right"
        return self.processor(
            images=list(images),
            text=list(texts),
            padding=True,
            truncation=True,
            max_length=most,
            return_tensors="pt",
        ).to(self.model.device)

    def match(self, images: Sequence[Image], texts: Sequence[str]) -> Matches:
        """Match each image with its text."""
        with torch.inference_mode(False), torch.enable_grad():
            inputs = self._inputs(images, texts, _MOST_TOKENS)
            ids, mask = inputs["input_ids"], inputs["attention_mask"]
            with torch.no_grad():
                seen = self.model.vision_model(inputs["pixel_values"]).last_hidden_state
                similarity = self._similarity(seen, ids, mask)
            attention, gradient = self._cross_attention(seen, ids, mask)
            patches = relevance(attention.detach(), gradient, mask.bool())
            config = self.model.config.vision_config
            grid = config.image_size // config.patch_size
            return Matches(patches.unflatten(1, (grid, grid)), similarity)

    def _similarity(self, seen: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        read = self.model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        image, text = self.model.vision_proj(seen[:, 0]), self.model.text_proj(read[:, 0])
        return torch.nn.functional.cosine_similarity(image, text, dim=-1)

    def _cross_attention(self, seen: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the layer's cross-attention and the match logits' gradient, [B, H, T, 1 + P]."""
        caught: list[Tensor] = []
        layer = self.model.text_encoder.encoder.layer[self.layer]
        hook = layer.crossattention.self.register_forward_hook(
            lambda _, args, output: caught.append(output[1])
        )
        try:
            hidden = self.model.text_encoder(
                input_ids=self.to_match(ids),
                attention_mask=mask,
                encoder_hidden_states=seen.requires_grad_(),
            ).last_hidden_state
        finally:
            hook.remove()
        logits = self.model.itm_head(hidden[:, 0])[:, 1]
        (gradient,) = torch.autograd.grad(logits.sum(), caught)
        return caught[0], gradient

    def to_match(self, ids: Tensor) -> Tensor:
        """Put [ENC], the last word of BLIP's embeddings, in front of texts to match.

        Hub tokenizers do not know it, and transformers' own forward leaves [CLS] there.

        Args:
            ids: [B, T].
        """
        last = self.model.config.text_config.vocab_size - 1
        if last < len(self.processor.tokenizer):
            return ids
        return torch.cat([torch.full_like(ids[:, :1], last), ids[:, 1:]], 1)
