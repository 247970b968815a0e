"""Every example of docs/add-a-method.md keeps every promise, and imports nothing from inside."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from halluc.interventions import REGISTRY, Method, TwoStreams
from halluc.interventions.seams import SEAMS
from halluc.models import VisionLanguageModel
from halluc.testing import batch_of_questions, check_method, reply
from tests.kit.asking import QUESTIONS
from tests.kit.families import llava, picture

PAGE = (Path(__file__).parents[1] / "docs/add-a-method.md").read_text()
SECTIONS = dict(re.findall(r"^## `(\w+)`:.*?```python\n(.*?)```", PAGE, flags=re.M | re.S))


@cache
def model() -> VisionLanguageModel:
    return llava()


def defined(example: str) -> type[Method]:
    """Run an example; return the method it registers."""
    space: dict[str, object] = {"__name__": "example"}
    exec(compile(example, "docs/add-a-method.md", "exec"), space)
    (found,) = [
        value
        for value in space.values()
        if isinstance(value, type)
        and issubclass(value, Method)
        and value not in (Method, TwoStreams)
    ]
    return found


def test_there_is_a_page_a_seam() -> None:
    assert set(SECTIONS) == set(SEAMS)


@pytest.mark.parametrize("seam", SECTIONS)
def test_the_example_of_a_seam_keeps_every_promise(seam: str) -> None:
    with REGISTRY.scratch():
        cls = defined(SECTIONS[seam])
    assert seam in cls.declared()
    batch = batch_of_questions(QUESTIONS, [picture(0), picture(1)])
    check_method(cls, model(), batch=batch)
    with_it = reply(model(), cls.for_model(model()), batch)
    without = reply(model(), REGISTRY.get("baseline").for_model(model()), batch)
    assert seam in ("revise", "search", "prompt", "confidence") or not with_it.logits.equal(
        without.logits
    )


def test_the_base_of_contrasts_is_all_a_contrast_needs() -> None:
    (example,) = re.findall(r"^## Contrasts.*?```python\n(.*?)```", PAGE, flags=re.M | re.S)
    with REGISTRY.scratch():
        cls = defined(example)
    assert issubclass(cls, TwoStreams)
    batch = batch_of_questions(QUESTIONS, [picture(0), picture(1)])
    check_method(cls, model(), batch=batch)
    without = reply(model(), REGISTRY.get("baseline").for_model(model()), batch)
    assert not reply(model(), cls.for_model(model()), batch).logits.equal(without.logits)


@pytest.mark.parametrize("seam", SECTIONS)
def test_no_example_imports_from_inside_the_package(seam: str) -> None:
    imported = re.findall(r"^(?:from|import) (halluc[\w.]*)", SECTIONS[seam], flags=re.M)
    assert set(imported) == {"halluc"}


def test_every_seam_is_used_by_a_shipped_method() -> None:
    declared = {seam for name in REGISTRY.names() for seam in REGISTRY.get(name).declared()}
    assert declared == set(SEAMS)
