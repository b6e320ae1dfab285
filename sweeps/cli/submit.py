"""`subind submit`."""

from pathlib import Path
from typing import Annotated

import typer

from subind.specs.quoting import quoted_path
from sweeps.cli.following import Address, follow, tell_how_to_go_on
from sweeps.cli.options import Device, GridName, Images, Tracking, Where, err, out
from sweeps.grids import read_grid
from sweeps.remote.jobs import DASHBOARD, Cluster, Order, checked


def submit_command(
    grid: GridName,
    *,
    store: Annotated[
        str,
        typer.Option("--store", help="A store for all nodes: s3://…, gs://…, or the absolute path of a folder."),
    ],
    where: Where = None,
    address: Address = DASHBOARD,
    device: Device = "auto",
    num_workers: Annotated[
        int | None, typer.Option(help="How many packs train at once; the autoscaler starts the nodes.", min=1)
    ] = None,
    tracking_uri: Tracking = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed runs again.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow the log.")] = False,
    images: Images = "",
) -> None:
    """Run a grid on a cluster and follow its log. The driver runs there: Ctrl-C detaches, and the sweep continues."""
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
        tell_how_to_go_on(job)
        return
    follow(cluster, job)


def _on_every_node(images: str) -> str:
    if not Path(images).is_absolute():
        raise ValueError(f"--images is {quoted_path(images)}: give the absolute path of a folder that every node has")
    return images
