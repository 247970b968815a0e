"""Options of the commands that can answer on a Ray cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from halluc.errors import UserError, needs_packages
from halluc.plain_text import printable

if TYPE_CHECKING:
    from halluc.config import RunConfig
    from halluc.evaluation.ray_cluster import RayAnswering
    from halluc.evaluation.ray_pool import Cluster

Executor = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Who answers: local, this process, or ray, workers on a Ray cluster."),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Address of the Ray cluster, or auto for the one this machine belongs to; default: "
        "that one if there is one, else a new one on this machine."
    ),
]
RayWorkers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Workers on the Ray cluster that hold a model each; default: as many as its GPUs "
        "allow, 1 without any.",
    ),
]
GpusPerWorker = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="GPUs of each worker on the Ray cluster; default: 1 where the cluster has some.",
    ),
]


def cluster_of(
    executor: str, address: str | None, workers: int | None, gpus: float | None
) -> Cluster | None:
    """Return the cluster that the options describe; None for this process.

    Raises:
        UserError: If they are given without `--executor ray`, or Ray is not installed.
    """
    if executor != "ray":
        if (address, workers, gpus) != (None, None, None):
            raise UserError(
                "--address, --ray-workers and --gpus-per-worker need --executor ray next to them"
            )
        return None
    needs_packages("--executor ray", "ray")
    from halluc.evaluation.ray_pool import Cluster

    return Cluster(address, workers, gpus)


@contextmanager
def on_cluster(
    cluster: Cluster | None, configs: Sequence[RunConfig]
) -> Iterator[RayAnswering | None]:
    """Give what answers on the cluster while a block lasts; None where there is no cluster.

    Raises:
        UserError: If the cluster cannot be reached.
    """
    if cluster is None:
        yield None
        return
    from halluc.evaluation.ray_cluster import RayAnswering

    def report(text: str) -> None:
        print(f"halluc: {printable(text)}", file=sys.stderr)

    with RayAnswering(cluster, configs, report) as answering:
        yield answering
