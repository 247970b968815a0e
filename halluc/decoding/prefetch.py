"""Worker processes that open images and make model inputs of them, ahead of the model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_all_start_methods
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset

from halluc.decoding.batch_encoding import Prompts, prompts
from halluc.errors import UserError

if TYPE_CHECKING:
    from halluc.models import VisionLanguageModel
    from halluc.types import Sample

_MOST = 4
_CPU = torch.device("cpu")


def workers_for(model: VisionLanguageModel, asked: int | None) -> int:
    """How many workers to start: those asked for, or what pays.

    A model on the CPU needs all cores itself; on a GPU a question takes less time than its image.

    Raises:
        UserError: If the system cannot fork, and workers were asked for.
    """
    if "fork" not in get_all_start_methods():
        if asked:
            raise UserError("--workers: this system cannot fork processes; leave it at 0")
        return 0
    if asked is not None:
        return asked
    return min(_MOST, (os.cpu_count() or 1) - 1) if model.device.type == "cuda" else 0


def ahead(
    model: VisionLanguageModel, batches: Sequence[Sequence[Sample]], workers: int
) -> Iterator[Prompts | None]:
    """The prompts of each batch in order, None where the caller is to make them.

    Workers are forked, so that samples and model need not be sent to them; they share its memory
    and never touch a GPU. A batch that they cannot prepare is left to the caller, in whose process
    errors are raised.
    """
    if not workers or len(batches) < 2:
        yield from (None for _ in batches)
        return
    loader: DataLoader[Any] = DataLoader(
        _Batches(model, batches), batch_size=None, num_workers=workers, collate_fn=_as_it_is,
        multiprocessing_context="fork",
    )  # fmt: skip
    with _forking():
        started = iter(loader)
    for ready in started:
        yield None if ready is None else ready.to(model.device)


class _Batches(Dataset[Any]):
    def __init__(self, model: VisionLanguageModel, batches: Sequence[Sequence[Sample]]) -> None:
        self.model, self.batches = model, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Prompts | None:
        try:
            return prompts(self.model, self.batches[number], _CPU)
        except Exception:  # raised again where it is dealt with
            return None


def _as_it_is(ready: Any) -> Any:
    return ready


@contextmanager
def _forking() -> Iterator[None]:
    """Tokenizers warn in each forked process unless their parallelism is set."""
    key = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(key)
    os.environ[key] = before or "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[key]
