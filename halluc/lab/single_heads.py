"""What single heads do: what is lost without each, and whether names look at what they name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.lab.yes_no import ExistenceQuestion
    from halluc.models import VisionLanguageModel

_TOGETHER = 16


def laid_out(by_layer: dict[int, Tensor], like: Tensor) -> Tensor:
    """Lay values by layer, [N, H] each, into one tensor [N, L, H] with nan in other layers."""
    import torch

    whole = torch.full_like(like, torch.nan)
    for layer, values in by_layer.items():
        whole[:, layer] = values
    return whole


def without_each(
    model: VisionLanguageModel, asked: Sequence[ExistenceQuestion]
) -> tuple[Tensor, Tensor]:
    """Knock heads out one by one, in the rows behind the image.

    What the image is read into stays the model's own, so all heads share its reading.

    Returns:
        Attention to the image in the row that answers, and the log-odds of the right answer that
        are lost without the head, [N, L, H] each.
    """
    import torch

    from halluc.interventions.shared_prefix import Memo
    from halluc.lab.probes import Gaze, SilentHeads
    from halluc.lab.yes_no import batches, read

    reached = sorted({*model.self_attention, *model.cross_attention})
    images, margins = [], []
    for batch in batches(model, [question.sample for question in asked]):
        memo, gaze = Memo(), Gaze()
        whole = read(model, gaze, batch, memo).margin
        images.append(gaze.share("image", model.n_layers)[0])
        lost = torch.full_like(images[-1], torch.nan)
        for layer in reached:
            for head in range(model.n_heads):
                silent = SilentHeads({layer: (head,)}, behind_image=True)
                lost[:, layer, head] = whole - read(model, silent, batch, memo).margin
        margins.append(lost)
    right = torch.tensor([1.0 if question.present else -1.0 for question in asked])
    return torch.cat(images), right[:, None, None] * torch.cat(margins)


def retrieval(
    model: VisionLanguageModel, there: Sequence[ExistenceQuestion], grid: tuple[int, int]
) -> Tensor | None:
    """Measure how much the name of a thing attends to the patches that show it.

    Questions are cut behind the name, so that its last token is the last row.

    Returns:
        Shares of the row's attention [N, L, H]; None if prompts do not end with what they are cut
        at, because the model's processor puts tokens behind them.
    """
    import torch

    from halluc.interventions import Batch, BatchState
    from halluc.interventions.engine import intervene
    from halluc.lab.patches import showing
    from halluc.lab.probes import Gaze
    from halluc.models.embed_prompt import forwarded

    found = []
    for start in range(0, len(there), _TOGETHER):
        some = there[start : start + _TOGETHER]
        samples = [question.sample for question in some]
        images = [sample.load_image() for sample in samples]
        inputs = model.encode([cut_behind_name(model, one) for one in some], images)
        if not all(ends_with_name(model, inputs["input_ids"][n], q) for n, q in enumerate(some)):
            return None
        ids = [sample.id for sample in samples]
        batch = Batch(ids, [sample.prompt for sample in samples], images, ids, [()] * len(ids))
        gaze = Gaze({q.sample.id: showing(q.scene, grid, q.category) for q in some})
        memory = BatchState.of_inputs(model, inputs, batch)
        with torch.inference_mode(), intervene(model, gaze, memory):
            model.model(**forwarded(model, inputs), use_cache=False, logits_to_keep=1)
        found.append(gaze.share("chosen", model.n_layers)[0])
    return torch.cat(found)


def cut_behind_name(model: VisionLanguageModel, question: ExistenceQuestion) -> str:
    """Render a question, and cut it behind the name of what it asks for."""
    prompt = question.sample.prompt
    rendered = model.render(prompt)
    start = max(0, rendered.rfind(prompt))
    return rendered[: rendered.index(question.category, start) + len(question.category)]


def ends_with_name(model: VisionLanguageModel, ids: Tensor, question: ExistenceQuestion) -> bool:
    """Return whether a cut prompt's last token is of the name, or is a word it does not know."""
    tokenizer = model.processor.tokenizer
    if int(ids[-1]) == tokenizer.unk_token_id:
        return True
    last = tokenizer.decode(ids[-1:]).strip()
    return bool(last) and question.category.endswith(last)


def why_not(model: VisionLanguageModel, grid: tuple[int, int] | None) -> str:
    """Say why a model has no retrieval."""
    if grid is None:
        return f"the image tokens of {model.name} have no known place in the picture"
    return f"the processor of {model.name} puts tokens behind a prompt"
