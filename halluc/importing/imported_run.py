"""Run folders of what other harnesses logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from halluc.config import BASELINE, DecodingConfig
from halluc.recorded.record_names import check_names
from halluc.store.record import Record
from halluc.store.recorded_run import keep_recorded, recorded_asker
from halluc.validation import checked, literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from halluc.importing.imported import Imported
    from halluc.store import Scored


def keep_imported(
    imported: Imported,
    file: Path,
    output_dir: Path,
    options: Mapping[str, Any],
    model: str | None = None,
    against: str = "",
    name: str = "",
) -> Scored:
    """Put imported answers into a run folder, and score them.

    Args:
        file: The log they are from.
        options: Those the benchmark was built with.
        model: The model's name on boards; None for the one in the log.
        against: Name of the record they are compared with; "" for a baseline.
        name: Name of the record; "" for the file's.

    Raises:
        UserError: If the folder cannot be written to, nothing can be scored, or a name is another
            record's or nothing's.
    """
    stated = imported.decoding if is_stated(imported.decoding or {}) else None
    method = imported.method or BASELINE
    record = Record.of_file(
        file,
        name,
        against,
        model=imported.model,
        method=imported.method,
        decoding=None if stated is None else ", ".join(f"{k}={v}" for k, v in stated.items()),
        tool=f"{imported.tool} {imported.version}",
    )
    asker = recorded_asker(record, model or imported.model, method, decoding_of(stated or {}))
    check_names(output_dir, asker, against)
    return keep_recorded(output_dir, asker, imported.benchmark, imported.answers, options)


def decoding_of(stated: Mapping[str, Any]) -> DecodingConfig:
    """Return the decoding that a harness states; what it does not state has our defaults.

    A temperature of 0 is greedy; one above 0 samples, unless `do_sample` says otherwise. A `top_k`
    of -1 keeps all tokens, as 0 does.

    Raises:
        UserError: If a value is not possible.
    """
    stated = {key: _value(value) for key, value in stated.items()}
    values = {
        key: stated[key] for key in ("top_p", "top_k", "num_beams", "seed") if stated.get(key)
    }
    if values.get("top_k") == -1:
        del values["top_k"]
    temperature, sampled = stated.get("temperature"), stated.get("do_sample")
    sampled = temperature != 0 and (bool(temperature) if sampled is None else sampled)
    if sampled and temperature:
        values["temperature"] = temperature
    if not sampled:
        values = {key: value for key, value in values.items() if key in ("num_beams", "seed")}
    return checked(DecodingConfig, values | {"do_sample": sampled}, "decoding of the log")


def is_stated(stated: Mapping[str, Any]) -> bool:
    """Return whether it is known how tokens were chosen: a harness leaves the rest to the model."""
    return any(stated.get(name) is not None for name in ("temperature", "do_sample"))


def _value(value: Any) -> Any:
    """Return what a text says that a command line handed on: "False", "0.7"."""
    return literal(value.strip()) if isinstance(value, str) else value
