"""Defaults of every method and variant, written down by hand, and held to what cards say of them.

The model they are resolved for has the configuration of LLaVA-1.5-7B on 32 tiny layers.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, get_args

import pytest

from halluc.data.coco_names import COCO_NAMES
from halluc.interventions import REGISTRY, Method
from halluc.models import VisionLanguageModel
from tests.kit.families import llava
from tests.kit.families.parts import config

CODE = "official_code"
UNSTATED = {"detector_revision", "matcher_revision", "vectors_hash"}
"""Hashes of files."""


class Setting(NamedTuple):
    """A method as it is without options, or as a variant.

    Attributes:
        variant: None where the method has none.
        params: All that is filled in for the model; None where a parameter stays None.
        layers: Where its seams are called.
    """

    name: str
    variant: str | None
    params: dict[str, Any]
    layers: range | tuple[int, ...] = range(32)


VAR = {
    "rho": 0.5, "rows": "after_image", "min_image_mass": 0.2, "tau": 20.0,
    "sink_dims": (1415, 2533),
}  # fmt: skip
PAINT = {"alpha": 0.7, "beta": 0.3, "local_ratio": 0.25, "first_layer": 2}
ACT = {
    "beta": 0.4, "threshold": 0.1, "alpha": 5.0, "first_layer": 2, "last_layer": 30, "heads": None,
}  # fmt: skip
AGLA = {"alpha": 2.0, "beta": 0.5, "matcher": "glyph", "cam_layer": 1}
VCD = {"alpha": 1.0, "step": 500}
DOLA = {"bucket": "low", "layers": tuple(range(0, 16, 2)), "relative_top": 0.1, "weight": 1.0}
MEMVR = {"ratio": 0.12, "threshold": 0.75, "first_layer": 6, "last_layer": 15}
VTI = {"demos": 16, "copies": 10, "mask_ratio": 0.99, "vectors": None}
NULLU = {"rank": 4, "first_layer": 16, "last_layer": 31, "demos": 16, "vectors": None}
OPERA = {
    "num_beams": 5, "n_can": 5, "alpha": 1.0, "scale": 50.0, "window": 512, "threshold": 15,
    "most": None,
}  # fmt: skip
OLM = {"mass": 0.2, "gap": 0.5}
SID = {"alpha": 1.0, "beta": 0.1, "share": 100 / 576, "layer": 2}
DAMRO = {"alpha": 2.0, "beta": 0.1, "share": 10 / 576, "vision_layer": -2}
CAUSALMM = {"vision": "shuffled", "text": "reversed"}
VISTA = {"strength": 0.17, "gamma": 0.3}
PROJECT_AWAY = {
    "weight": 1.5, "threshold": 0.1, "text_layer": 1, "image_layer": 3, "draft": None,
    "draft_tokens": 128, "objects": COCO_NAMES,
}  # fmt: skip

NOLAN = {"alpha": 0.8, "beta": 0.0, "dynamic": True}
RITUAL = {"alpha": 3.0, "beta": 0.1, "transform": None}
SID = {"alpha": 1.0, "beta": 0.1, "share": 100 / 576, "layer": 2}
DAMRO = {"alpha": 2.0, "beta": 0.1, "share": 10 / 576, "vision_layer": -2}
CAUSAL = {"vision": "shuffled", "text": "reversed"}
ADAPTVIS = {"smooth": 0.5, "sharpen": 1.5, "threshold": 0.4, "weight": None}
AD_HH = {
    13: (31,), 14: (16,), 15: (10, 24, 25), 16: (29,), 17: (0, 28), 18: (9, 26), 19: (18, 27),
    20: (12,), 22: (20,), 26: (9, 28), 27: (29,), 30: (9,), 31: (3, 26),
}  # fmt: skip
HALC = {
    "n_crops": 4, "expand_ratio": 0.6, "beta": 0.05, "num_beams": 1, "objects": COCO_NAMES,
    "detector": "glyph", "box_threshold": 0.3, "matcher": "glyph",
}  # fmt: skip
CONFUSED = (
    "You are a confused objects detector to provide a fuzzy overview or impression of the image."
)
COVERING = (
    "Provide a detailed description of the image, covering all visible elements and their "
    "interactions, so as to thoroughly answer any potential questions about the image."
)
EXPLAIN = "Explain what the {concept} in the image looks like, in one short paragraph."
RECOVER = (
    'This text explains something in the image, and hides its name: "{explanation}" What is it? '
    "Answer with its name alone."
)

SETTINGS = [
    Setting("baseline", None, {}),
    Setting("var", "paper", VAR | {"keep": 0.4}, range(2, 31)),
    Setting("var", CODE, VAR | {"keep": 0.6}, range(2, 32)),
    Setting(
        "vhr", None,
        {
            "gain": 2.0, "layers": (1, *range(18, 32)), "drop_outliers": True,
            "squared_text_activity": True, "unbiased": True,
        },
        (1, *range(18, 32)),
    ),
    Setting("paint", "paper", PAINT | {"gamma": 1.0, "boost_prompt": True}, range(2, 32)),
    Setting("paint", CODE, PAINT | {"gamma": 1.1, "boost_prompt": False}, range(2, 32)),
    Setting("act", "paper", ACT, range(2, 31)),
    Setting("act", CODE, ACT, range(2, 31)),
    Setting(
        "zerotuning", None,
        {"gamma": 0.6, "first_layer": 0, "last_layer": 21, "heads": None}, range(22),
    ),
    Setting("agla", "paper", AGLA),
    Setting("agla", CODE, AGLA),
    Setting("cmai", None, {"share": 0.25, "layer": 8}, range(8, 32)),
    Setting("flowcut", None, {"target": 1 / 3}),
    Setting("vmtc", None, {"primary": 0.25, "clusters": 0.0625, "iterations": 10}),
    Setting("vcd", "paper", VCD | {"beta": 0.1}),
    Setting("vcd", CODE, VCD | {"beta": 0.2}),
    Setting("apc", None, {"beta": 0.2}),
    Setting("olm", "paper", OLM),
    Setting("olm", CODE, OLM),
    Setting("pba", None, {"text": " Answer yes whenever possible."}),
    Setting(
        "recheck", None,
        {"objects": COCO_NAMES, "question": "Is there {object} in the image?"},
    ),
    Setting("dola", "paper", DOLA),
    Setting("dola", CODE, DOLA),
    Setting("memvr", "paper", MEMVR, (0, *range(7, 17))),
    Setting("memvr", CODE, MEMVR, (0, *range(7, 17))),
    Setting("vti", "paper", VTI | {"alpha_text": 0.4, "alpha_image": 0.4}, range(1, 33)),
    Setting("vti", CODE, VTI | {"alpha_text": 0.9, "alpha_image": 0.9}),
    Setting("nullu", "paper", NULLU),
    Setting("nullu", CODE, NULLU),
    Setting("opera", "paper", OPERA, (31,)),
    Setting("opera", CODE, OPERA, (31,)),
    Setting("sid", "paper", SID, range(1, 32)),
    Setting("sid", CODE, SID, range(1, 32)),
    Setting("damro", "paper", DAMRO),
    Setting("damro", CODE, DAMRO),
    Setting("avisc", None, {"alpha": 1.0, "beta": 0.1, "gamma": 0.5, "lamb": 1.0}),
    Setting("causalmm", "paper", CAUSALMM | {"parts": "both", "gamma": 0.5, "beta": 0.1}),
    Setting("causalmm", CODE, CAUSALMM | {"parts": "vision", "gamma": 1.0, "beta": 0.6}, ()),
    Setting("opera", "fast", OPERA | {"n_can": 1, "threshold": 25}, (31,)),
    Setting(
        "deco", None,
        {"alpha": 0.6, "top_p": 0.9, "top_k": 20, "layers": tuple(range(20, 29))},
    ),
    Setting(
        "only", None, {"collaborate": 3.0, "contrast": 1.0, "gamma": 0.1, "beta": 0.1}, (0, 31)
    ),
    Setting("m3id", None, {"alpha": 1.0, "beta": 0.1, "decay": 0.02, "gate": 1.0}),
    Setting("icd", None, {"alpha": 1.0, "beta": 0.1, "instruction": CONFUSED}),
    Setting("nolan", "paper", NOLAN),
    Setting("nolan", CODE, NOLAN),
    Setting("ritual", "paper", RITUAL),
    Setting("ritual", CODE, RITUAL),
    Setting(
        "code", None,
        {"alpha": 1.0, "beta": 1.0, "power": 0.7, "max_new_tokens": 512, "prompt": COVERING},
    ),
    Setting("sid", "paper", SID, range(1, 32)),
    Setting("sid", CODE, SID, range(1, 32)),
    Setting("avisc", None, {"alpha": 1.0, "beta": 0.1, "gamma": 0.5, "lamb": 1.0}),
    Setting("damro", "paper", DAMRO),
    Setting("damro", CODE, DAMRO),
    Setting("causalmm", "paper", CAUSAL | {"parts": "both", "gamma": 0.5, "beta": 0.1}),
    Setting("causalmm", CODE, CAUSAL | {"parts": "vision", "gamma": 1.0, "beta": 0.6}, ()),
    Setting(
        "pai", "paper",
        {"alpha": 0.5, "gamma": 1.1, "first_layer": 2, "boost_prompt": True}, range(2, 32),
    ),
    Setting(
        "pai", CODE,
        {"alpha": 0.2, "gamma": 1.1, "first_layer": 2, "boost_prompt": False}, range(2, 32),
    ),
    Setting(
        "vaf", None,
        {"enhance": 1.15, "suppress": 0.95, "first_layer": 9, "last_layer": 14}, range(9, 15),
    ),
    Setting("hgai", None, {"alpha": 0.5, "first_layer": 5, "last_layer": 18}, range(5, 19)),
    Setting("adaptvis", "paper", ADAPTVIS),
    Setting("adaptvis", CODE, ADAPTVIS),
    Setting("adhh", None, {"threshold": 0.4, "demos": 16, "heads": AD_HH}, tuple(AD_HH)),
    Setting("halc", "paper", HALC | {"k_candidates": 6}),
    Setting("halc", CODE, HALC | {"k_candidates": 4}),
    Setting("consistency", None, {"replies": 5, "temperature": 1.0, "threshold": 0.5}),
    Setting(
        "familiarity", None,
        {
            "explain": EXPLAIN, "recover": RECOVER, "threshold": 0.1, "objects": COCO_NAMES,
            "length": 128,
        },
    ),
    Setting("vista", "paper", VISTA | {"window": 5}, range(33)),
    Setting("vista", CODE, VISTA | {"window": 6}, range(33)),
    Setting("projectaway", "paper", PROJECT_AWAY, range(33)),
    Setting("projectaway", CODE, PROJECT_AWAY, range(33)),
]  # fmt: skip
"""The first of a method's is what it is without options."""


