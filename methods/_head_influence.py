"""The influence of each head on hallucinated words, measured on drawn demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from halluc.interventions import At, BatchState, Method, MethodParams
from halluc.methods._text_heads import cut, text_keys

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration.demonstrations import Demonstration
    from halluc.models import VisionLanguageModel

Influences = dict[tuple[int, int], float]
"""By (layer, head)."""

_BATCH = 8


class _Cut(Method):
    """Zeroes one head's attention to text in the last row, however much it is."""

    name = "cut"
    rows = "last"

    def __init__(self, layer: int, head: int) -> None:
        super().__init__(MethodParams())
        self.place = layer, head

    def layers(self, n_layers: int) -> list[int]:
        return [self.place[0]]

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        heads = weights.new_zeros(1, at.n_heads, 1, 1).bool()
        heads[:, self.place[1]] = True
        return cut(weights, heads, text_keys(at)[:, None, None], 0.0)


def where_captions_part(
    model: VisionLanguageModel, shown: Sequence[Demonstration]
) -> tuple[dict[str, Tensor], Tensor] | None:
    """Read demonstrations up to the token in which their captions part.

    Returns:
        Model inputs of the N whose captions the tokenizer tells apart, and the tokens that follow
        there in the true and in the hallucinated caption, int [N, 2]; None if it tells none apart.
    """
    from halluc.models.inputs import kept, of_images

    rows, follow = [], []
    for one in shown:
        start = model.render(one.prompt)
        start += "" if start[-1:].isspace() else " "
        true, wrong = (
            model.encode([start + caption], [one.image])
            for caption in (one.truthful, one.hallucinated)
        )
        pairs = zip(true["input_ids"][0].tolist(), wrong["input_ids"][0].tolist(), strict=False)
        n = next((place for place, (a, b) in enumerate(pairs) if a != b), None)
        if n is not None:
            keep = true["attention_mask"].bool()
            keep[:, n:] = False
            rows.append(of_images(true) | kept(true, keep, model.pad_token))
            follow.append([int(one["input_ids"][0, n]) for one in (true, wrong)])
    if not rows:
        return None
    inputs = model.stacked(*rows)
    return inputs, inputs["input_ids"].new_tensor(follow)


def influences(model: VisionLanguageModel, shown: Sequence[Demonstration]) -> Influences:
    """Measure how far cutting each head's text takes hallucinated words down against true ones.

    The mean fall of log p(hallucinated) - log p(true) where a demonstration's captions part; 0 for
    all heads of a model whose words are not those of the demonstrations.
    """
    import torch

    from halluc.interventions.engine import intervene

    parts = (
        where_captions_part(model, shown[start : start + _BATCH])
        for start in range(0, len(shown), _BATCH)
    )
    batches = [part for part in parts if part is not None]

    def lead(method: Method) -> Tensor:
        """How far hallucinated words are ahead of true ones [N]."""
        found = []
        for inputs, follow in batches:
            with torch.no_grad(), intervene(model, method, BatchState.of_inputs(model, inputs)):
                logits = model.model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1]
            true, wrong = logits.float().gather(1, follow).unbind(1)
            found.append(wrong - true)
        return torch.cat(found)

    heads = [(layer, head) for layer in model.self_attention for head in range(model.n_heads)]
    if not batches:
        return dict.fromkeys(sorted(heads), 0.0)
    whole = lead(Method(MethodParams()))
    return {place: float((whole - lead(_Cut(*place))).mean()) for place in sorted(heads)}
