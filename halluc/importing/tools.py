"""The harnesses whose logs are read, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.importing import inspect_log, lm_eval, lmms_eval, vlmevalkit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from halluc.importing.imported import Log

TOOLS: dict[str, Callable[[Path], Log]] = {
    "lmms-eval": lmms_eval.read,
    "vlmevalkit": vlmevalkit.read,
    "open-vlm-records": vlmevalkit.read_record,
    "lm-eval": lm_eval.read,
    "inspect": inspect_log.read,
}


def log_of(path: Path, tool: str) -> Log:
    """Read a log of a harness.

    Raises:
        UserError: If there is no such harness, or the file is not one of its logs.
    """
    if tool not in TOOLS:
        raise UserError(f"--from {tool!r}: unknown, choose from {', '.join(TOOLS)}")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    return TOOLS[tool](path)
