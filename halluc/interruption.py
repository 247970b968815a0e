"""Interruption by Ctrl-C or a scheduler's SIGTERM: finish the batch, keep it, say how to go on."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GO_ON = "stopped; all answers so far are kept, and the same command goes on from there"


class Interrupted(Exception):
    """A run was told to stop, and has stopped.

    Args:
        signum: The signal; a program ends with 128 plus it.
        message: What is kept, and how to go on.
    """

    def __init__(self, signum: int, message: str = "") -> None:
        super().__init__(message)
        self.signum = signum


class Stop:
    """A wish to stop, from the signals that arrive while a `with` lasts; handlers are put back.

    A second signal ends at once by raising `Interrupted`. Only the main thread hears signals;
    elsewhere this does nothing.

    Args:
        at_once: Let the first signal end at once, too: where an answer may take minutes.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.at_once = at_once
        self.signum: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        again, self.signum = self.signum is not None, signum
        if again or self.at_once:
            raise Interrupted(signum)
