"""A benchmark that asks about absent things alone: halluc eval --benchmarks absent."""

from functools import partial

from halluc import Answer, Benchmark, BenchmarkCard, Metric, Sample, benchmark
from halluc.world import render, scene


@benchmark("absent")
class Absent(Benchmark):
    """Is there a dog, where none is? The share of questions that are denied, in per cent."""

    card = BenchmarkCard(
        "Absent", "-", "Apache-2.0", "yes_no", (Metric("denied", headline=True, scale=100),)
    )

    def samples(self, limit: int | None = None):
        """Yield a question about each of the first `limit` scenes without a dog."""
        scenes = (scene("test", index) for index in range(10_000))
        without = (one for one in scenes if "dog" not in one.categories)
        for number, one in zip(range(limit or 100), without, strict=False):
            draw = partial(render, one)
            yield Sample(str(number), one.file_name, "Is there a dog in the image?", draw, "no")

    def predict(self, answer: Answer) -> str | None:
        """Read the first word."""
        word = answer.text.lower().strip(" .").partition(" ")[0]
        return word if word in ("yes", "no") else None

    def tally(self, readings):
        """Count the questions about one image, and those that are denied."""
        return {"n": len(readings), "denied": sum(one.prediction == "no" for one in readings)}

    def metrics(self, totals):
        """Divide the sums of counts."""
        return {"denied": totals["denied"] / totals["n"]}
