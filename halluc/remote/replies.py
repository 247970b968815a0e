"""What an endpoint says, read with suspicion: completions, counts, messages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from halluc.plain_text import printable

_SHORTEST_SECRET = 8  # letters; a key like "EMPTY" or "no" is a placeholder and may be an answer
_LONGEST_MESSAGE = 200
_MOST_TOKENS = 10**12
_HALF_CHARACTERS = re.compile("[\ud800-\udfff]")


class UnreadableReply(Exception):
    """A reply that is no chat completion with a text."""


@dataclass(frozen=True)
class EndpointReply:
    """The answer of an endpoint.

    Attributes:
        text: The first choice; the key is blackened, half characters are U+FFFD.
        prompt_tokens, tokens: As the endpoint counts them; 0 where it does not say.
    """

    text: str
    prompt_tokens: int
    tokens: int


def read_reply(content: bytes, key: str) -> EndpointReply:
    """Read a chat completion.

    Raises:
        UnreadableReply: If it holds no text. The key is not shown.
    """
    try:
        completion = json.loads(content)
        choice = completion["choices"][0]
        text = choice["message"]["content"]
    except RecursionError:
        raise UnreadableReply("the reply is nested too deeply") from None
    except ValueError:
        raise UnreadableReply("the reply is not JSON") from None
    except (LookupError, TypeError):
        raise UnreadableReply("the reply is not a chat completion") from None
    if not isinstance(text, str):
        reason = choice.get("finish_reason")
        shown = one_line(reason, key) if isinstance(reason, str) else "not given"
        raise UnreadableReply(f"no text in the reply (finish_reason {shown})")
    if len(key) >= _SHORTEST_SECRET:
        text = text.replace(key, "***")
    usage = completion.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return EndpointReply(
        _HALF_CHARACTERS.sub("\ufffd", text),
        _count(counts.get("prompt_tokens")),
        _count(counts.get("completion_tokens")),
    )


def _count(value: Any) -> int:
    """Return a number of tokens; 0 for whatever is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 <= value < _MOST_TOKENS and value == int(value) else 0


def error_message(content: bytes, reason: str, key: str) -> str:
    """Return what a reply with an error says: its message, else its text, else the reason."""
    text = content.decode(errors="replace")
    try:
        text = str(json.loads(text)["error"]["message"])
    except (ValueError, LookupError, TypeError, RecursionError):
        text = text or reason
    return one_line(text, key)


def one_line(text: object, key: str) -> str:
    """Return the beginning of text from elsewhere, on one line, fit to be seen, without the key."""
    said = str(text)
    if key:
        said = said.replace(key, "***")
    return printable(" ".join(said.split())[:_LONGEST_MESSAGE])
