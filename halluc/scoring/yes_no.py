"""Yes/no answers: one parser per published protocol.

The published scorers agree on a plain "Yes" or "No" and on little else. Each is a parser here (text
to verdict) and a policy for unreadable answers, so that all of their numbers can be reproduced from
the same answers, and unreadable answers are counted under each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Verdict = Literal["yes", "no", "both"]
Unread = Literal["yes", "wrong", "no_but_wrong", "not_counted", "dropped"]


@dataclass(frozen=True)
class ReadingRule:
    """The rule by which a published scorer reads an answer.

    Attributes:
        parse: Text to "yes", "no", "both" (right for either label; VCD alone), or None where the
            text says neither.
        unread: The scorer's treatment of None. "yes": it counts as yes. "wrong": as the opposite
            of the label. "no_but_wrong": as "no" in precision, recall and F1, as wrong in
            accuracy. "not_counted": as wrong in accuracy, and not in precision, recall and F1.
            "dropped": not at all.
        zero_division: The value of precision and recall where their denominator is 0.
        gold_yes_ratio: The "yes ratio" is computed from the labels, a bug of lmms-eval.
        source: The scorer's file.
    """

    parse: Callable[[str], Verdict | None]
    unread: Unread
    source: str
    zero_division: float = float("nan")
    gold_yes_ratio: bool = False


def _says_yes(text: str) -> bool:
    return re.search(r"\byes\b", text, re.IGNORECASE) is not None


def parse_pope(text: str) -> Verdict | None:
    """POPE evaluate.py: no iff No, not or no is a space-split token of the first sentence."""
    tokens = text.split(".", 1)[0].replace(",", "").split(" ")
    if {"No", "not", "no"} & set(tokens):
        return "no"
    return "yes" if _says_yes(text) else None


def parse_opera(text: str) -> Verdict | None:
    """OPERA pope_eval.py, also PAI: as the official one on the whole text, with NO and n't."""
    tokens = text.replace(".", "").replace(",", "").split(" ")
    if {"No", "not", "no", "NO"} & set(tokens) or any(t.endswith("n't") for t in tokens):
        return "no"
    return "yes" if _says_yes(text) else None


def parse_vcd(text: str) -> Verdict | None:
    """VCD eval_pope.py: a substring test for the label's own word, so both may hold."""
    text = text.lower()
    if "yes" in text and "no" in text:
        return "both"
    return "yes" if "yes" in text else "no" if "no" in text else None


def parse_exact(text: str) -> Verdict | None:
    """lmms-eval tasks/pope/utils.py: the whole answer, lower-cased and stripped, or nothing."""
    text = text.lower().strip()
    return "yes" if text == "yes" else "no" if text == "no" else None


def parse_words(text: str) -> Verdict | None:
    """VLMEvalKit dataset/utils/yorn.py: exactly one of the words yes and no occurs."""
    words = _vqa_punctuation(text.lower()).split()
    if ("yes" in words) == ("no" in words):
        return None
    return "yes" if "yes" in words else "no"


def _vqa_punctuation(text: str) -> str:
    """Run VQA's punctuation pass as VLMEvalKit does.

    A symbol that is next to a space anywhere is removed, any other becomes a space. At most 32
    periods are removed, because a flag is passed as a count.
    """
    thousands = re.search(r"\d,\d", text) is not None
    out = text
    for symbol in ';/[]"{}()=+\\_-><@`,?!':
        next_to_space = f"{symbol} " in text or f" {symbol}" in text
        out = out.replace(symbol, "" if next_to_space or thousands else " ")
    return re.sub(r"\.(?!\d)", "", out, count=32)


def parse_substring(text: str) -> Verdict | None:
    """RePOPE src/eval_utils.py, also DASH-B: contains yes, else contains no."""
    text = text.lower()
    return "yes" if "yes" in text else "no" if "no" in text else None


def parse_mme(text: str) -> Verdict | None:
    """MME calculation.py: the same, looked for in the first four characters only."""
    return parse_substring(text[:4])


def parse_mme_lmms(text: str) -> Verdict | None:
    """lmms-eval tasks/mme/utils.py: as MME after a strip, without periods, and with y and n."""
    text = text.lower().strip().replace(".", "")
    letters: dict[str, Verdict] = {"y": "yes", "n": "no"}
    return letters.get(text) or parse_mme(text)


POPE: Mapping[str, ReadingRule] = {
    "official": ReadingRule(parse_pope, "yes", "RUCAIBox/POPE evaluate.py"),
    "vcd": ReadingRule(parse_vcd, "wrong", "DAMO-NLP-SG/VCD experiments/eval/eval_pope.py"),
    "opera": ReadingRule(parse_opera, "yes", "shikiw/OPERA pope_eval.py"),
    "lmms-eval": ReadingRule(
        parse_exact, "not_counted", "lmms-eval tasks/pope/utils.py", 0.0, gold_yes_ratio=True
    ),
    "vlmevalkit": ReadingRule(
        parse_words, "no_but_wrong", "VLMEvalKit vlmeval/dataset/utils/yorn.py", 0.0
    ),
    "repope": ReadingRule(parse_substring, "dropped", "YanNeu/RePOPE src/eval_utils.py"),
}
MME: Mapping[str, ReadingRule] = {
    "official": ReadingRule(parse_mme, "not_counted", "MME eval_tool/calculation.py"),
    "lmms-eval": ReadingRule(parse_mme_lmms, "not_counted", "lmms-eval tasks/mme/utils.py"),
}


def resolve(verdict: Verdict | None, label: str, rule: ReadingRule) -> Literal["yes", "no"] | None:
    """Return the answer that a protocol credits; None if it credits neither."""
    if verdict == "both":
        return "yes" if label == "yes" else "no"
    if verdict is not None:
        return verdict
    if rule.unread == "yes":
        return "yes"
    if rule.unread == "wrong":
        return "no" if label == "yes" else "yes"
    return None
