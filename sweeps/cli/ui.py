"""`subind ui`."""

from typing import Annotated

import typer

from sweeps.cli.options import StorePath
from sweeps.planning.store_checks import opened_store


def ui_command(
    store: StorePath = "store",
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1.", min=1, max=65535)] = 5000,
) -> None:
    """Open the MLflow UI on the store, on loopback only, until Ctrl-C."""
    from sweeps.mirror.ui import serve_ui

    serve_ui(opened_store(store), port=port)
