"""The command `halluc cite`; it imports no torch."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from halluc.interventions import MethodCard
from halluc.interventions.compose import find


def cite_command(
    methods: Annotated[list[str], typer.Argument(help="Methods, or several joined by '+'.")],
) -> None:
    """Print BibTeX entries of the papers that methods are from."""
    names = dict.fromkeys(name for joined in methods for name in joined.split("+"))
    for name in names:
        typer.echo(bibtex(name, find(name).card))


def bibtex(key: str, card: MethodCard) -> str:
    """Make a BibTeX entry of a card.

    Args:
        key: The entry's key.
    """
    published = card.venue not in ("", "-", "arXiv")
    fields = {
        "title": f"{{{card.title}}}",
        "author": authors(card.authors),
        "year": str(card.year) if card.year else "",
        "booktitle": card.venue if published else "",
    }
    if card.paper.startswith("arXiv:"):
        fields |= {"eprint": card.paper.removeprefix("arXiv:"), "archiveprefix": "arXiv"}
    elif card.paper.startswith("http"):
        fields["url"] = card.paper
    if card.code:
        fields["note"] = f"Code: \\url{{{card.code}}}"
    kind = "inproceedings" if published else "misc"
    lines = [f"  {name} = {{{_escaped(text)}}}," for name, text in fields.items() if text]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def authors(text: str) -> str:
    """Turn "Liu, Ye and Zou" or "Leng et al." into BibTeX's list of names."""
    text = re.sub(r"\s+et al\.?$", " and others", re.sub(r"\s*\(.*\)$", "", text))
    return " and ".join(part.strip() for part in re.split(r",| and ", text) if part.strip())


def _escaped(text: str) -> str:
    return re.sub(r"(?<!\\)([&%#_$])", r"\\\1", text) if "\\url" not in text else text
