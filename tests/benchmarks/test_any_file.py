"""Whatever a benchmark's files hold: one line of complaint, or what its docstring promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halluc.benchmarks import (
    amber,
    chair_coco,
    dash_b,
    hallusionbench,
    haloquest,
    humblebench,
    mmhal_bench,
    mmstar,
    mmvp,
    object_halbench,
    openchair,
    phd,
    pope,
    r_bench,
)
from halluc.benchmarks._mme import MmePhotographs
from halluc.benchmarks.mme import MmeHallucination
from halluc.images import BadImage
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.base import Benchmark
from halluc.scoring.hallusionbench.metric import RIGHT, UNCLEAR, WRONG, verdict
from halluc.scoring.judges.judge_models import Judge
from halluc.types import Answer
from tests.benchmarks.hub import picture
from tests.kit.any_file import FEW, HOSTILE, MANY, Reader, survives

Folder = dict[str, str | bytes]


class SmallDashB(dash_b.DashB):
    questions = 4


class SmallMmStar(mmstar.MmStar):
    questions = 4


class SmallObjectHalBench(object_halbench.ObjectHalBench):
    questions = 3


class ColorOnly(MmePhotographs):
    subtasks = ("color",)
    sums = {"total": subtasks}
    card = MmeHallucination.card


def lined(records: Iterable[Any]) -> str:
    return "\n".join(map(json.dumps, records))


def images(*names: str) -> Folder:
    return dict.fromkeys(names, picture())


AMBER: Folder = {
    "annotations.json": json.dumps(
        [
            {"id": 1, "type": "generative", "truth": ["dog"], "hallu": ["cat"]},
            {"id": 2, "type": "generative", "truth": ["cat"], "hallu": []},
            {"id": 3, "type": "relation", "truth": "no"},
            {"id": 4, "type": "relation", "truth": "yes"},
        ]
    ),
    "query_all.json": json.dumps(
        [{"id": n, "image": f"AMBER_{n}.jpg", "query": "Is it?"} for n in (1, 2, 3, 4)]
    ),
    "answers.json": json.dumps([{"id": n, "response": "Yes"} for n in (1, 2, 3, 4)]),
    **images(*(f"AMBER_{n}.jpg" for n in (1, 2, 3, 4))),
}
DASH_B: Folder = {
    **{
        f"dash_benchmark_{part}.json": json.dumps({"coco": {"bus": ["1.jpg", "2.jpg"]}})
        for part in ("neg", "pos")
    },
    **images(*(f"{part}/coco/bus/{n}.jpg" for part in ("neg", "pos") for n in (1, 2))),
    "answers.json": json.dumps(
        [
            {"img_id": n, "object_name": "bus", "gt": "yes", "response": "Yes"}
            for n in range(SmallDashB.questions)
        ]
    ),
}
FIGURES = [
    dict(
        zip(
            hallusionbench.FIELDS,
            ("VD", "map", "0", n, n, "1", "Is it?", "1", "It is."),
            strict=True,
        )
    )
    for n in ("0", "1")
]
HALLUSION: Folder = {
    "HallusionBench.json": json.dumps(FIGURES),
    "answers.json": json.dumps([{**figure, "model_prediction": "Yes"} for figure in FIGURES]),
    **images("VD/map/0_0.png", "VD/map/0_1.png"),
}
R_BENCH: Folder = {
    r_bench.QUESTIONS: lined(
        {"question_id": n, "image": f"{n}.jpg", "text": "Is it?", "label": "no"} for n in (1, 2)
    ),
    **{r_bench.SUBSET.format(subset): "[1, 2]" for subset in r_bench.SUBSETS},
    **images("1.jpg", "2.jpg"),
    "answers.jsonl": lined({"question_id": n, "text": "No."} for n in (1, 2)),
}
MMVP: Folder = {
    mmvp.FILE: "Index,Question,Options,Correct Answer\n"
    + "".join(f"{n},Open or closed?,(a) Open (b) Closed,(a)\n" for n in (1, 2)),
    **images("MMVP Images/1.jpg", "MMVP Images/2.jpg"),
    "answers.jsonl": lined(
        {"question_id": n, "prompt": "? (a) A (b) B", "answer": "(a)", "response": "A"}
        for n in range(1, 301)
    ),
}
CHOICES = "Which?\nA. One\nB. Two\nC. Three\nD. Four\nE. None of the above"
HUMBLE: Folder = {
    humblebench.FILE: lined(
        {"file_name": f"{n}.jpg", "question_id": n, "question": CHOICES, "label": "E", "type": kind}
        for n, kind in enumerate(humblebench.TYPES)
    ),
    **images(*(f"{n}.jpg" for n in range(3))),
    "answers.jsonl": lined(
        {
            "question_id": n,
            "question": CHOICES,
            "label": "A",
            "type": "Object",
            "image": {"path": f"{n}.jpg"},
            "prediction": "A",
        }
        for n in range(3)
    ),
}
PHD: Folder = {
    phd.FILE: json.dumps(
        [
            {
                "image_id": f"{n}",
                "task": "object",
                "yes_question": "Is it?",
                "no_question": "Is it not?",
                **({"ccs_description": "Odd."} if n == 3 else {}),
                "context": {"sec": "It may be.", "icc": "It is."},
            }
            for n in range(4)
        ]
    ),
    **images(*(f"COCO_val2014_{n:012d}.jpg" for n in range(3)), "CCS_images/3.png"),
}
STARS = json.dumps(
    [
        {
            "index": n,
            "question": "Which?\nOptions: A: x, B: y",
            "answer": "A",
            "category": "math",
            "prediction": "A",
        }
        for n in range(SmallMmStar.questions)
    ]
)
RATED = [
    {
        "question_type": mmhal_bench.TYPES[n % 8],
        "image_id": f"{n}",
        "image_src": f"http://x/{n}.jpg",
        "image_content": ["dog"],
        "question": "What?",
        "gt_answer": "A dog.",
        "model_answer": "A cat.",
    }
    for n in range(mmhal_bench.QUESTIONS)
]
MMHAL: Folder = {
    mmhal_bench.FILE: json.dumps(RATED[:3]),
    "answers.json": json.dumps(RATED),
    **images(*(f"{n}.jpg" for n in range(3))),
}
HALOQUEST: Folder = {
    haloquest.FILE: ",image_name,hallucination type,question,groundtruth responses\n"
    + "".join(f'{n},{n}.jpg,visual challenge,What?,"a ""dog""; a cat"\n' for n in range(3)),
    "answers.jsonl": lined({"id": n, "response": "A dog."} for n in range(3)),
    **images(*(f"{n}.jpg" for n in range(3))),
}
COCO: Folder = {
    "instances_val2014.json": json.dumps(
        {
            "images": [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2)],
            "categories": [{"id": 1, "name": "dog"}],
            "annotations": [{"id": n, "image_id": n, "category_id": 1} for n in (1, 2)],
        }
    ),
    "captions_val2014.json": json.dumps(
        {
            "images": [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2)],
            "annotations": [{"id": n, "image_id": n, "caption": "A dog."} for n in (1, 2)],
        }
    ),
    **images("1.jpg", "2.jpg"),
}
OBJECTS: Folder = {
    **COCO,
    object_halbench.FILE: lined(
        {"image_id": n, "question": "What?", "image": "iVBORw0KGgo="} for n in (1, 2)
    ),
    "truth.json": json.dumps({"1": ["dog"], "2": []}),
    "answers.jsonl": lined(
        {"image_id": 1 + n % 2, "question": f"{n}?", "text": "A dog."} for n in range(3)
    ),
}
POPE: Folder = {
    **{
        f"gqa_pope_{strategy}.json": lined(
            {"question_id": n, "image": f"{n}.jpg", "text": "Is it?", "label": "yes"}
            for n in (1, 2)
        )
        for strategy in ("random", "popular", "adversarial")
    },
    **images("1.jpg", "2.jpg"),
}
MME: Folder = {
    "color/1.txt": "Is it?\tYes\nIs it not?\tNo\n",
    "color/1.jpg": picture(),
}


def asked(make: Callable[..., Benchmark]) -> Callable[[Path], Any]:
    """Read questions, and open the image of each."""

    def read(folder: Path) -> list[Any]:
        (folder.parent / "private.png").write_bytes(picture()[:40] + b"not to be opened")
        samples = list(make(folder=folder).samples())
        for sample in samples:
            try:
                assert sample.load_image().size == (4, 4)
            except BadImage:
                continue
        return samples

    return read


def complete(samples: list[Any]) -> bool:
    """Each sample is another one, and is all text where it must be."""
    texts = [part for s in samples for part in (s.id, s.image_id, s.prompt, s.group)]
    return len({s.id for s in samples}) == len(samples) and all(isinstance(t, str) for t in texts)


def answered(
    make: Callable[..., Benchmark], answers: str, labels: str = "", truth: str = ""
) -> Callable[[Path], Any]:
    """Read answers, and what they are answers to."""

    def read(folder: Path) -> list[Answer]:
        files = AnswerFiles(
            folder / answers,
            folder / labels if labels else None,
            folder / truth if truth else None,
        )
        return make().read_answers(files)

    return read


def ids(*wanted: str) -> Callable[[list[Answer]], bool]:
    """Exactly these are answered, each once: nothing is left out in silence."""
    return lambda answers: sorted(one.id for one in answers) == sorted(wanted)


def numbered(n: int) -> Callable[[list[Answer]], bool]:
    return lambda answers: len(answers) == n == len({one.id for one in answers})


def groups_whole(answers: list[Answer]) -> bool:
    """Each of AMBER's two tasks is answered as a whole or not at all."""
    got = {one.id for one in answers}
    return all(len(got & task) in (0, 2) for task in ({"00001", "00002"}, {"00003", "00004"}))


