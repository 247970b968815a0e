"""A trace as a page shows it: one file with the image, words, heat, shares and the logit lens.

Numbers are packed: heat as bytes with a peak for each map, shares as 16-bit integers, so that an
answer of 70 words of a model with 32 layers and 576 image tokens takes about 1 MB. Heads are kept
apart where that takes at most `MOST` bytes, layers likewise; else their mean is.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from halluc.attend.key_shares import KINDS
from halluc.errors import UserError
from halluc.files import write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from halluc.attend.tracing import Seen, Trace

MOST = 1_000_000
"""Bytes of heat of an answer above which heads, then layers, are averaged."""
SIDE = 640
"""Most pixels along a side of the picture; COCO's are no larger."""
NAME = "panel.json"
_WHOLE, _NONE = 65534, 65535
"""A share of 1, and none, as they are packed."""

Coded = Annotated[str, Field(pattern="^[A-Za-z0-9+/]*={0,2}$")]
"""Base64: a browser is given it as a picture or as numbers."""


class View(BaseModel):
    """What one method looked at while an answer was fed to it.

    Attributes:
        method, text: Who looked, and the answer.
        words: Its W words.
        layers, heads: How many layers and heads the maps keep apart; 1 where they are averaged.
        boxes: Left, top, right and bottom of each of n image tokens in pixels; None of one without
            a place. None where no place is known, and there are no maps.
        heat: Bytes [W, layers, heads, n]; 255 is the map's peak.
        peaks: The peak of each map, a share of a row's attention, float32 [W, layers, heads].
        sinks: Which image tokens are sinks, bytes 0 and 1 [all layers, n].
        shares: Of `KINDS`, in 1/65,534 of the row; 65,535 where there is none, little-endian 16-bit
            [W, layers, heads, kinds].
        rank, chance: Of each word's first token in the logit lens [W, all layers + 2]; empty of a
            model that has none.
    """

    model_config = ConfigDict(extra="forbid")

    method: str
    text: str
    words: list[str]
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    boxes: list[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None] | None
    heat: Coded
    peaks: Coded
    sinks: Coded
    shares: Coded
    rank: list[list[int]]
    chance: list[list[FiniteFloat]]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        maps = len(self.words) * self.layers * self.heads
        tokens = len(self.boxes or ())
        wanted = {"heat": maps * tokens, "peaks": 4 * maps * (tokens > 0)}
        wanted |= {"shares": 2 * len(KINDS) * maps}
        for name, size in wanted.items():
            if len(base64.b64decode(getattr(self, name))) != size:
                raise ValueError(f"{name!r} does not hold {size} bytes")
        if tokens and len(base64.b64decode(self.sinks)) % tokens:
            raise ValueError("'sinks' does not hold whole layers")
        if self.chance and {len(self.chance), len(self.rank)} != {len(self.words)}:
            raise ValueError("'rank' and 'chance' are not a row for each word")
        return self


class Panel(BaseModel):
    """A trace of one answer.

    Attributes:
        of: What it was made of; a trace of the same is not made again.
        model, prompt: Who was asked what.
        sample: The sample's id; "" of an image of one's own.
        size: Width and height of the image.
        picture: The image as WebP.
        layers: The layers that were traced.
        baseline, method, own: As in `Trace`.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    of: str = ""
    model: str
    prompt: str
    sample: str = ""
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    picture: Coded
    layers: list[int]
    baseline: View
    method: View | None = None
    own: View | None = None


def panel_of(trace: Trace, tokenizer: Any, sample: str = "", of: str = "") -> Panel:
    """Pack a trace.

    Args:
        tokenizer: The model's; it spells answers out.
        sample: Id of the sample that was asked.
        of: What it is made of.
    """
    views = {
        name: None if seen is None else _view(seen, tokenizer)
        for name, seen in (("method", trace.method), ("own", trace.own))
    }
    return Panel(
        of=of,
        model=trace.model,
        prompt=trace.prompt,
        sample=sample,
        size=trace.image.size,
        picture=_picture(trace.image),
        layers=list(trace.layers),
        baseline=_view(trace.baseline, tokenizer),
        **views,
    )


def write_panel(panel: Panel, file: Path) -> None:
    """Write a panel whole; its folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(panel.model_dump(), ensure_ascii=False, allow_nan=False)
    write_whole(file, text + "\n")


