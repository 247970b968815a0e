"""What one scoring of a run's answers found: all that a board needs.

`scores_<benchmark>_<key>.json` holds a `ScoresFile`; next to it lie
`samples_<benchmark>_<key>.jsonl`, what was asked, and `readings_<benchmark>_<key>.jsonl`, what the
scorer read in each answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from halluc.config import content_hash

if TYPE_CHECKING:
    from halluc.scoring.selective_risk import RiskCoverage
    from halluc.types import Answer, Sample

Number = FiniteFloat | None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class AskedSample:
    """A sample as a samples file holds it: all but its image."""

    id: str
    image_id: str
    group: str
    prompt: str
    target: Any
    max_new_tokens: int
    follows: str | None = None

    @classmethod
    def of(cls, sample: Sample) -> AskedSample:
        """Describe a sample."""
        return cls(**{field.name: getattr(sample, field.name) for field in fields(cls)})

    @classmethod
    def answered_by(cls, answer: Answer) -> AskedSample:
        """Describe the sample that an answer is to, where nothing else is known of it."""
        names = (field.name for field in fields(cls) if field.name != "follows")
        return cls(**{name: getattr(answer, name) for name in names})

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> AskedSample:
        """Make one of a line.

        Raises:
            ValueError, TypeError, KeyError: If the line holds something else.
        """
        texts = [record[name] for name in ("id", "image_id", "group", "prompt")]
        if not all(isinstance(text, str) for text in (*texts, record["follows"] or "")):
            raise ValueError("not a text")
        if type(record["max_new_tokens"]) is not int:
            raise ValueError("not a whole number")
        return cls(**record)


class SampleSet(_Part):
    """What a benchmark asks: the first line of a samples file.

    Attributes:
        benchmark, version: The benchmark, and the version of its card.
        dataset, dataset_revision: Where its data is from, and which.
        task: "yes_no", "caption" or what the card says.
        wording: The name of the wording of its questions.
        split: The part of the images that is asked about.
        limit: The most images that were asked for; None for all.
        options: Its other options that decide what is asked.
        key: Hash of all samples and of the above, but for the limit.
    """

    benchmark: str
    version: int
    dataset: str
    dataset_revision: str
    task: str
    wording: str
    split: str
    limit: int | None
    options: dict[str, Any] = {}
    key: str = ""

    def keyed(self, samples: Iterable[AskedSample]) -> SampleSet:
        """Return it with the key of these samples."""
        about = self.model_dump(exclude={"limit", "key"})
        key = content_hash([about, [vars(sample) for sample in samples]])
        return self.model_copy(update={"key": key})


class Scoring(_Part):
    """The rule by which answers were scored.

    Attributes:
        protocol: Whose scorer reads the answers.
        judge: The model that judged them; None where none did.
        labels: A split's name to the hash of the file of other labels used for it.
        tables: Hash of the file of synonym tables; None for the benchmark's own.
        thinking: The rule that took thoughts out of answers; None where there were none.
    """

    protocol: str
    judge: str | None = None
    labels: dict[str, str] = {}
    tables: str | None = None
    thinking: str | None = None

    def key(self, asked: SampleSet) -> str:
        """Ten hex digits of rule and samples.

        Thoughts are taken out of whatever has them, so a run whose answers have some is scored by
        the same rule as one whose answers have none, and the two can be compared.
        """
        return content_hash([asked.key, self.model_dump(mode="json", exclude={"thinking"})])

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the rule that took nothing out: files from before it stay as they are."""
        content: dict[str, Any] = dump(self)
        if content.get("thinking", "") is None:
            del content["thinking"]
        return content


class MetricValue(_Part):
    """A metric with its 95% interval and standard error; None where it is undefined.

    Attributes:
        higher_is_better: None where neither direction is better.
        headline: Whether tables show it.
        scale: What it is multiplied by to be shown as its authors show it.
    """

    value: Number
    low: Number
    high: Number
    stderr: Number
    higher_is_better: bool | None
    headline: bool
    scale: FiniteFloat


