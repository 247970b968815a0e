"""A process that reads a benchmark and says which files it opened: `halluc data pack` starts it.

Python tells what is opened to hooks that cannot be taken away again, hence a process of its own.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any


def main(name: str, options: str, limit: str) -> None:
    """Read all samples, images and what scoring reads; print as JSON what was opened.

    Args:
        name: The benchmark's.
        options, limit: As JSON.
    """
    from halluc.errors import UserError
    from halluc.scoring.building import build
    from halluc.scoring.judges.judge_models import NeedsJudge
    from halluc.scoring.scores import clusters, read
    from halluc.types import Answer

    opened: dict[str, None] = {}

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | os.PathLike):
            opened[os.path.abspath(arguments[0])] = None

    sys.addaudithook(note)
    try:
        benchmark = build(name, json.loads(options))
        answers = []
        for sample in benchmark.asked(json.loads(limit)):
            with suppress(OSError, ValueError):  # a bad image fails its sample
                sample.load_image()
            answers.append(Answer.of(sample, text="Yes, there is a dog."))
        with suppress(NeedsJudge):
            for readings in clusters(benchmark, read(benchmark, answers)).values():
                benchmark.tally(readings)
    except UserError as error:
        print(f"halluc: {error}", file=sys.stderr)
        sys.exit(2)
    nltk = sys.modules.get("nltk.data")
    found = {"opened": sorted(opened), "hub": _hub_cache(), "nltk": getattr(nltk, "path", [])}
    print(json.dumps(found))


def _hub_cache() -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    return str(HF_HUB_CACHE)


if __name__ == "__main__":
    main(*sys.argv[1:])
