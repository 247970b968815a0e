"""POPE's question files for any images whose objects are known."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from halluc.data import coco_objects as coco
from halluc.data.image_folder import ImageFolder
from halluc.data.records import rows, text_of
from halluc.errors import UserError
from halluc.files import write_whole
from halluc.scoring.pope import questions as pope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

IMAGES = 500
TEMPLATES = {"corrected": pope.corrected_wording, "official": pope.published_wording}


def read_objects(path: Path) -> list[coco.ImageObjects]:
    """Read objects per image: JSON lines of image and objects, or COCO's instances JSON.

    Raises:
        UserError: If the file is neither.
    """
    if path.suffix == ".json" and '"annotations"' in text_of(path):
        return coco.image_objects(coco.load(path))
    return [coco.ImageObjects(row.text("image"), tuple(row.texts("objects"))) for row in rows(path)]


def build_files(
    objects: Path,
    output: Path,
    images: Path | None = None,
    seed: int = 0,
    n: int = 500,
    template: str = "corrected",
    chat: bool = False,
) -> list[Path]:
    """Build the three question files, `<objects' name>_pope_<strategy>.json`.

    As in the authors' main.py, `n` images with at least three objects are drawn, in random order;
    here once for all three strategies. If there are exactly `n`, the file's order is kept, so that
    a published set can be built again.

    Args:
        objects: See `read_objects`.
        output: The folder of the question files.
        images: A folder; only images below it are asked about.
        seed: The seed of the draw of images and of the random strategy; main.py has none.
        template: "corrected", or "official" with its "imange".
        chat: Write one line for each image with all its questions, as in PAI's files for
            conversations, to `<objects' name>_pope_chat_<strategy>.json`.

    Raises:
        UserError: If there are too few images, or an argument is wrong.
    """
    known = read_objects(objects)
    if images is not None:
        folder = ImageFolder(images)
        known = [image for image in known if folder.has(image.image)]
    built = draw_questions(known, seed, n, template)
    kind = "pope_chat" if chat else "pope"
    written = []
    output.mkdir(parents=True, exist_ok=True)
    for strategy, questions in built.items():
        lines = chats(questions) if chat else [_line(question) for question in questions]
        path = output / f"{objects.stem}_{kind}_{strategy}.json"
        write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))
        written.append(path)
    return written


def draw_questions(
    known: Sequence[coco.ImageObjects],
    seed: int = 0,
    n: int | None = None,
    template: str = "corrected",
) -> dict[str, list[pope.Question]]:
    """Draw the questions of the three strategies; see `build_files`.

    Args:
        n: The number of images; None for 500, or as many as have three objects.

    Raises:
        UserError: If there are too few images, or there is no such template.
    """
    if template not in TEMPLATES:
        raise UserError(f"unknown template {template!r}, choose from {', '.join(TEMPLATES)}")
    eligible = [image for image in known if len(image.objects) >= 3]
    n = max(1, min(IMAGES, len(eligible))) if n is None else n
    rng = random.Random(seed)
    drawn = eligible if len(eligible) == n else pope.sample_images(known, n, rng)
    wording = TEMPLATES[template]
    return {strategy: pope.build(drawn, strategy, rng, wording) for strategy in pope.STRATEGIES}


def _line(question: pope.Question) -> dict[str, Any]:
    return {
        "question_id": question.question_id,
        "image": question.image,
        "text": question.text,
        "label": question.label,
    }


def chats(questions: Sequence[pope.Question]) -> list[dict[str, Any]]:
    """Gather the questions of each image into one conversation, as PAI's pope_coco/chat does."""
    by_image: dict[str, list[pope.Question]] = {}
    for question in questions:
        by_image.setdefault(question.image, []).append(question)
    return [
        {
            "chat_id": number,
            "image": image,
            "text": [question.text for question in conversation],
            "label": [question.label for question in conversation],
        }
        for number, (image, conversation) in enumerate(by_image.items())
    ]
