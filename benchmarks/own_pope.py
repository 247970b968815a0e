"""POPE about one's own images: questions drawn from COCO annotations, or built before."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from halluc.benchmarks._own_coco import CocoOptions, OwnCoco
from halluc.benchmarks._own_data import DATASET
from halluc.benchmarks._pope import PROMPTS, TOKENS
from halluc.benchmarks._yes_no import YesNoBenchmark, rate_metrics
from halluc.benchmarks.pope import HEADLINE
from halluc.data import coco_objects as coco
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.pope.answer_files import label_of, read_questions
from halluc.scoring.pope.question_files import draw_questions
from halluc.scoring.pope.questions import STRATEGIES
from halluc.types import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any


class PopeOptions(CocoOptions):
    """What can be said about questions that are drawn."""

    seed: int = Field(0, description="Seed of the draw of images and of the random strategy.")
    n: int | None = Field(None, ge=1, description="Number of images; default: 500, or all.")
    template: Literal["corrected", "official"] = "corrected"


@benchmark("own_pope")
class OwnPope(OwnCoco, YesNoBenchmark):
    """POPE's three strategies on images of one's own.

    The folder has COCO's instances_*.json, of which `halluc build pope` would build the same
    questions, or three files that it has built, `*_pope_<strategy>.json`; then those are asked.
    """

    Options = PopeOptions
    groups = STRATEGIES
    prompts = PROMPTS
    card = BenchmarkCard(
        title="POPE on one's own images",
        paper="https://arxiv.org/abs/2305.10355",
        licence="the user's",
        task="yes_no",
        metrics=rate_metrics(STRATEGIES, HEADLINE),
        citation="Li et al., Evaluating Object Hallucination in Large Vision-Language Models, "
        "EMNLP 2023 (how questions are made and answers read)",
        dataset=DATASET,
        split="all",
    )

    def files(self) -> list[Path]:
        """Return the files of questions that were built, or the annotations."""
        return self._built() or super().files()

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the 18 questions about each of the first `limit` images.

        Raises:
            UserError: If files or images are missing or wrong.
        """
        return first_images(self._questions(), limit)

    def _questions(self) -> Iterator[Sample]:
        images = self.images
        for strategy, id, image, text, label, where in self._asked():
            images.find(image, where)
            yield Sample(
                id=f"{strategy}/{id}",
                image_id=image,
                prompt=text + self.prompts[self.prompt],
                load_image=partial(images.open, image, where),
                target=label,
                group=strategy,
                max_new_tokens=TOKENS,
            )

    def _asked(self) -> Iterator[tuple[str, Any, str, str, str, str]]:
        """Yield strategy, id, image, question, label, and where it stands."""
        if built := self._built():
            for strategy, path in zip(STRATEGIES, built, strict=True):
                for row in read_questions(path):
                    where = row.where
                    yield (
                        strategy,
                        row["question_id"],
                        row["image"],
                        row["text"],
                        label_of(row),
                        where,
                    )
            return
        images = self.images
        known = [one for one in coco.image_objects(self.instances) if images.has(one.image)]
        if not known:
            raise UserError(
                f"{self.instances_file()}: names no image that is below the folder; give it: "
                "images=FOLDER"
            )
        options = self.options
        drawn = draw_questions(known, options.seed, options.n, options.template)
        for strategy, questions in drawn.items():
            for one in questions:
                where = str(self.instances_file())
                yield strategy, one.question_id, one.image, one.text, one.label, where

    def _built(self) -> list[Path]:
        """Return the files of the three strategies, if some were built.

        Raises:
            UserError: If one is missing or there twice, or the options would draw others.
        """
        folder = self.given()
        found = {s: sorted(folder.glob(f"*_pope_{s}.json")) for s in STRATEGIES}
        if not any(found.values()):
            return []
        for strategy, paths in found.items():
            if len(paths) != 1:
                names = ", ".join(path.name for path in paths) or "none"
                raise UserError(
                    f"{folder}: needs one file of questions *_pope_{strategy}.json and has {names}"
                )
        if self.options != PopeOptions():
            chosen = ", ".join(sorted(self.options.model_fields_set))
            raise UserError(
                f"{self.name}: {folder} has questions that are built already; leave out {chosen}, "
                "or move the *_pope_*.json elsewhere"
            )
        return [found[strategy][0] for strategy in STRATEGIES]
