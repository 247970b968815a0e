"""Shares: how the attention of a row is divided among kinds of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KINDS = ("image", "prompt", "generated", "first", "sinks")
"""Every key is of one kind: an image token, another token of the prompt, a token of the answer so
far, the prompt's first token, or any other sink. A sink is of no other kind."""


def key_kinds(
    image: NDArray[np.bool_], first: NDArray[np.bool_], sinks: NDArray[np.bool_], generated: int
) -> NDArray[np.intp]:
    """Say of which of `KINDS` each key is.

    Args:
        image: Image tokens of the prompt, bool [n].
        first: Its first token, bool [n].
        sinks: Its sinks in each layer, bool [L, n].
        generated: Tokens of the answer among the keys, behind the prompt.

    Returns:
        Indices into `KINDS`, [L, n + generated].
    """
    import numpy as np

    kinds = np.full((len(sinks), image.size + generated), KINDS.index("generated"))
    kinds[:, : image.size] = np.where(image, KINDS.index("image"), KINDS.index("prompt"))
    prompt = kinds[:, : image.size]
    prompt[sinks] = KINDS.index("sinks")
    prompt[:, first] = KINDS.index("first")
    return kinds


def shares(attention: NDArray[np.float32], kinds: NDArray[np.intp]) -> NDArray[np.float64]:
    """Divide the attention of rows among kinds of keys.

    Args:
        attention: [..., L, H, K].
        kinds: From `key_kinds`, [L, K].

    Returns:
        [..., L, H, len(KINDS)], which sum to 1; a method may leave rows that do not, and shares
        are of what the row has. nan where it has nothing, and in layers that cannot be reached.
    """
    import numpy as np

    one_hot = (kinds[:, :, None] == np.arange(len(KINDS))).astype(np.float64)
    parts = attention.astype(np.float64) @ one_hot  # [..., L, H, K] @ [L, K, 5]
    total = parts.sum(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        divided: NDArray[np.float64] = np.where(total > 0, parts / total, np.nan)
    return divided
