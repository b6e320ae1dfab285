"""`subind serve`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sweeps.cli.options import err, out


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
