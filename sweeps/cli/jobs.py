"""Commands for a cluster: what its nodes get, and sweeps there that outlive this machine's connection."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from subind.specs.quoting import quoted_path
from sweeps.cli.app import AsJson, Device, GridName, Images, Tracking, Where, app, err, out
from sweeps.grids import read_grid
from sweeps.remote.bundle import gather
from sweeps.remote.jobs import DASHBOARD, Cluster, Order, checked

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


@app.command("bundle")
def bundle_command() -> None:
    """Gather what cluster files take to the nodes: the sources, the cluster's token, the environment of the nodes."""
    bundle = gather(Path.home())
    out.print(f"sources      {bundle.sources} ({bundle.commit or 'no commit'})")
    out.print(f"environment  {bundle.environment}: addresses and passwords that the nodes need go there")
    out.print(f"token        {bundle.token}: whoever has it can run code on the cluster")


@app.command("submit")
def submit_command(
    grid: GridName,
    *,
    store: Annotated[
        str, typer.Option("--store", help="What all nodes share: s3://…, gs://…, or the absolute path of a folder.")
    ],
    where: Where = None,
    address: Address = DASHBOARD,
    device: Device = "auto",
    num_workers: Annotated[
        int | None, typer.Option(help="How many packs train at once; the autoscaler brings the nodes.", min=1)
    ] = None,
    tracking_uri: Tracking = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed runs again.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow the log.")] = False,
    images: Images = "",
) -> None:
    """Run a grid on a cluster and follow its log. The driver lives there: Ctrl-C detaches, and the sweep goes on."""
    options = [] if device == "auto" else ["--device", device]
    options += [] if num_workers is None else ["--num-workers", str(num_workers)]
    options += ["--retry-failed"] if retry_failed else []
    options += ["--images", _on_every_node(images)] if images else []
    order = Order(
        grid=read_grid(grid),
        where=tuple(where or ()),
        store=store,
        tracking_uri=tracking_uri,
        options=tuple(options),
    )
    checked(order)
    cluster = Cluster(address)
    if cluster.sends_token_in_clear:
        err.print(f"subind: the token goes to {address} unencrypted; better forward the port by SSH", style="yellow")
    job = cluster.submit(order)
    out.print(f"submitted {job}")
    if detach:
        _tell_how_to_go_on(job)
        return
    _follow(cluster, job)


@app.command("attach")
def attach_command(job: Job, address: Address = DASHBOARD) -> None:
    """Follow the log of a job from its beginning, to its end or Ctrl-C. The exit status is that of the job."""
    _follow(Cluster(address), job)


@app.command("stop")
def stop_command(job: Job, address: Address = DASHBOARD) -> None:
    """End a job as Ctrl-C would end its command: what is finished stays, and the same grid submitted again goes on."""
    if Cluster(address).stop(job):
        out.print(f"{job} is asked to end; `subind attach {job}` shows how it does")
    else:
        out.print(f"{job} was not running")


@app.command("jobs")
def jobs_command(address: Address = DASHBOARD, as_json: AsJson = False) -> None:
    """List the jobs of the cluster, the latest first."""
    found = Cluster(address).jobs()
    if as_json:
        print(json.dumps([each.data() for each in found]))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("job", "status", "started", "ended", "command"):
        table.add_column(column)
    for each in found:
        times = (time.strftime("%Y-%m-%d %H:%M") if time else "" for time in (each.started, each.ended))
        table.add_row(each.job, each.status.lower(), *times, each.command)
    out.print(table)


def _follow(cluster: Cluster, job: str) -> None:
    try:
        status = cluster.follow(job, _write)
    except KeyboardInterrupt:
        _tell_how_to_go_on(job)
        raise typer.Exit(DETACHED) from None
    if status:
        raise typer.Exit(status)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _on_every_node(images: str) -> str:
    if not Path(images).is_absolute():
        raise ValueError(f"--images is {quoted_path(images)}: give the absolute path of a folder that every node has")
    return images


def _tell_how_to_go_on(job: str) -> None:
    err.print(f"{job} goes on; `subind attach {job}` follows it again, `subind stop {job}` ends it")
