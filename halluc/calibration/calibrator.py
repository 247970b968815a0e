"""The samples a method is calibrated on, and how well a method does on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import batch_of
from halluc.decoding.generation import generate
from halluc.decoding.logits_processors import Entropy, YesNo
from halluc.types import Sample

if TYPE_CHECKING:
    from halluc.interventions import Method
    from halluc.models import VisionLanguageModel


@dataclass(frozen=True)
class Measure:
    """Quality of a model with a method on the samples.

    Attributes:
        accuracy: Share of yes/no questions whose likelier answer is right; None without labels.
        entropy: Mean entropy of the first token's distribution, nats.
    """

    accuracy: float | None
    entropy: float

    @property
    def merit(self) -> float:
        """The number a search maximises: accuracy where labels are known, else low entropy."""
        return -self.entropy if self.accuracy is None else self.accuracy - 1e-3 * self.entropy


@dataclass(frozen=True)
class Calibrator:
    """A model and the few samples to calibrate on.

    Attributes:
        samples: Yes/no questions with targets "yes" and "no", or prompts without targets.
        recalibrate: Measure even what is published for the checkpoint.
    """

    model: VisionLanguageModel
    samples: tuple[Sample, ...]
    recalibrate: bool = False
    batch_size: int = 32

    @property
    def labelled(self) -> bool:
        """True if every sample has a right answer."""
        return all(sample.target in ("yes", "no") for sample in self.samples)

    def measure(self, method: Method) -> Measure:
        """Read the first token's distribution of every sample."""
        right, entropies = 0, []
        for samples in _batches(self.samples, self.batch_size):
            entropy, yes_no = Entropy(), YesNo(self.model.yes_no_tokens or ([], []))
            generate(
                self.model,
                method,
                batch_of(self.model, method, samples),
                DecodingConfig(),
                max_new_tokens=1,
                watch=[entropy, yes_no] if self.labelled else [entropy],
            )
            entropies += entropy.found[: len(samples)]
            if self.labelled:
                pairs = zip(yes_no.found, samples, strict=False)
                right += sum((yes > no) == (s.target == "yes") for (yes, no), s in pairs)
        mean = sum(entropies) / len(entropies)
        return Measure(right / len(self.samples) if self.labelled else None, mean)


def _batches(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]
