"""A trace on disk: every number in trace.npz, what a reader wants to see in trace.json."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.attend.key_shares import KINDS
from halluc.files import write_json, write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.attend.tracing import Seen, Trace

NAMES = ("baseline", "method", "own")
"""Prefixes of arrays in trace.npz: the baseline, the method on the same tokens, and the method on
its own answer where that is another."""


def write_trace(
    trace: Trace, folder: Path, tokenizer: Any, heads: Sequence[int] | None = None
) -> list[Path]:
    """Write trace.npz and trace.json into a folder; return the files.

    Args:
        tokenizer: The model's; it spells tokens out.
        heads: Those that shares are averaged over; all by default. trace.npz has all of them.
    """
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    named = dict(zip(NAMES, (trace.baseline, trace.method, trace.own), strict=True))
    seen = {name: one for name, one in named.items() if one is not None}
    arrays: dict[str, Any] = {"layers": np.array(trace.layers)}
    for name, one in seen.items():
        arrays |= {f"{name}_{key}": array for key, array in _arrays(one).items()}
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    write_whole(folder / "trace.npz", packed.getvalue())
    content = {
        "model": trace.model,
        "prompt": trace.prompt,
        "image_size": list(trace.image.size),
        "answer": "given" if trace.given else "greedy",
        "layers": list(trace.layers),
        "heads": "all" if heads is None else list(heads),
        "kinds": list(KINDS),
    }
    told = {name: _told(one, tokenizer, heads) for name, one in seen.items()}
    write_json(folder / "trace.json", content | told)
    return [folder / "trace.npz", folder / "trace.json"]


def mean_shares(seen: Seen, heads: Sequence[int] | None = None) -> NDArray[np.float64]:
    """Average each word's shares over layers and heads, [words, kinds].

    Layers that cannot be reached and heads that attend to nothing do not count.
    """
    import numpy as np

    shares = seen.shares()
    chosen = shares if heads is None else shares[:, :, list(heads)]
    there = (~np.isnan(chosen[..., :1])).sum((1, 2))
    mean: NDArray[np.float64] = np.nansum(chosen, (1, 2)) / np.where(there > 0, there, np.nan)
    return mean


def _arrays(seen: Seen) -> dict[str, NDArray[Any]]:
    import numpy as np

    arrays: dict[str, NDArray[Any]] = {
        "tokens": np.array(seen.tokens),
        "words": np.array([(word.start, word.stop) for word in seen.words]).reshape(-1, 2),
        "prompt": np.array(seen.prompt),
        "image": seen.image,
        "first": seen.first,
        "sinks": seen.sinks,
        "attention": seen.attention,
        "shares": seen.shares(),
    }
    if seen.lens is not None:
        arrays |= {"rank": seen.lens.rank, "probability": seen.lens.probability}
    if seen.places is not None:
        arrays["places"] = seen.places.boxes
    return arrays


def _told(seen: Seen, tokenizer: Any, heads: Sequence[int] | None) -> dict[str, Any]:
    shares = mean_shares(seen, heads)
    words = []
    for word, share in zip(seen.words, shares.tolist(), strict=True):
        told: dict[str, Any] = {
            "word": word.text,
            "tokens": [tokenizer.decode([token]) for token in seen.tokens[word.start : word.stop]],
            "shares": dict(zip(KINDS, (round(part, 6) for part in share), strict=True)),
        }
        if seen.lens is not None:  # of its first token, which the model chose before the others
            told["rank"] = [int(rank) for rank in seen.lens.rank[word.start]]
            told["probability"] = [round(float(p), 6) for p in seen.lens.probability[word.start]]
        words.append(told)
    return {
        "method": seen.method,
        "text": tokenizer.decode(seen.tokens, skip_special_tokens=True).strip(),
        "prompt_tokens": len(seen.prompt),
        "image_tokens": int(seen.image.sum()),
        "visual_sinks": int((seen.sinks & seen.image).any(0).sum()),
        "words": words,
    }
