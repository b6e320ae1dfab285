"""The application, its consoles, and the options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from subind.quoting import quoted
from sweeps import grids
from sweeps.tracking_uri import redacted


def without_secret(uri: str | None) -> str | None:
    """The URI itself. Raises ValueError if it carries a credential: everyone can read the arguments of a process."""
    if uri is not None and (shown := redacted(uri, uri)) != uri:
        raise ValueError(
            f"{quoted(shown)} carries a secret, which stands in the list of processes: leave it out and set it in the "
            "environment (MLFLOW_TRACKING_URI, MLFLOW_TRACKING_PASSWORD, AWS_SECRET_ACCESS_KEY)"
        )
    return uri


app = typer.Typer(
    help="Run sweeps and ablations for Subtask Induction: find a subnetwork, transplant it, measure the data it saves.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

GridName = Annotated[
    str,
    typer.Argument(help=f"A grid: {', '.join(grids.NAMES)}, or the path of a Python file with a function grid()."),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", help="Take only the cells for which this holds, such as num_layers=2 or 'seed<3'. May be repeated."
    ),
]
StorePath = Annotated[
    str, typer.Option("--store", callback=without_secret, help="The folder or fsspec URL that holds the runs.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Device = Annotated[str, typer.Option("--device", help="What to train on: auto, cpu or cuda.")]
Tracking = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        callback=without_secret,
        help="The MLflow tracking server. The default is MLFLOW_TRACKING_URI, else SQLite in the store.",
    ),
]
Rows = Annotated[
    Path | None,
    typer.Option("--rows", help="The Parquet file of result rows. The default is results/GRID.parquet."),
]

Images = Annotated[
    str,
    typer.Option(
        "--images",
        help="For runs on ImageNet: the folder of photographs, mean-pooled and cue-conflict, on every node the same.",
    ),
]

# Lines are never broken and brackets are no markup: paths and JSON are copied from them.
out = Console(highlight=False, markup=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
