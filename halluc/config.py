"""What a user can ask for, checked before anything heavy is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

BASELINE = "baseline"
"""The method that does nothing: what every method is compared with."""


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(_Config):
    """Which model, and how it is loaded."""

    name: str = "glyph"
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = "auto"
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|(cuda|xpu)(:\d+)?)$")
    device_map: Literal["auto", "balanced", "balanced_low_0", "sequential"] | None = Field(
        None, description="spread over several devices by accelerate"
    )
    quantization: Literal["4bit", "8bit"] | None = Field(
        None, description="of linear layers, by bitsandbytes: NF4 or LLM.int8"
    )
    attn_implementation: Literal["auto", "sdpa", "eager", "flash_attention_2"] = Field(
        "auto", description="auto: sdpa wherever transformers has it"
    )
    image_aspect: Literal["native", "pad"] = Field(
        "native", description="pad: to a square, in the mean colour, before the processor"
    )
    system_prompt: str | None = Field(
        None, description="the system's turn; vicuna: the one LLaVA's own code puts first"
    )
    trust_remote_code: bool = Field(False, description="run the checkpoint's own Python code")
    pickled_weights: bool = Field(
        False, description="read weights that are pickles (.bin) where safetensors are missing"
    )


class MethodConfig(_Config):
    """Which method; `params` are those given, `resolved` those it ran with.

    `calibration` names what was measured for it beforehand: method, source, content hash.
    """

    name: str = BASELINE
    params: dict[str, Any] = {}
    calibration: str | None = None
    resolved: dict[str, Any] = {}


def baseline_first(methods: Iterable[MethodConfig], add: bool) -> list[MethodConfig]:
    """Return methods with the baseline in front.

    Args:
        add: Add the baseline if it is not among them; without any method it is always added.
    """
    configs = sorted(methods, key=lambda method: method.name != BASELINE)
    if not configs or (add and configs[0].name != BASELINE):
        configs.insert(0, MethodConfig())
    return configs


class DecodingConfig(_Config):
    """How the next token is chosen, the same for a method and its baseline.

    Sampling draws each sample's noise from its own generator, seeded by `seed` and the sample, so
    neither batch size nor order changes an answer.
    """

    do_sample: bool = False
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, description="0 keeps all tokens")
    num_beams: int = Field(1, ge=1)
    max_new_tokens: int | None = Field(None, ge=1, description="None: the benchmark's own")
    seed: int = 0

    @field_validator("num_beams")
    @classmethod
    def _no_sampled_beams(cls, beams: int, info: ValidationInfo) -> int:
        """Refuse beams that sample: each sample has one stream of noise, not one a beam."""
        if beams > 1 and info.data.get("do_sample"):
            raise ValueError("beams do not sample; leave out do_sample, or set it to 1")
        return beams

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken at each step, neither drawn nor by beams."""
        return not self.do_sample and self.num_beams == 1


class RunConfig(_Config):
    """One model, one method, some benchmarks: what an evaluation is asked to do."""

    model: ModelConfig = ModelConfig()
    method: MethodConfig = MethodConfig()
    benchmarks: tuple[str, ...] = ()
    benchmark_args: dict[str, dict[str, Any]] = {}
    limit: int | None = Field(None, ge=1, description="images of each benchmark")
    decoding: DecodingConfig = DecodingConfig()
    batch_size: int | None = Field(None, ge=1, description="None: what fits")
    share: bool = Field(True, description="compute what prompts have in common once")


def content_hash(value: Any) -> str:
    """Ten hex digits of the SHA-256 of canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:10]
