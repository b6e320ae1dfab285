"""Commands about what stands beside a sweep: the MLflow mirror and its UI, imported weights, this machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sweeps.cli.app import GridName, StorePath, Tracking, Where, app, err, out
from sweeps.grids import read_grid
from sweeps.inputs.imported_weights import import_weights
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import check_exists, opened_store


@app.command("sync")
def sync_command(
    grid: GridName, where: Where = None, store: StorePath = "store", tracking_uri: Tracking = None
) -> None:
    """Mirror the finished runs of a grid to MLflow. It may be repeated at any time and never duplicates a run."""
    from sweeps.mirror.mirror import Mirror

    request = Request(grid=read_grid(grid), where=tuple(where or ()), store=store)
    opened = opened_store(request.store)
    found = accounted(request, opened)
    mirror = Mirror(opened, grid=found.grid, tracking_uri=tracking_uri)
    check_exists(opened)
    outcome = mirror.mirror(list(found.runs.values()))
    counts = f"{outcome.num_mirrored} runs mirrored, {outcome.num_already_there} were there"
    out.print(f"{counts}, {outcome.num_delayed} delayed")
    if outcome.num_delayed:
        err.print(outcome.error, style="red")
        raise typer.Exit(1)


@app.command("ui")
def ui_command(
    store: StorePath = "store",
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1.", min=1, max=65535)] = 5000,
) -> None:
    """Open the MLflow UI on the store, on loopback only, until Ctrl-C."""
    from sweeps.mirror.ui import serve_ui

    serve_ui(opened_store(store), port=port)


@app.command("serve")
def serve_command(
    *,
    artifacts: Annotated[
        str,
        typer.Option(
            envvar="MLFLOW_ARTIFACTS_DESTINATION", help="Where artifacts are kept, such as s3://BUCKET/mlflow."
        ),
    ],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port.", min=1, max=65535)] = 5000,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="A name by which clients reach the server. May be repeated.")
    ] = None,
    num_workers: Annotated[int, typer.Option(help="Processes that answer requests.", min=1)] = 2,
    folder: Annotated[Path, typer.Option(help="Where generated secrets are kept.")] = Path("~/.subind/mlflow"),
) -> None:
    """Serve MLflow for a team, with passwords: runs in PostgreSQL (MLFLOW_BACKEND_STORE_URI), until Ctrl-C."""
    from sweeps.mirror.team_server import LOOPBACK_NAMES, PASSWORD, Service, password_file, serve

    service = Service(
        host=host,
        port=port,
        allowed_hosts=tuple(allowed_host or ()),
        artifacts=artifacts,
        folder=folder.expanduser(),
        num_workers=num_workers,
    )
    if host not in LOOPBACK_NAMES:
        err.print("subind: passwords go through the network unencrypted; put a proxy with TLS in front", style="yellow")
    where = PASSWORD if os.environ.get(PASSWORD) else password_file(service)
    status = serve(
        service, on_ready=lambda url: out.print(f"MLflow: {url} (password of admin: {where}; Ctrl-C ends it)")
    )
    if status:
        raise typer.Exit(status)


@app.command("import")
def import_command(
    file: Annotated[
        Path, typer.Argument(help="A safetensors file of transformers' GPT2LMHeadModel, or a .pth of torchvision's.")
    ],
    store: StorePath = "store",
) -> None:
    """Put weights into the store for donors to start from, and print what names them in a spec.

    A file that torchvision publishes, such as resnet18-f37072fd.pth, is downloaded if it is not there.
    """
    print(import_weights(opened_store(store), file))


@app.command("doctor")
def doctor_command(store: StorePath = "store") -> None:
    """Check that this machine can run a sweep, and say what to do where it cannot."""
    from sweeps.store_care.doctor import checks

    wrong = 0
    for check in checks(opened_store(store)):
        mark, style = ("ok", "green") if check.holds else ("WRONG", "red")
        wrong += not check.holds
        out.print(f"{mark:>5}", style=style, end="")
        out.print(f" {check.subject}: {check.finding}")
    if wrong:
        raise typer.Exit(1)
