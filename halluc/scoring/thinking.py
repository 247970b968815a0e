"""What reasoning models think aloud, which is not their answer.

A scorer that looks for yes or no would read it in the thoughts, and CHAIR would count objects that
were only considered. Thoughts are therefore taken out before an answer is read; the answer that is
kept has them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from halluc.types import Answer

RULE = "thinking-1"
"""Name of the rule below; scores say where it took something out."""
THOUGHTS = (
    ("<think>", "</think>"),  # DeepSeek-R1, Qwen3, GLM-4.1V
    ("<thinking>", "</thinking>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # Sky-T1, LlamaV-o1
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi-VL
)
ANSWERS = (
    ("<answer>", "</answer>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|begin_of_box|>", "<|end_of_box|>"),
)
"""What stands around the answer behind thoughts; it is taken off with them."""


def strip(text: str) -> str:
    """Return an answer without its thoughts; a text that has none as it is.

    Thoughts that are closed but not opened began in the prompt, as many chat templates have it;
    those that are opened but not closed were cut by the token limit, and nothing was answered.
    """
    said = text
    for opening, closing in THOUGHTS:
        said = re.sub(_between(opening, closing), "", said, flags=re.DOTALL | re.IGNORECASE)
        said = re.split(re.escape(closing), said, flags=re.IGNORECASE)[-1]
        said = re.split(re.escape(opening), said, maxsplit=1, flags=re.IGNORECASE)[0]
    if said == text:
        return text
    for mark in (mark for pair in ANSWERS for mark in pair):
        said = re.sub(re.escape(mark), "", said, flags=re.IGNORECASE)
    return said.strip()


def _between(opening: str, closing: str) -> str:
    return f"{re.escape(opening)}.*?{re.escape(closing)}"


def spoken(answer: Answer) -> Answer:
    """Return an answer as a scorer reads it: without thoughts."""
    said = strip(answer.text)
    return answer if said is answer.text else replace(answer, text=said)


def thoughtful(answers: Iterable[Answer]) -> int:
    """Count answers with thoughts in them."""
    return sum(strip(answer.text) is not answer.text for answer in answers)


def note(answers: Iterable[Answer]) -> list[str]:
    """Say how many answers were read without their thoughts; nothing where none has any."""
    if not (n := thoughtful(answers)):
        return []
    return [f"{n} answers are read without the thoughts in them (rule {RULE})"]
