"""Every Eval Ever's instance_level_eval.schema.json: a line an answer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from halluc.export.exported_run import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from halluc.export.exported_run import Exported
    from halluc.types import Answer

VERSION = "0.3.0"


def sample_lines(part: Exported, log: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the answers that are right or wrong.

    Args:
        log: The aggregate record they belong to.
    """
    for answer, prediction, right, _ in part.readings:
        if right is None:
            continue
        prompt, reference = _questions(answer), [as_text(answer.target)]
        evaluation: dict[str, Any] = {"score": float(right), "is_correct": right}
        if answer.history:
            evaluation["num_turns"] = len(answer.history) + 1
        yield {
            "schema_version": VERSION,
            "evaluation_id": log["evaluation_id"],
            "model_id": log["model_info"]["id"],
            "evaluation_name": part.row.benchmark,
            "sample_id": answer.id,
            "sample_hash": hashlib.sha256("".join([prompt, *reference]).encode()).hexdigest(),
            "input": {"raw": prompt, "reference": reference},
            **_conversation(answer),
            "answer_attribution": [
                {
                    "turn_idx": 2 * len(answer.history) + 1 if answer.history else 0,
                    "source": "messages[turn_idx].content" if answer.history else "output.raw",
                    "extracted_value": as_text(prediction),
                    "extraction_method": f"halluc {part.row.protocol}",
                    "is_terminal": True,
                }
            ],
            "evaluation": evaluation,
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


def _questions(answer: Answer) -> str:
    """Join the user's turns: what the benchmark asks, without what the model said to it."""
    return "\n".join([*(question for question, _ in answer.history), answer.prompt])


def _conversation(answer: Answer) -> dict[str, Any]:
    """Return the answer of a single turn, or the whole transcript where turns came before it."""
    if not answer.history:
        return {"interaction_type": "single_turn", "output": {"raw": [answer.text]}}
    said = [words for turn in answer.history for words in turn] + [answer.prompt, answer.text]
    messages = [
        {"turn_idx": number, "role": ("user", "assistant")[number % 2], "content": words}
        for number, words in enumerate(said)
    ]
    return {"interaction_type": "multi_turn", "output": None, "messages": messages}
