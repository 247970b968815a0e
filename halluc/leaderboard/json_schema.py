"""The board's JSON Schema; `python -m halluc.leaderboard.json_schema` writes the shipped file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from halluc.leaderboard.board import SCHEMA_VERSION, Board

FILE = Path(__file__).with_name("board.schema.json")


def schema() -> dict[str, Any]:
    """Return the schema of what `halluc leaderboard --output` writes."""
    content = Board.model_json_schema(mode="serialization")
    for part in (content, *content["$defs"].values()):
        _describe(part)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:halluc:board:{SCHEMA_VERSION}",
    }
    return head | content


def _describe(part: dict[str, Any]) -> None:
    """Give each property what the class's docstring says of the attribute."""
    part["description"], _, attributes = part["description"].partition("\n\nAttributes:\n")
    said = re.findall(r"^    (\w+): (.+(?:\n {5,}.+)*)", attributes, flags=re.MULTILINE)
    for name, text in said:
        part["properties"][name]["description"] = " ".join(text.split())


if __name__ == "__main__":
    FILE.write_text(json.dumps(schema(), indent=2) + "\n")