class Cost(_Part):
    """What a run spent on the answers that were scored.

    Attributes:
        samples: Answers the sums below are over.
        forward_passes, prompt_tokens, tokens: Sums over answers.
        seconds: Time spent answering; scoring is not in it.
        peak_memory_bytes: Highest while answering, above the level before: of the GPU if there is
            one, else resident; 0 where it was not measured.
    """

    samples: int
    forward_passes: int
    prompt_tokens: int
    tokens: int
    seconds: FiniteFloat
    peak_memory_bytes: int

    @classmethod
    def of(cls, answers: Iterable[Answer]) -> Cost:
        """Sum over answers."""
        answers = list(answers)
        return cls(
            samples=len(answers),
            forward_passes=sum(a.forward_passes for a in answers),
            prompt_tokens=sum(a.prompt_tokens for a in answers),
            tokens=sum(a.tokens for a in answers),
            seconds=sum(a.seconds for a in answers),
            peak_memory_bytes=max((a.peak_memory for a in answers), default=0),
        )


class RiskCoverageValues(_Part):
    """Risk and coverage of a run that may withhold answers (`halluc.scoring.selective_risk`).

    Attributes:
        trusted_by: Whose confidence orders the answers.
        coverage, risk: Of the answers that were given.
        full_risk: The risk if none were withheld.
        area: Under the risk-coverage curve.
    """

    trusted_by: Literal["method", "answer_probability"]
    coverage: MetricValue
    risk: MetricValue
    full_risk: MetricValue
    area: MetricValue

    @classmethod
    def of(cls, found: RiskCoverage) -> RiskCoverageValues:
        """Make it of what was measured; coverage is no headline where nothing is withheld."""
        from halluc.data.records import finite

        values = {
            name: MetricValue(
                **finite(vars(getattr(found, name))),
                higher_is_better={"coverage": None}.get(name, False),
                headline=found.trusted_by == "method",
                scale=100.0,
            )
            for name in ("coverage", "risk", "full_risk", "area")
        }
        return cls(trusted_by=found.trusted_by, **values)


class ScoresFile(_Part):
    """The scores of a run on a benchmark under one rule.

    Attributes:
        asker: Key of the model and method that answered.
        asked: What was asked.
        scoring: The rule of scoring.
        values: A metric's name to its value, in the order of the benchmark's card.
        n, n_images: Answers scored, and the images (or groups of them) that intervals resample.
        failed, unparseable: Samples without an answer, which are in no count; answers the parser
            cannot read.
        withheld: Answers the method did not give, which are in no other count.
        risk_coverage: How errors fall as less is answered; None where answers have no confidence.
        totals: The summed counts behind the values.
        probabilities: A group's name to scores from the probability of yes; empty without any.
        cost: What answering took.
        untouched: Whether the method edited nothing in the first batches; None if not observed.
        notes: Remarks for the reader of the scores.
        paths: Folder and tables it was scored with, on the machine that scored it.
        date, where: When and where it was scored.
        readings: Hash of the readings file.
        checksum: Hash of all the above, which shows an edit by hand.
    """

    format: Literal[2] = 2
    asker: str
    asked: SampleSet
    scoring: Scoring
    values: dict[str, MetricValue]
    n: int
    n_images: int
    failed: int
    unparseable: int
    withheld: int = 0
    risk_coverage: RiskCoverageValues | None = None
    totals: dict[str, Number]
    probabilities: dict[str, dict[str, Number]]
    cost: Cost
    untouched: bool | None
    notes: list[str]
    paths: dict[str, str] = {}
    date: str
    where: dict[str, Any]
    readings: str
    checksum: str = ""

    @property
    def key(self) -> str:
        """The key in its file's name."""
        return self.scoring.key(self.asked)

    def checked(self) -> str:
        """Compute the checksum of its content."""
        return content_hash(self.model_dump(mode="json", exclude={"checksum"}))

    def sealed(self) -> ScoresFile:
        """Return it with its checksum."""
        return self.model_copy(update={"checksum": self.checked()})


def values_of(values: Mapping[str, Any], metrics: Iterable[Any]) -> dict[str, MetricValue]:
    """Turn scores' intervals into what the file holds, in the order of a card's metrics."""
    from halluc.data.records import finite

    return {
        metric.name: MetricValue(
            **finite(vars(values[metric.name])),
            higher_is_better=metric.higher_is_better,
            headline=metric.headline,
            scale=metric.scale,
        )
        for metric in metrics
        if metric.name in values
    }
