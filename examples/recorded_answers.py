"""Score answers that somebody else's code wrote, and compare two files of them; no model is run.

    python examples/recorded_answers.py method.jsonl baseline.jsonl coco_pope_popular.json

The files are in POPE's own format; other benchmarks' are in docs/scoring.md. What authors have
published comes by `halluc recorded fetch`.
"""

from __future__ import annotations

import sys

import halluc


def main(method: str, baseline: str, labels: str) -> halluc.Comparison:
    """Print scores by every scorer of POPE that is in use, and the paired difference."""
    for protocol in ("official", "vcd", "lmms-eval", "vlmevalkit"):
        for file in (baseline, method):
            scored = halluc.score("pope_coco", file, labels=labels, protocol=protocol)
            numbers = {name: round(value, 4) for name, value in scored["metrics"].items()}
            print(f"{protocol:>10}  {file}: {numbers}, {scored['unparseable']} unparseable")
    found = halluc.compare(method, baseline, benchmark="pope_coco", labels=labels)
    print(found)
    return found


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
