"""Worker processes that open images and make model inputs of them, ahead of the model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_all_start_methods
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset

from halluc.decoding.batch_encoding import batch_of, moved
from halluc.errors import UserError

if TYPE_CHECKING:
    from halluc.interventions import Batch, Method
    from halluc.models import VisionLanguageModel
    from halluc.types import Sample

_MOST = 4
_CPU = torch.device("cpu")


def workers_for(model: VisionLanguageModel, wanted: int | None) -> int:
    """Decide how many workers to start: those asked for, or as many as save time.

    A model on the CPU needs all cores itself; on a GPU a question takes less time than its image.

    Args:
        wanted: What the user asked for; None for the default.

    Raises:
        UserError: If the system cannot fork, and workers were asked for.
    """
    if "fork" not in get_all_start_methods():
        if wanted:
            raise UserError("--workers: this system cannot fork processes; leave it at 0")
        return 0
    if wanted is not None:
        return wanted
    return min(_MOST, (os.cpu_count() or 1) - 1) if model.device.type == "cuda" else 0


def prefetched(
    model: VisionLanguageModel,
    method: Method,
    batches: Sequence[Sequence[Sample]],
    seed: int,
    workers: int,
) -> Iterator[Batch | None]:
    """Yield each batch encoded, in order; None where the caller is to encode it.

    Workers are forked, so that samples and model need not be sent to them; they share its memory
    and never touch a GPU. A batch that they cannot prepare is left to the caller, in whose process
    errors are raised.

    Args:
        seed: The run's.
        workers: How many processes.
    """
    if not workers or len(batches) < 2:
        yield from (None for _ in batches)
        return
    loader: DataLoader[Any] = DataLoader(
        _Batches(model, method, batches, seed),
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        multiprocessing_context="fork",
    )
    with _forking():
        started = iter(loader)
    for ready in started:
        yield None if ready is None else moved(ready, model.device)


class _Batches(Dataset[Any]):
    def __init__(
        self,
        model: VisionLanguageModel,
        method: Method,
        batches: Sequence[Sequence[Sample]],
        seed: int,
    ) -> None:
        self.model, self.method, self.batches, self.seed = model, method, batches, seed

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch | None:
        try:
            return batch_of(self.model, self.method, self.batches[number], self.seed, _CPU)
        except Exception:  # raised again where it is dealt with
            return None


def _as_it_is(ready: Any) -> Any:
    return ready


@contextmanager
def _forking() -> Iterator[None]:
    """Set the parallelism of tokenizers, which otherwise warn in each forked process."""
    key = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(key)
    os.environ[key] = before or "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[key]
