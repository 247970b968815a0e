"""The entry point of the `halluc` command: it hears Ctrl-C and SIGTERM before it loads the rest."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line; a signal ends it with one line and exit code 130 or 143."""
    from halluc.interruption import SIGNALS, Interrupted

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum, "stopped")

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        from halluc.cli.app import run

        run()
    except Interrupted as stopped:
        print("halluc: stopped", file=sys.stderr)
        sys.exit(128 + stopped.signum)


if __name__ == "__main__":
    main()
