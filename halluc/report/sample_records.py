"""What the page shows of samples: prompt, truth, each run's answer, and pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.images import BadImage

if TYPE_CHECKING:
    from halluc.store import Scored
    from halluc.types import Sample

THUMBNAIL = 160
"""The longer side of a thumbnail in pixels."""


@dataclass
class Pictures:
    """Thumbnails as WebP in base64, each image once.

    Attributes:
        most: How many images get one.
        coded: By image.
    """

    most: int
    coded: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, sample: Sample) -> None:
        """Keep a thumbnail of a sample's image, if it can be read and there is room."""
        if name in self.coded or len(self.coded) >= self.most:
            return
        try:
            image = sample.load_image()
        except (BadImage, UserError, OSError):
            return
        image = image.convert("RGB")
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        drawn = io.BytesIO()
        image.save(drawn, "WEBP", quality=70, method=4)
        self.coded[name] = base64.b64encode(drawn.getvalue()).decode()


def sample_data(
    scored: Sequence[Scored], most: int, pictures: Pictures | None
) -> list[dict[str, Any]]:
    """Describe the samples of each benchmark, with the answers of all runs to them.

    Args:
        scored: Scores of runs; those of the same samples by the same rule are put together.
        most: How many samples of each benchmark are shown, the first ones.
        pictures: Receives thumbnails; None for none.
    """
    sets: dict[str, list[Scored]] = {}
    for one in scored:
        sets.setdefault(one.scores.key, []).append(one)
    return [_set(key, runs, most, pictures) for key, runs in sets.items()]


def _set(key: str, runs: Sequence[Scored], most: int, pictures: Pictures | None) -> dict[str, Any]:
    first = runs[0]
    asked = first.asked_samples[:most]
    known = _samples(first) if pictures is not None else {}
    samples = []
    for sample in asked:
        name = f"{first.name}/{sample.image_id}"
        if pictures is not None and sample.id in known:
            pictures.add(name, known[sample.id])
        samples.append(
            {
                "id": sample.id,
                "image": name,
                "group": sample.group,
                "prompt": sample.prompt,
                "target": sample.target if isinstance(sample.target, str) else None,
            }
        )
    ids = [sample.id for sample in asked]
    return {
        "key": key,
        "benchmark": first.name,
        "protocol": first.scores.scoring.protocol,
        "task": first.scores.asked.task,
        "images": first.scores.n_images,
        "asked": len(first.asked_samples),
        "samples": samples,
        "runs": [{"run": run.run.path.name, "answers": _answers(run, ids)} for run in runs],
    }


def _answers(scored: Scored, ids: Iterable[str]) -> list[dict[str, Any] | None]:
    """Return a run's answer to each sample; None where it failed or was withheld."""
    said = {reading.id: reading for reading in scored.readings}
    reader = scored.reader
    found: list[dict[str, Any] | None] = []
    for id in ids:
        reading = said.get(id)
        if reading is None:
            found.append(None)
            continue
        answer: dict[str, Any] = {"text": reading.text, "right": reader.right(reading)}
        if marks := reader.marks(reading):
            answer["marks"] = [list(mark) for mark in marks]
        if missed := reader.missed(reading):
            answer["missed"] = missed
        if reading.prediction is None:
            answer["unparseable"] = True
        found.append(answer)
    return found


def _samples(scored: Scored) -> Mapping[str, Sample]:
    """Return the benchmark's samples, with their images, where its data is on this machine."""
    if scored.run.asker.record is not None:
        return {}
    try:
        return {sample.id: sample for sample in scored.reader.samples()}
    except (UserError, OSError):
        return {}
