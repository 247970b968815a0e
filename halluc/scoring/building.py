"""Benchmarks from the names and options that a user types."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.data.own_table import folder_name
from halluc.errors import UserError
from halluc.scoring.base import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from halluc.scoring.base import Benchmark

PATHS = ("folder", "tables", "images")
"""Options that are paths on this machine."""
_OPTIONS = ("protocol", "prompt", "folder", "tables", "images", "judge", "chat", "rotate_options")


def build(name: str, options: Mapping[str, Any] | None = None) -> Benchmark:
    """Make a benchmark.

    Args:
        options: Of protocol, prompt, folder, tables, images, judge, chat, rotate_options and its
            `own_options` those the benchmark takes, and split; a judge is "endpoint:<model>" or
            "local:<model>".

    Raises:
        UserError: If it takes no such option, or a folder or file does not exist.
    """
    known = taken(name)
    arguments: dict[str, Any] = {}
    for key, value in (options or {}).items():
        if key not in (*known, "split"):
            raise UserError(f"{name}: takes no {key!r}, only {', '.join(known)}, split")
        arguments[key] = _typed(name, key, value)
    split = arguments.pop("split", None)
    benchmark = REGISTRY.get(name)(**arguments)
    if benchmark.own:
        benchmark.name = name
    if split is not None:
        benchmark.take(str(split))
    return benchmark


def taken(name: str) -> list[str]:
    """Return the options that a benchmark takes.

    Raises:
        UserError: If the benchmark is unknown.
    """
    cls = REGISTRY.get(name)
    return [key for key in inspect.signature(cls).parameters if key in _OPTIONS] + [
        *cls.own_options
    ]


def options_taken(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some options that a benchmark takes.

    Raises:
        UserError: If the benchmark is unknown.
    """
    known = taken(name)
    return {key: value for key, value in options.items() if key in known}


def _typed(name: str, key: str, value: Any) -> Any:
    if key in PATHS:
        path = Path(str(value)).expanduser()
        if not path.exists():
            raise UserError(f"{name}: {key} {str(value)!r} does not exist")
        return path
    if key == "judge":
        from halluc.scoring.judges.judge_models import judge

        return judge(str(value))
    if key in ("chat", "rotate_options") and not isinstance(value, bool):
        raise UserError(f"{name}: {key} {value!r} is neither true nor false")
    return value


def by_benchmark(names: tuple[str, ...], values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Split {"folder": F, "pope_coco.prompt": P} by benchmark; a key without a dot is for all.

    "yes_no.prompt" is for all folders asked about by yes_no.

    Raises:
        UserError: If a key names a benchmark that is not run.
    """
    options: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in values.items():
        name, dot, inner = key.partition(".")
        meant = [known for known in names if not dot or name.replace("-", "_") in _called(known)]
        if not meant:
            raise UserError(f"--benchmark-args: {name!r} is not one of {', '.join(names)}")
        for known in meant:
            options[known][inner if dot else key] = value
    return {name: chosen for name, chosen in options.items() if chosen}


def checked_benchmarks(
    text: str, values: Mapping[str, Any]
) -> tuple[tuple[str, ...], dict[str, dict[str, Any]]]:
    """Return the names of benchmarks and the options of each, all checked; nothing is asked yet.

    Args:
        text: As for `benchmark_names`.
        values: Options as for `by_benchmark`.

    Raises:
        UserError: If a benchmark or an option is wrong, or a table of one's own data.
    """
    names = benchmark_names(text)
    options = by_benchmark(names, folders(text) | dict(values))
    for name in names:
        built = build(name, options.get(name))
        if built.own:  # mistakes in a table are told before a model is loaded
            next(built.asked(1), None)
    return names, options


def _called(name: str) -> tuple[str, str]:
    """Return a benchmark's name and that of its kind, as keys of options are written."""
    return name.replace("-", "_"), REGISTRY.get(name).name


def benchmark_names(text: str) -> tuple[str, ...]:
    """Parse "glyph_pope,glyph_chair"; a prefix like "glyph" stands for all that start with it.

    "yes_no:data/photos" is "yes_no-photos"; `folders` has its folder.

    Raises:
        UserError: If one is unknown, or two folders have one name.
    """
    chosen: list[str] = []
    for name in _typed_names(text):
        family = [known for known in REGISTRY.names() if known.startswith(f"{name}_")]
        if ":" in name:
            chosen.append(_own_name(name))
        else:
            chosen += [name] if name in REGISTRY.names() or not family else family
    for name in chosen:
        REGISTRY.get(name)
    if not chosen:
        raise UserError("--benchmarks names none; see 'halluc list benchmarks'")
    folders(text)
    return tuple(dict.fromkeys(chosen))


def one_benchmark(text: str, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return one benchmark's name and options; "yes_no:data/photos" has its folder in them.

    Raises:
        UserError: If a folder is given to a benchmark that asks about its own data.
    """
    if ":" not in text:
        return text, dict(values)
    return _own_name(text), {"folder": text.partition(":")[2], **values}


def folders(text: str) -> dict[str, str]:
    """Return the folders in what is typed as benchmarks: {"yes_no-photos.folder": "data/photos"}.

    Raises:
        UserError: If two folders of one name are asked about alike.
    """
    found: dict[str, str] = {}
    for typed in _typed_names(text):
        if ":" in typed:
            key, folder = f"{_own_name(typed)}.folder", typed.partition(":")[2]
            if found.setdefault(key, folder) != folder:
                raise UserError(
                    f"--benchmarks: {found[key]} and {folder} would both be called "
                    f"{key.removesuffix('.folder')}; rename one"
                )
    return found


def _typed_names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _own_name(typed: str) -> str:
    """Turn "yes_no:data/photos" into "yes_no-photos"."""
    kind, _, folder = typed.partition(":")
    own = [name for name in REGISTRY.names() if REGISTRY.get(name).own]
    if kind not in own:
        close = [f"own_{kind}"] if f"own_{kind}" in own else own
        what = "asks about its own data" if kind in REGISTRY.names() else "is no benchmark"
        raise UserError(
            f"--benchmarks {typed}: {kind!r} {what}; a folder of yours goes with {', '.join(close)}"
        )
    if not folder:
        raise UserError(f"--benchmarks {typed}: name the folder, as in {kind}:FOLDER")
    return f"{kind}-{folder_name(Path(folder))}"
