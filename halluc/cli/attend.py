"""The command `halluc attend`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc.cli.options import Device, Dtype, Model, ModelArgs, Revision, model_config
from halluc.cli.printing import show
from halluc.config import BASELINE
from halluc.errors import UserError
from halluc.figure_files import checked_figure
from halluc.interventions.compose import find
from halluc.models.names import locate
from halluc.validation import key_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc.attend.tracing import Seen, Trace

_A_PAGE = 12


def attend_command(
    image: Annotated[Path, typer.Option(help="File of the image that is asked about.")],
    output: Annotated[Path, typer.Option(help="Folder for the numbers and the figures.")],
    model: Model = "glyph",
    method: Annotated[
        str, typer.Option(help="Method to compare with the baseline; joined by + act at once.")
    ] = BASELINE,
    method_args: Annotated[
        str, typer.Option(help="Parameters of the method: keep=0.4,rho=0.5.")
    ] = "",
    prompt: Annotated[
        str, typer.Option(help="What is asked about the image.")
    ] = "Please describe this image in detail.",
    answer: Annotated[
        str | None, typer.Option(help="Text to trace in place of the model's own answer.")
    ] = None,
    layers: Annotated[
        str, typer.Option(help="Layers whose attention is kept: 3,5 or 2-6; default: all.")
    ] = "",
    heads: Annotated[
        str, typer.Option(help="Heads that tables and figures average: 0,2 or 0-3; default: all.")
    ] = "",
    words: Annotated[
        str, typer.Option(help="Words to draw, separated by commas; default: all.")
    ] = "",
    figure: Annotated[
        Path | None,
        typer.Option(help="File for one figure, .png, .pdf or .svg; default: two, in the folder."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")] = 64,
    model_args: ModelArgs = "",
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
) -> None:
    """Show what the model looked at when it said each word, without and with a method."""
    parameters = find(method).parameters(key_values(method_args, "--method-args"))
    config = model_config(model, model_args, revision, dtype, device)
    locate(config.name)  # an endpoint shows no attention
    kept, averaged = numbers("--layers", layers), numbers("--heads", heads)
    if figure is not None:
        checked_figure(figure)
    if not image.is_file():
        raise UserError(f"--image {image}: there is no such file")
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output} is a file; give a folder")
    from halluc.attend.trace_files import write_trace
    from halluc.attend.trace_panel import NAME, panel_of, write_panel
    from halluc.attend.tracing import trace
    from halluc.images import BadImage, open_image
    from halluc.models import load_model
    from halluc.store.run_folder import writing

    try:
        picture = open_image(image)
    except BadImage as error:
        raise UserError(f"--image {error}") from error
    loaded = load_model(**config.model_dump())
    for head in averaged or ():
        if head >= loaded.n_heads:
            raise UserError(f"--heads: {loaded.name!r} has heads 0 to {loaded.n_heads - 1}")
    acts = None if method == BASELINE else find(method).for_model(loaded, parameters)
    found = trace(loaded, picture, prompt, acts, answer, max_new_tokens, kept)
    with writing(output):
        files = write_trace(found, output, loaded.processor.tokenizer, averaged)
        panel = output / NAME  # what `halluc report` shows
        write_panel(panel_of(found, loaded.processor.tokenizer), panel)
        files += [panel]
        files += _draw(found, output, figure, words, averaged)
    _print(found, averaged)
    for file in files:
        typer.echo(str(file))


def numbers(option: str, text: str) -> list[int] | None:
    """Read "3,5" or "2-6", both ends included; None where nothing was typed.

    Raises:
        UserError: If it is neither.
    """
    found: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise UserError(f"{option}: {part!r} is no number; write 3,5 or 2-6")
        found += range(int(first), int(last or first) + 1)
    if text and not found:
        raise UserError(f"{option} {text!r} names none; write 3,5 or 2-6")
    return list(dict.fromkeys(found)) or None


def _draw(
    found: Trace, folder: Path, figure: Path | None, words: str, heads: Sequence[int] | None
) -> list[Path]:
    """Draw the baseline's answer, and the method's own where it is another; return the files."""
    from importlib.util import find_spec

    from halluc.attend.trace_figure import draw_words

    if find_spec("matplotlib") is None:
        typer.echo("no figures: they need matplotlib (pip install matplotlib)", err=True)
        return []
    compared = [found.baseline] + ([found.method] if found.method else [])
    drawn, title = [], f"{found.model}: {found.prompt}"
    chosen = _chosen(found.baseline, words)
    if figure is not None:
        draw_words(found.image, compared, chosen, figure, title, heads)
        return [figure]
    pages = [("words", compared, chosen, title)]
    if found.own is not None:
        own = f"{title} - the own answer of {found.own.method}"
        pages.append(("own-words", [found.own], _named(found.own, _wanted(words)), own))
    for stem, seen, some, text in pages:
        for start in range(0, len(some), _A_PAGE):
            page = f"-{start // _A_PAGE + 1}" if len(some) > _A_PAGE else ""
            for kind in ("png", "pdf"):
                file = folder / f"{stem}{page}.{kind}"
                draw_words(found.image, seen, some[start : start + _A_PAGE], file, text, heads)
                drawn.append(file)
    return drawn


def _chosen(seen: Seen, words: str) -> list[int]:
    """Number the words of an answer that are drawn, all but punctuation unless some are named.

    Raises:
        UserError: If the answer has none of a name, or no words at all.
    """
    texts, wanted = [word.text for word in seen.words], _wanted(words)
    for word in wanted:
        if word not in (text.lower() for text in texts):
            raise UserError(f"--words: the answer has no word {word!r}: {' '.join(texts)}")
    chosen = _named(seen, wanted)
    if not chosen:
        raise UserError("the answer has no words to draw")
    return chosen


def _wanted(words: str) -> list[str]:
    return [part.strip().lower() for part in words.split(",") if part.strip()]


def _named(seen: Seen, wanted: Sequence[str]) -> list[int]:
    """Number the words of these names; all but punctuation where there are no names."""
    return [
        i
        for i, word in enumerate(seen.words)
        if (word.text.lower() in wanted if wanted else any(map(str.isalnum, word.text)))
    ]


def _print(found: Trace, heads: Sequence[int] | None) -> None:
    """Print the words with their shares, and those under the method behind an arrow."""
    from rich.table import Table

    from halluc.attend.key_shares import KINDS
    from halluc.attend.trace_files import mean_shares
    from halluc.plain_text import printable

    for title, seen in (
        ("shares of attention", [found.baseline, *([found.method] if found.method else [])]),
        ("its own answer", [found.own] if found.own else []),
    ):
        if not seen:
            continue
        names = " -> ".join(one.method for one in seen)
        table = Table(title=f"{found.model}, {names}: {title}", title_justify="left")
        for column in ("word", *KINDS):
            table.add_column(column, justify="left" if column == "word" else "right")
        shares = [mean_shares(one, heads) for one in seen]
        for line, word in enumerate(seen[0].words):
            cells = [
                " -> ".join(f"{100 * share[line, kind]:.0f}%" for share in shares)
                for kind in range(len(KINDS))
            ]
            table.add_row(printable(word.text), *cells)
        show(table)
