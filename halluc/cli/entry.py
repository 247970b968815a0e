"""The entry point of the `halluc` command: it hears Ctrl-C and SIGTERM before it loads the rest."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

STOPPED = "halluc: stopped"


def main() -> None:
    """Run the command line; a signal ends it with one line and exit code 130 or 143."""
    from halluc.interruption import SIGNALS, Interrupted

    def stop(signum: int, frame: FrameType | None) -> None:
        if _importing(frame):
            # Libraries import in C++ code that cannot pass an exception on, and abort.
            os.write(2, f"{STOPPED}\n".encode())
            os._exit(128 + signum)
        raise Interrupted(signum, "stopped")

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        from halluc.cli.app import run

        run()
    except Interrupted as stopped:
        print(STOPPED, file=sys.stderr)
        sys.exit(128 + stopped.signum)


def _importing(frame: FrameType | None) -> bool:
    """Return whether a module is being imported."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


if __name__ == "__main__":
    main()
