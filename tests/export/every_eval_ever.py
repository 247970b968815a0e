"""The rules of Every Eval Ever 0.3.0 that concern us, as JSON Schema, in our own words.

After every_eval_ever/schemas/*.json at 9bce413, without agents and tools: what is required, which
names exist, what is a string, what is one of a few words.
"""

from __future__ import annotations

from typing import Any

TEXT = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
NUMBER = {"type": "number"}
COUNT = {"type": "integer", "minimum": 0}


def thing(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def one_of(*words: str) -> dict[str, Any]:
    return {"enum": list(words)}


SOURCE = {
    "oneOf": [
        thing(
            {"dataset_name": TEXT, "source_type": one_of("other")}, {"additional_details": TEXTS}
        ),
        thing(
            {"dataset_name": TEXT, "source_type": one_of("hf_dataset")},
            {
                "hf_repo": TEXT,
                "hf_split": TEXT,
                "samples_number": {"type": "integer"},
                "sample_ids": {"type": "array", "items": TEXT},
                "additional_details": TEXTS,
            },
        ),
    ]
}
METRIC = {
    **thing(
        {"lower_is_better": {"type": "boolean"}},
        {
            "metric_id": TEXT,
            "metric_name": TEXT,
            "metric_unit": TEXT,
            "score_type": one_of("continuous"),
            "min_score": NUMBER,
            "max_score": NUMBER,
            "additional_details": TEXTS,
        },
    ),
    "if": {"required": ["score_type"]},
    "then": {"required": ["min_score", "max_score"]},
}
UNCERTAINTY = thing(
    {},
    {
        "standard_error": thing({"value": NUMBER}, {"method": TEXT}),
        "confidence_interval": thing(
            {"lower": NUMBER, "upper": NUMBER},
            {"confidence_level": {"type": "number", "minimum": 0, "maximum": 1}, "method": TEXT},
        ),
        "num_samples": {"type": "integer"},
        "num_bootstrap_samples": {"type": "integer"},
    },
)
MAYBE = {"type": ["number", "null"]}
GENERATION = thing(
    {},
    {
        "generation_args": thing(
            {},
            {
                "temperature": MAYBE,
                "top_p": MAYBE,
                "top_k": MAYBE,
                "max_tokens": {"type": "integer", "minimum": 1},
            },
        ),
        "additional_details": TEXTS,
    },
)
MODEL = thing(
    {
        "name": TEXT,
        "id": TEXT,
        "additional_details": {
            "type": "object",
            "required": ["deployment_type", "model_availability"],
            "properties": {
                "deployment_type": one_of("self_deployed", "externally_managed", "unknown"),
                "model_availability": one_of("open_weights", "closed_weights", "unknown"),
            },
            "additionalProperties": TEXT,
        },
    },
    {"developer": TEXT, "inference_engine": thing({}, {"name": TEXT, "version": TEXT})},
)
AGGREGATE = thing(
    {
        "schema_version": {"const": "0.3.0"},
        "evaluation_id": TEXT,
        "retrieved_timestamp": TEXT,
        "source_metadata": thing(
            {
                "source_type": one_of("documentation", "evaluation_run"),
                "source_organization_name": TEXT,
                "evaluator_relationship": one_of(
                    "first_party", "third_party", "collaborative", "other"
                ),
            },
            {"source_name": TEXT},
        ),
        "model_info": MODEL,
        "eval_library": thing({"name": TEXT, "version": TEXT}, {"additional_details": TEXTS}),
        "evaluation_results": {
            "type": "array",
            "minItems": 1,
            "items": thing(
                {
                    "evaluation_name": TEXT,
                    "source_data": SOURCE,
                    "metric_config": METRIC,
                    "score_details": thing(
                        {"score": NUMBER}, {"details": TEXTS, "uncertainty": UNCERTAINTY}
                    ),
                },
                {"evaluation_result_id": TEXT, "generation_config": GENERATION},
            ),
        },
    },
    {
        "evaluation_timestamp": TEXT,
        "detailed_evaluation_results": thing(
            {"format": one_of("jsonl"), "file_path": TEXT},
            {
                "hash_algorithm": one_of("sha256", "md5"),
                "checksum": TEXT,
                "total_rows": {"type": "integer"},
            },
        ),
    },
)
_SAMPLE = {
    "schema_version": {"const": "0.3.0"},
    "evaluation_id": TEXT,
    "model_id": TEXT,
    "evaluation_name": TEXT,
    "sample_id": TEXT,
    "input": thing({"raw": TEXT, "reference": {"type": "array", "items": TEXT}}),
    "answer_attribution": {
        "type": "array",
        "items": thing(
            {
                "turn_idx": COUNT,
                "source": TEXT,
                "extracted_value": TEXT,
                "extraction_method": TEXT,
                "is_terminal": {"type": "boolean"},
            }
        ),
    },
}
_MORE = {
    "sample_hash": TEXT,
    "token_usage": thing({"input_tokens": COUNT, "output_tokens": COUNT, "total_tokens": COUNT}),
    "performance": thing({}, {"latency_ms": {"type": "number", "minimum": 0}}),
    "metadata": TEXTS,
}
_RIGHT = {"score": NUMBER, "is_correct": {"type": "boolean"}}
_MESSAGE = thing({"turn_idx": COUNT, "role": one_of("user", "assistant"), "content": TEXT})
SINGLE_TURN = thing(
    {
        **_SAMPLE,
        "interaction_type": one_of("single_turn"),
        "output": thing({"raw": {"type": "array", "items": TEXT}}),
        "evaluation": thing(_RIGHT),
    },
    _MORE,
)
MULTI_TURN = thing(
    {
        **_SAMPLE,
        "interaction_type": one_of("multi_turn"),
        "messages": {"type": "array", "items": _MESSAGE, "minItems": 1},
        "evaluation": thing({**_RIGHT, "num_turns": {"type": "integer", "minimum": 1}}),
    },
    {**_MORE, "output": {"type": "null"}},
)
INSTANCE = {"oneOf": [SINGLE_TURN, MULTI_TURN]}