@cache
def like_llava_7b() -> VisionLanguageModel:
    """Tiny layers under a configuration that VAR and VHR have published numbers for."""
    made = llava(num_hidden_layers=32)
    text = config("llama", hidden_size=4096, num_hidden_layers=32, num_attention_heads=32)
    made.model.config.text_config = text
    made.model.config.text_config.vocab_size = 32064
    return made


def resolved(name: str, variant: str | None) -> Method:
    cls = REGISTRY.get(name)
    params = cls.parameters({} if variant is None else {"variant": variant})
    return cls(cls.resolve(params, like_llava_7b()))


def held(method: Method) -> dict[str, Any]:
    return {key: x for key, x in method.params.model_dump().items() if key not in UNSTATED}


def of(setting: Setting) -> str:
    return f"{setting.name}-{setting.variant or 'alone'}"


@pytest.mark.parametrize("setting", SETTINGS, ids=of)
def test_defaults_and_layers_are_those_of_the_table(setting: Setting) -> None:
    method = resolved(setting.name, setting.variant)
    variant = {} if setting.variant is None else {"variant": setting.variant}
    assert held(method) == variant | setting.params
    assert tuple(method.layers(32)) == tuple(setting.layers)


@pytest.mark.parametrize("name", sorted({setting.name for setting in SETTINGS}))
def test_a_method_without_options_is_the_first_of_its_settings(name: str) -> None:
    first = next(setting for setting in SETTINGS if setting.name == name)
    assert held(resolved(name, None)) == held(resolved(name, first.variant))


