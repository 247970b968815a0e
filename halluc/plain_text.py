"""Text from elsewhere, made safe to show: no control characters, on one line."""

from __future__ import annotations


def printable(text: object) -> str:
    r"""Return text with every character that is not to be seen written as its escape ("\x1b").

    Answers, names in boards, and replies of servers may hold sequences that move a terminal's
    cursor, set its title, or turn the direction of the text.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in str(text))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