def is_letters(answers: list[Answer]) -> bool:
    return numbered(300)(answers) and {one.target["answer"] for one in answers} <= {"(a)", "(b)"}


READERS = (
    Reader("amber annotations", AMBER, "annotations.json", asked(amber.Amber), complete),
    Reader("amber queries", AMBER, "query_all.json", asked(amber.Amber), complete),
    Reader(
        "amber answers",
        AMBER,
        "answers.json",
        answered(amber.Amber, "answers.json", "annotations.json"),
        groups_whole,
    ),
    Reader("dash_b lists", DASH_B, "dash_benchmark_neg.json", asked(SmallDashB), complete),
    Reader(
        "dash_b answers", DASH_B, "answers.json", answered(SmallDashB, "answers.json"), numbered(4)
    ),
    Reader(
        "hallusionbench questions",
        HALLUSION,
        "HallusionBench.json",
        asked(hallusionbench.HallusionBench),
        complete,
    ),
    Reader(
        "hallusionbench answers",
        HALLUSION,
        "answers.json",
        answered(hallusionbench.HallusionBench, "answers.json", "HallusionBench.json"),
        ids("VD/map/0/0/0", "VD/map/0/1/1"),
    ),
    Reader(
        "r_bench questions", R_BENCH, r_bench.QUESTIONS, asked(r_bench.RBench), complete, "lines"
    ),
    Reader("r_bench subset", R_BENCH, r_bench.SUBSET.format(3), asked(r_bench.RBench), complete),
    Reader(
        "r_bench answers",
        R_BENCH,
        "answers.jsonl",
        answered(r_bench.RBench, "answers.jsonl", r_bench.QUESTIONS),
        ids("1", "2"),
        "lines",
    ),
    Reader(
        "humblebench questions",
        HUMBLE,
        humblebench.FILE,
        asked(humblebench.HumbleBench),
        complete,
        "lines",
    ),
    Reader(
        "humblebench answers",
        HUMBLE,
        "answers.jsonl",
        answered(humblebench.HumbleBench, "answers.jsonl"),
        complete,
        "lines",
    ),
    Reader("phd questions", PHD, phd.FILE, asked(phd.PhD), complete),
    Reader(
        "mmstar answers",
        {"answers.json": STARS},
        "answers.json",
        answered(SmallMmStar, "answers.json"),
        numbered(4),
    ),
    Reader("mmvp questions", MMVP, mmvp.FILE, asked(mmvp.Mmvp), complete, "text"),
    Reader(
        "mmvp answers",
        MMVP,
        "answers.jsonl",
        answered(mmvp.Mmvp, "answers.jsonl"),
        is_letters,
        "lines",
    ),
    Reader(
        "mmhal_bench questions", MMHAL, mmhal_bench.FILE, asked(mmhal_bench.MmhalBench), complete
    ),
    Reader(
        "mmhal_bench answers",
        MMHAL,
        "answers.json",
        answered(mmhal_bench.MmhalBench, "answers.json"),
        numbered(mmhal_bench.QUESTIONS),
    ),
    Reader(
        "haloquest questions",
        HALOQUEST,
        haloquest.FILE,
        asked(haloquest.HaloQuest),
        complete,
        "text",
    ),
    Reader(
        "haloquest answers",
        HALOQUEST,
        "answers.jsonl",
        answered(haloquest.HaloQuest, "answers.jsonl", haloquest.FILE),
        ids("0000", "0001", "0002"),
        "lines",
    ),
    Reader(
        "object_halbench questions",
        OBJECTS,
        object_halbench.FILE,
        asked(object_halbench.ObjectHalBench),
        complete,
        "lines",
    ),
    Reader(
        "object_halbench answers",
        OBJECTS,
        "answers.jsonl",
        answered(SmallObjectHalBench, "answers.jsonl", truth="truth.json"),
        numbered(3),
        "lines",
    ),
    Reader(
        "chair_coco instances",
        COCO,
        "instances_val2014.json",
        asked(chair_coco.ChairCoco),
        complete,
    ),
    Reader(
        "chair_coco captions", COCO, "captions_val2014.json", asked(chair_coco.ChairCoco), complete
    ),
    Reader("pope questions", POPE, "gqa_pope_popular.json", asked(pope.PopeGqa), complete, "lines"),
    Reader("mme questions", MME, "color/1.txt", asked(ColorOnly), complete, "text"),
    Reader(
        "openchair ratings",
        {"concreteness.csv": "Word,Conc.M\ndog,4.9\nidea,1.2\n"},
        "concreteness.csv",
        lambda folder: openchair.OpenChair(folder=folder).concrete,
        lambda words: all(isinstance(word, str) for word in words),
        "text",
    ),
)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_any_file_is_read_or_refused_in_one_line(reader: Reader) -> None:
    survives(reader, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_many_a_file_is_read_or_refused_in_one_line(reader: Reader) -> None:
    survives(reader, MANY)


class Says:
    """A judge that always gives one reply."""

    name = "says"

    def __init__(self, reply: str) -> None:
        self.reply = reply

    def ask(self, prompt: str) -> str:
        return self.reply


words = st.sampled_from(["yes", "no", "Rating: 3", "correct", "[", '["dog"]', "\n", *HOSTILE])


@settings(max_examples=4 * FEW, derandomize=True, deadline=None, database=None)
@given((words | st.text()) | st.lists(words).map(" ".join) | st.integers(1, 10**5).map("[".__mul__))
def test_any_reply_of_a_judge_is_read_or_is_none(reply: str) -> None:
    judge = cast(Judge, Says(reply))
    one = Answer("1", "1.jpg", "all", "What?", "a dog", text="A dog.")
    assert haloquest.HaloQuest(judge=judge).predict(one) in ("yes", "no", None)
    two = Answer("1", "1.jpg", "all", "?", {"options": "(a) A (b) B", "answer": "(a)"}, text="A")
    assert mmvp.Mmvp("official", judge=judge).predict(two) in ("yes", "no", None)
    assert mmhal_bench.rating(reply) in (*range(7), None)
    assert openchair.read(reply) in ("yes", "no", "unsure", "unread")
    assert verdict(reply) in (WRONG, RIGHT, UNCLEAR, None)
    listed = object_halbench.read(reply)
    assert listed is None or all(isinstance(name, str) for name in listed)
