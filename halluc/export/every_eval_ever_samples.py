"""Every Eval Ever's instance records, by its instance_level_eval.schema.json: a line an answer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from halluc.export.exported_run import asked, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from halluc.export.exported_run import Exported

VERSION = "0.3.0"


def instances(part: Exported, log: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the answers that are right or wrong.

    Args:
        log: The aggregate record they belong to.
    """
    for answer in part.answers:
        right = part.benchmark.right(answer)
        if right is None:
            continue
        prompt, reference = asked(answer), [text(answer.target)]
        yield {
            "schema_version": VERSION,
            "evaluation_id": log["evaluation_id"],
            "model_id": log["model_info"]["id"],
            "evaluation_name": part.row.benchmark,
            "sample_id": answer.id,
            "sample_hash": hashlib.sha256("".join([prompt, *reference]).encode()).hexdigest(),
            "interaction_type": "single_turn",
            "input": {"raw": prompt, "reference": reference},
            "output": {"raw": [answer.text]},
            "answer_attribution": [
                {
                    "turn_idx": 0,
                    "source": "output.raw",
                    "extracted_value": text(answer.prediction),
                    "extraction_method": f"halluc {part.row.protocol}",
                    "is_terminal": True,
                }
            ],
            "evaluation": {"score": float(right), "is_correct": right},
            "token_usage": {
                "input_tokens": answer.prompt_tokens,
                "output_tokens": answer.tokens,
                "total_tokens": answer.prompt_tokens + answer.tokens,
            },
            "performance": {"latency_ms": 1000 * answer.seconds},
            "metadata": {
                "image": answer.image_id,
                "image_hash": answer.image_hash,
                "group": answer.group,
            },
        }
