"""How a job on a cluster is named, reached and followed."""

import sys
from typing import Annotated

import typer

from sweeps.cli.options import err
from sweeps.remote.jobs import Cluster

DETACHED = 75
"""The exit status when the job goes on unwatched: its own is not known yet (EX_TEMPFAIL of sysexits.h)."""


Address = Annotated[
    str,
    typer.Option(
        "--address",
        envvar="RAY_API_SERVER_ADDRESS",
        help="The URL of the cluster's dashboard, as `ray dashboard CLUSTER.yaml` forwards it.",
    ),
]


Job = Annotated[str, typer.Argument(help="The name of the job, as `subind submit` and `subind jobs` give it.")]


def follow(cluster: Cluster, job: str) -> None:
    """Print the log of a job until it ends, and exit with its status; Ctrl-C leaves it running."""
    try:
        status = cluster.follow(job, _write)
    except KeyboardInterrupt:
        tell_how_to_go_on(job)
        raise typer.Exit(DETACHED) from None
    if status:
        raise typer.Exit(status)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def tell_how_to_go_on(job: str) -> None:
    """Say how a job that goes on is followed again and ended."""
    err.print(f"{job} continues; `subind attach {job}` follows it again, `subind stop {job}` ends it")
