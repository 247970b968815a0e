"""Where an endpoint is and the key to it, which come from the environment and nowhere else."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from halluc.errors import UserError

OPENAI = "https://api.openai.com/v1"


def endpoint_address() -> str:
    """Return OPENAI_BASE_URL without a last slash; OpenAI's own address where it is not set.

    Raises:
        UserError: If it is not an address. It is not shown, for it may hold a password.
    """
    address = os.environ.get("OPENAI_BASE_URL", OPENAI).strip().rstrip("/")
    if not _is_address(address):
        raise UserError(
            "OPENAI_BASE_URL is not an address like http://localhost:8000/v1 "
            "(no user, password or ?parameters in it)"
        )
    return address


def _is_address(text: str) -> bool:
    if not _is_plain(text):
        return False
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half a bracket, a port that is no number
        return False
    return known and not any(c in text for c in "@?#")


def endpoint_key() -> str:
    """Return OPENAI_API_KEY without the blanks and line ends around it; empty if it is not set.

    Raises:
        UserError: If it holds what no header may hold. It is not shown.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not _is_plain(key):
        raise UserError(
            "OPENAI_API_KEY holds a space, a control character or one that is not ASCII: "
            "set it to the key and nothing around it"
        )
    return key


def refuse_without_key() -> None:
    """Refuse OpenAI's own address without a key; other endpoints may need none.

    Raises:
        UserError: If there is no key.
    """
    if endpoint_address() == OPENAI and not endpoint_key():
        raise UserError(
            "OPENAI_API_KEY is not set: export it, or OPENAI_BASE_URL for another endpoint, "
            "as in OPENAI_BASE_URL=http://localhost:8000/v1"
        )


def _is_plain(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)
