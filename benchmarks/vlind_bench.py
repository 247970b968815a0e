"""VLind-Bench: language priors, measured after what else an answer needs has been checked."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from halluc.data.image_folder import ImageFolder
from halluc.data.pinned_files import checksum, verify
from halluc.data.records import Row, rows
from halluc.data.sample_selection import split_samples
from halluc.errors import UserError
from halluc.scoring.base import Benchmark, benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.confusion_rates import ratio
from halluc.types import Answer, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.base import Totals

FILE = "data.json"
VOTES = 2
"""An image is good if at least two of three people found it so."""
IMAGES = 12
STAGES = {"a": "commonsense", "b": "perception", "c": "bias", "d": "prior"}
ONLY = "Only respond in True or False."
FORGET = "Forget real-world common sense and just follow the information provided in the {}. "
QUESTION = "Based on {}, is the given statement true or false?"
METRICS = ("S_CK", "S_VP", "S_CB", "S_LP", "CB", "LP")


class _Asked(NamedTuple):
    """A statement about an image, and after which context it is judged."""

    stage: str
    right: str
    image: str
    statement: str
    context: str = ""


@benchmark("vlind_bench")
class VLindBench(Benchmark):
    """Statements about counterfactual images, to be called true or false, in four stages.

    A stage is passed if the true statement is called true and the false one false. S_CK, S_VP and
    S_CB are the shares of instances that pass commonsense knowledge, visual perception, and, of
    those that pass commonsense, commonsense bias; S_LP is the share of good images, averaged over
    the instances that pass all three, on which the model follows the image. CB and LP are the last
    two stages without conditions. All as score_pipeline.py prints them.

    Args:
        folder: data.json, and the images `counterfactual/<concept>/<id>_<context>/<n>.jpg` and
            `factual/<concept>/<id>_<factual context>/0.jpg` at any depth.
    """

    prompts = {"official": "as gpt4o_eval.py asks", "instructblip": "as instructblip_eval.py asks"}
    card = BenchmarkCard(
        title="VLind-Bench",
        paper="https://arxiv.org/abs/2406.08702",
        licence="Apache-2.0 (code); see the data set's page",
        task="open",
        metrics=tuple(Metric(name, headline=True, scale=100) for name in METRICS),
        citation="Lee et al., VLind-Bench: Measuring Language Priors in Large Vision-Language "
        "Models, NAACL Findings 2025",
        dataset="klee972/VLind-Bench",
    )

    @property
    def files_needed(self) -> str:
        """What the folder has to hold, in words."""
        return f"{FILE}, counterfactual and factual of huggingface.co/datasets/{self.card.dataset}"

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield all statements of the first `limit` instances that have a good image.

        Raises:
            UserError: If files or images are missing, or have changed since they were first used.
        """
        folder = self.given()
        verify("vlind_bench", {FILE: checksum(folder / FILE)})
        images, found = ImageFolder(folder), 0
        for number, row in enumerate(rows(folder / FILE)):
            good = _good_images(row)
            if not good:
                continue
            if found == limit:
                return
            found += 1
            for asked in _asked(row, good):
                images.find(asked.image, row.where)
                yield Sample(
                    id=f"{number:04d}/{asked.stage}{'' if asked.right == 'True' else '/false'}",
                    image_id=asked.image,
                    prompt=self._prompt(asked),
                    load_image=partial(images.open, asked.image, row.where),
                    target={"answer": asked.right, "images": len(good)},
                    group=STAGES[asked.stage[0]],
                    max_new_tokens=32,
                )

    def asked(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the samples of a run; a split and a limit are of instances, which stay whole."""
        if not self.split:
            return self.samples(limit)
        samples = {sample.id: sample for sample in self.samples()}
        instances = (replace(s, image_id=s.id.partition("/")[0]) for s in samples.values())
        return (samples[one.id] for one in split_samples(instances, self.split, limit))

    def _prompt(self, asked: _Asked) -> str:
        """Word a statement as the authors' script for GPT-4o or InstructBLIP does."""
        reversed = self.prompt == "instructblip"
        stage, what = asked.stage[0], "context" if asked.context else "image"
        basis = f"the {what}"
        if stage == "a":
            basis = "common sense" if reversed else "the common sense"
        context = f"Context: {asked.context}\n" if asked.context else ""
        question = f"{context}Statement: {asked.statement}\n{QUESTION.format(basis)}"
        if reversed:
            return f"{ONLY}\n{question}"
        return f"{question} {FORGET.format(what) if stage in 'cd' else ''}{ONLY}"

    def cluster(self, answer: Answer) -> str:
        """Return the instance."""
        return answer.id.partition("/")[0]

    def predict(self, answer: Answer) -> str | None:
        """Return the first of the words true and false, as infer_true_or_false reads it."""
        text = answer.text.lower().replace("\n", " ").replace(",", "").replace(".", "")
        words = (word for word in text.split(" ") if word in ("true", "false"))
        return {"true": "True", "false": "False"}.get(next(words, ""))

    def right(self, reading: Reading) -> bool:
        """Return whether the statement is called what it is."""
        return bool(reading.prediction == reading.target["answer"])

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count an instance's passes; one that lacks an answer is not counted."""
        both: dict[str, list[bool]] = {}
        for reading in readings:
            stage = reading.id.split("/", 1)[1].removesuffix("/false")
            both.setdefault(stage, []).append(self.right(reading))
        n_images = readings[0].target["images"]
        if len(both) < 3 + n_images or any(len(pair) < 2 for pair in both.values()):
            return {"n": 0.0}
        passed = {stage: all(pair) for stage, pair in both.items()}
        a, b, c = (passed.pop(stage) for stage in "abc")
        prior = sum(passed.values()) / n_images
        before = a and b and c
        counts = {"n": 1, "a": a, "b": b, "c": c, "ac": a and c, "abc": before}
        return {name: float(count) for name, count in counts.items()} | {
            "prior": prior,
            "prior_after": prior if before else 0.0,
        }

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the pipeline's scores, 0 where no instance reaches a stage, and accuracies."""
        n, zero = totals["n"], 0.0
        return {
            "S_CK": ratio(totals["a"], n),
            "S_VP": ratio(totals["b"], n),
            "S_CB": ratio(totals["ac"], totals["a"], zero),
            "S_LP": ratio(totals["prior_after"], totals["abc"], zero),
            "CB": ratio(totals["c"], n),
            "LP": ratio(totals["prior"], n),
        }


def _good_images(row: Row) -> list[str]:
    votes = row["aggregated_human_label_good_images"]
    if not isinstance(votes, dict) or not all(
        isinstance(vote, int | float) for vote in votes.values()
    ):
        raise UserError(f"{row.where}: aggregated_human_label_good_images is not votes by image")
    known = {str(number) for number in range(IMAGES)}
    return [image for image, vote in votes.items() if vote >= VOTES and image in known]


def _asked(row: Row, good: Sequence[str]) -> Iterator[_Asked]:
    """Yield an instance's statements, the true one of each stage first."""
    concept, id = row.text("concept"), row.id("context_id")
    true, false = row.text("true_statement"), row.text("false_statement")
    context = row.text("context")
    made_up = f"counterfactual/{concept}/{id}_{context}/{{}}.jpg"
    best = made_up.format(row.id("best_img_id"))
    factual = f"factual/{concept}/{id}_{row.text('factual_context')}/0.jpg"
    there = "There is {} in the given image."
    pairs: Mapping[str, tuple[str, str, str, str]] = {
        "a": (factual, false, true, ""),
        "b": (
            best,
            there.format(row.text("existent_noun")),
            there.format(row.text("non-existent_noun")),
            "",
        ),
        "c": (best, true, false, context),
        **{f"d{image}": (made_up.format(image), true, false, "") for image in good},
    }
    for stage, (image, right, wrong, after) in pairs.items():
        yield _Asked(stage, "True", image, right, after)
        yield _Asked(stage, "False", image, wrong, after)
