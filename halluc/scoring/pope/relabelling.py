"""Corrected labels for the stored answers of a run, such as RePOPE's.

Neuhaus and Hein, "RePOPE: Impact of Annotation Errors on the POPE Benchmark" (arXiv 2504.15707),
repository YanNeu/RePOPE. It drops ambiguous questions and flips wrong labels; ids and wording stay.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from halluc.data.pinned_files import checksum, fetch
from halluc.errors import UserError
from halluc.scoring.pope.answer_files import label_of, read_questions
from halluc.scoring.pope.label_sources import bare, strategy_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc.types import Answer

NAME = "repope"
PUBLISHED = (
    "https://raw.githubusercontent.com/YanNeu/RePOPE/"
    "bcf22e5690d587cce34e1728af3efdcfaf747d29/annotations"
)
CHECKSUMS = {
    "coco_repope_random.json": "f464fcaf60b24ce2f280cf33f122e000dbdd35c8e88f77c4141c9c2cba864611",
    "coco_repope_popular.json": "57832b055bae5fd6176278a4f104c98ddd84811f7d26dfcb93d481f6c9da09a5",
    "coco_repope_adversarial.json": (
        "8c346dbb060bf422ff92e769fa68e5ab3e8a777cb28a26e973387441e05c9ccf"
    ),
}


def label_files(names: Sequence[str]) -> dict[str, Path]:
    """Find label files: paths, or "repope" for the three published ones, fetched once.

    Returns:
        A split's name to its file.

    Raises:
        UserError: If a file is missing, its name does not have a split, it has the name of one of
            RePOPE's and another content, or two are of one split.
    """
    paths: list[Path] = []
    for name in names:
        if name == NAME:
            paths += [fetch(f"{PUBLISHED}/{file}", sha256) for file, sha256 in CHECKSUMS.items()]
        else:
            paths.append(Path(name))
    by_split: dict[str, Path] = {}
    for path in paths:
        split = strategy_of(path.name)
        if split is None:
            raise UserError(f"--labels {path}: its name says no split (random, popular, ...)")
        if split in by_split:
            raise UserError(f"--labels {path}: {by_split[split]} is of the {split} split too")
        refuse_altered(path)
        by_split[split] = path
    return by_split


def refuse_altered(path: Path) -> None:
    """Refuse a file with the name of one of RePOPE's and another content.

    Raises:
        UserError: If it is such a file.
    """
    actual = checksum(path)
    if (published := CHECKSUMS.get(path.name, actual)) != actual:
        raise UserError(
            f"--labels {path}: has checksum {actual[:12]}, RePOPE has published {published[:12]}; "
            f"'--labels {NAME}' fetches it"
        )


def relabel(answers: Sequence[Answer], split: str, path: Path) -> list[Answer]:
    """Return the answers to a split with other labels; questions without a label are left out.

    Args:
        answers: The answers of a POPE run to all questions of its images; ids are
            "split/question_id".

    Raises:
        UserError: If the file labels a question that was not asked about its image, or was worded
            differently. Labels of images that the run does not have are ignored.
    """
    asked = {answer.id: answer for answer in answers if answer.group == split}
    images = {_stem(answer.image_id) for answer in asked.values()}
    relabelled = []
    for row in read_questions(path):
        if _stem(row["image"]) not in images:
            continue
        answer = asked.get(f"{split}/{row['question_id']}")
        if (
            answer is None
            or _stem(answer.image_id) != _stem(row["image"])
            or bare(answer.prompt) != bare(row["text"])
        ):
            raise UserError(
                f"{row.where}: the run was not asked {row['text']!r} about {row['image']!r} as "
                f"question {row['question_id']!r} of the {split} split; are these its labels?"
            )
        relabelled.append(replace(answer, target=label_of(row)))
    if not relabelled:
        raise UserError(f"{path}: labels no question of the run")
    return relabelled


def _stem(image: str) -> str:
    return Path(image).stem