def read_panel(file: Path) -> Panel:
    """Read a panel.

    Raises:
        UserError: If it is none, or is broken.
    """
    try:
        return Panel.model_validate_json(file.read_bytes())
    except (OSError, ValidationError, ValueError) as error:
        raise UserError(
            f"{file}: is not a trace that this version can show; remove it, and it is traced again"
        ) from error


def _view(seen: Seen, tokenizer: Any) -> View:
    import numpy as np

    rows = seen.of_words()  # [W, L, H, K]
    known: NDArray[np.floating] = rows[..., : len(seen.image)][..., seen.image]
    shares = seen.shares()
    if known.size > MOST:
        known, shares = _mean(known, 2), _mean(shares, 2)
    if known.size > MOST:
        known, shares = _mean(known, 1), _mean(shares, 1)
    if seen.places is None:
        known = known[..., :0]
    lens, starts = seen.lens, [word.start for word in seen.words]
    return View(
        method=seen.method,
        text=tokenizer.decode(seen.tokens, skip_special_tokens=True).strip(),
        words=[word.text for word in seen.words],
        boxes=None if seen.places is None else _boxes(seen.places.boxes),
        sinks=_coded(seen.sinks[:, seen.image].astype(np.uint8)),
        **_packed(known, shares),
        rank=[] if lens is None else lens.rank[starts].astype(int).tolist(),
        chance=[]
        if lens is None
        else np.round(np.nan_to_num(lens.probability[starts].astype(float)), 4).tolist(),
    )


def _mean(values: NDArray[np.floating], axis: int) -> NDArray[np.float64]:
    """Average over layers or heads that can be reached, keeping the axis."""
    import numpy as np

    there = (~np.isnan(values)).sum(axis, keepdims=True)
    mean: NDArray[np.float64] = np.nansum(values, axis, keepdims=True, dtype=float) / np.where(
        there > 0, there, np.nan
    )
    return mean


def _boxes(boxes: NDArray[np.float64]) -> list[Any]:
    return [
        None if box[0] != box[0] else tuple(round(edge, 2) for edge in box)
        for box in boxes.tolist()
    ]


def _coded(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _picture(image: Image) -> str:
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    drawn = io.BytesIO()
    small.save(drawn, "WEBP", quality=85, method=4)
    return base64.b64encode(drawn.getvalue()).decode()


def averaged(view: View, over: str) -> View:
    """Average what a view keeps apart.

    Args:
        over: "heads", "heads and layers", or "" for nothing.
    """
    import numpy as np

    axes = [axis for axis, name in ((2, "heads"), (1, "layers")) if name in over]
    shape = len(view.words), view.layers, view.heads
    tokens = len(view.boxes or ())
    peaks = _numbers(view.peaks, "<f4").reshape(*shape, 1) if tokens else np.zeros((*shape, 1))
    known = _numbers(view.heat, "u1").reshape(*shape, tokens) / 255 * peaks
    parts = _numbers(view.shares, "<u2").reshape(*shape, len(KINDS)).astype(float)
    shares = np.where(parts == _NONE, np.nan, parts / _WHOLE)
    known = np.where(np.isnan(shares[..., :1]), np.nan, known)
    for axis in axes:
        known, shares = _mean(known, axis), _mean(shares, axis)
    return view.model_copy(update=_packed(known, shares)) if axes else view


def _packed(known: NDArray[np.floating], shares: NDArray[np.floating]) -> dict[str, Any]:
    """Pack heat [W, layers, heads, n] and shares [W, layers, heads, kinds]."""
    import numpy as np

    filled = np.nan_to_num(known)
    peaks = filled.max(-1, initial=0.0)
    bytes_ = np.rint(255 * filled / np.where(peaks > 0, peaks, 1.0)[..., None]).astype(np.uint8)
    parts = np.where(np.isnan(shares), _NONE, np.rint(_WHOLE * np.nan_to_num(shares)))
    return {
        "layers": known.shape[1],
        "heads": known.shape[2],
        "heat": _coded(bytes_),
        "peaks": _coded(peaks.astype("<f4") if known.shape[-1] else np.zeros(0)),
        "shares": _coded(parts.astype("<u2")),
    }


def _numbers(coded: str, kind: str) -> NDArray[Any]:
    import numpy as np

    return np.frombuffer(base64.b64decode(coded), kind)