def test_no_method_or_variant_is_missing_from_the_table() -> None:
    named: dict[str, set[str | None]] = {name: set() for name in REGISTRY.names()}
    for setting in SETTINGS:
        named[setting.name].add(setting.variant)
    for name, variants in named.items():
        field = REGISTRY.get(name).Params.model_fields.get("variant")
        assert variants == (set(get_args(field.annotation)) if field else {None}), name


class Saying(NamedTuple):
    """A phrase that a card or a docstring holds, and the parameter it is about."""

    name: str
    variant: str | None
    phrase: str
    parameter: str
    value: Any


SAYINGS = [
    Saying("var", "paper", "paper moves 60% of the sinks' attention (keep 0.4)", "keep", 0.4),
    Saying("var", CODE, "the code 40% (keep 0.6)", "keep", 0.6),
    Saying("var", None, "the threshold 0.5 for rho", "rho", 0.5),
    Saying("vhr", None, "Doubles the image-sensitive half", "gain", 2.0),
    Saying("vhr", None, "in layer 1 and the late layers", "layers", (1, *range(18, 32))),
    Saying(
        "vhr", None, "for LLaVA-1.5-7B and LLaVA-NeXT-7B (1 and 18 to 31)",
        "layers", (1, *range(18, 32)),
    ),
    Saying("vhr", None, "divides by H - 1", "unbiased", True),
    Saying("paint", "paper", "layers 2 to L-1", "first_layer", 2),
    Saying("paint", "paper", "alpha 0.7 and beta 0.3 are the code's arguments", "alpha", 0.7),
    Saying("paint", "paper", "alpha 0.7 and beta 0.3 are the code's arguments", "beta", 0.3),
    Saying("paint", CODE, "classifier-free guidance on (gamma 1.1)", "gamma", 1.1),
    Saying(
        "paint", "paper", "paper boosts the prompt's last row and guides nothing", "gamma", 1.0
    ),
    Saying(
        "paint", "paper", "paper boosts the prompt's last row and guides nothing",
        "boost_prompt", True,
    ),
    Saying("act", None, "every sink but the first, layers 2 to L-2", "first_layer", 2),
    Saying("act", None, "every sink but the first, layers 2 to L-2", "last_layer", 30),
    Saying("act", "paper", "the threshold is alpha/n; its alpha of 5", "alpha", 5.0),
    Saying("act", CODE, "the code's fixed 0.1", "threshold", 0.1),
    Saying("zerotuning", None, "Gives the first token 0.6 of its weight", "gamma", 0.6),
    Saying("zerotuning", None, "0.6 is our choice", "gamma", 0.6),
    Saying("zerotuning", None, "all heads of the first 22/32 of the layers", "last_layer", 21),
    Saying("cmai", None, "which layer the focus comes from is our choice: layer L/4", "layer", 8),
    Saying("cmai", None, "the lowest quarter of a row", "share", 0.25),
    Saying("flowcut", None, "Prunes to a third of the patches", "target", 1 / 3),
    Saying("flowcut", None, "192 of LLaVA-1.5's 576", "target", 192 / 576),
    Saying("vmtc", None, "1/4 of the patches stay and the others become 1/16", "primary", 1 / 4),
    Saying("vmtc", None, "1/4 of the patches stay and the others become 1/16", "clusters", 1 / 16),
    Saying("vmtc", None, "runs 10 rounds", "iterations", 10),
    Saying("vcd", "paper", "beta is 0.1 as in the code's arguments", "beta", 0.1),
    Saying("vcd", CODE, "its script for POPE on LLaVA-1.5 passes 0.2", "beta", 0.2),
    Saying("apc", None, "less probable than a fifth of the likeliest one", "beta", 1 / 5),
    Saying("apc", None, "0.2 is the code's", "beta", 0.2),
    Saying("olm", None, "the thresholds 0.2 and 0.5 are the code's", "mass", 0.2),
    Saying("olm", None, "the thresholds 0.2 and 0.5 are the code's", "gap", 0.5),
    Saying("memvr", None, "layers 6 to 15 of 32 may trigger", "first_layer", 6),
    Saying("memvr", None, "layers 6 to 15 of 32 may trigger", "last_layer", 15),
    Saying("memvr", None, "ratio 0.12 is the code's", "ratio", 0.12),
    Saying("vti", "paper", "strengths (0.4)", "alpha_text", 0.4),
    Saying("vti", "paper", "strengths (0.4)", "alpha_image", 0.4),
    Saying("vti", CODE, "official_code has the README's strengths 0.9", "alpha_text", 0.9),
    Saying("vti", CODE, "official_code has the README's strengths 0.9", "alpha_image", 0.9),
    Saying("vti", None, "16 drawn scenes, 10 copies each", "demos", 16),
    Saying("vti", None, "16 drawn scenes, 10 copies each", "copies", 10),
    Saying("nullu", None, "rank 4 is LLaVA-1.5's", "rank", 4),
    Saying("nullu", None, "the upper half", "first_layer", 16),
    Saying("nullu", None, "demos: 16 drawn scenes", "demos", 16),
    Saying("opera", "paper", "it is 512 tokens", "window", 512),
    Saying("sid", None, "100 of 576 tokens are a share", "share", 100 / 576),
    Saying("sid", None, "behind layer 2 of 32", "layer", 2),
    Saying("damro", None, "10 of 576 tokens are a share", "share", 10 / 576),
    Saying("damro", None, "alpha 2 is the code's for LLaVA", "alpha", 2.0),
    Saying("avisc", None, "alpha is 1 as in the code's arguments", "alpha", 1.0),
    Saying("causalmm", "paper", "gamma .5 and beta .1 are the code's functions'", "gamma", 0.5),
    Saying("causalmm", "paper", "gamma .5 and beta .1 are the code's functions'", "beta", 0.1),
    Saying("causalmm", CODE, "its script for POPE passes 1 and .6", "gamma", 1.0),
    Saying("causalmm", CODE, "its script for POPE passes 1 and .6", "beta", 0.6),
    Saying("causalmm", CODE, "exchanges the tower's attention alone", "parts", "vision"),
]  # fmt: skip


@pytest.mark.parametrize("saying", SAYINGS, ids=lambda saying: f"{saying.name}-{saying.parameter}")
def test_parameters_have_the_values_their_card_states(saying: Saying) -> None:
    cls = REGISTRY.get(saying.name)
    assert saying.phrase in " ".join((*cls.card.deviations, str(cls.__doc__)))
    assert getattr(resolved(saying.name, saying.variant).params, saying.parameter) == saying.value
