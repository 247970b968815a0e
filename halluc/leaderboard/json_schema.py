"""The board's JSON Schema; `python -m halluc.leaderboard.json_schema` writes the shipped file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from halluc.leaderboard.board import Board

FILE = Path(__file__).with_name("board.schema.json")


def schema() -> dict[str, Any]:
    """Return the schema of what `halluc leaderboard --output` writes."""
    content = Board.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **content}


if __name__ == "__main__":
    FILE.write_text(json.dumps(schema(), indent=2) + "\n")
