"""The options that several commands share, and the consoles that they print to."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from subind.specs.quoting import quoted
from sweeps import grids
from sweeps.hosts.given_paths import at_home
from sweeps.hosts.secrets import redacted


def without_secret(uri: str | None) -> str | None:
    """The URI itself. Raises ValueError if it carries a credential: everyone can read the arguments of a process."""
    if uri is not None and (shown := redacted(uri, uri)) != uri:
        raise ValueError(
            f"{quoted(shown)} carries a secret, which stands in the list of processes: leave it out and set it in the "
            "environment (MLFLOW_TRACKING_URI, MLFLOW_TRACKING_PASSWORD, AWS_SECRET_ACCESS_KEY)"
        )
    return uri


def home_for(option: str) -> Callable[[Any], Any]:
    """A callback of an option: the path or URL with the home folder in place of a leading `~`."""

    def expanded(given: Any) -> Any:
        match given:
            case Path():
                return Path(at_home(str(given), option))
            case str():
                return at_home(given, option)
            case _:
                return given

    return expanded


def _store(given: str) -> str:
    checked = without_secret(given)
    assert checked is not None
    return at_home(checked, "--store")


def _tracking(given: str | None) -> str | None:
    checked = without_secret(given)
    return None if checked is None else at_home(checked, "--tracking-uri")


GridName = Annotated[
    str,
    typer.Argument(
        help=f"A grid: {', '.join(grids.NAMES)}, or the path of a Python file with a function grid().",
        autocompletion=lambda: list(grids.NAMES),
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", help="Take only the cells for which this holds, such as num_layers=2 or 'seed<3'. May be repeated."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Give a field of the grid's runs another value: penalty=1e-6, or mask.optimizer.learning_rate=1e-3 for "
        "runs of one stage (donor, mask, transfer, measurement). May be repeated.",
    ),
]
StorePath = Annotated[
    str,
    typer.Option(
        "--store", envvar="SUBIND_STORE", callback=_store, help="The folder or fsspec URL that holds the runs."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Device = Annotated[str, typer.Option("--device", help="What to train on: auto, cpu or cuda.")]
Tracking = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        callback=_tracking,
        help="The MLflow tracking server. The default is MLFLOW_TRACKING_URI, else SQLite in the store.",
    ),
]
Rows = Annotated[
    Path | None,
    typer.Option(
        "--rows",
        callback=home_for("--rows"),
        help="The Parquet file of result rows. The default is results/GRID.parquet.",
    ),
]

Images = Annotated[
    str,
    typer.Option(
        "--images",
        callback=home_for("--images"),
        help="For runs on ImageNet: the folder with photographs, mean-pooled and cue-conflict, the same on every node. "
        "Its images are part of the runs' ids.",
    ),
]

Keep = Annotated[
    list[str] | None,
    typer.Option("--keep", help="Keep the weights of these recipients: all, or a start's name. May be repeated."),
]

# Lines are never broken and brackets are no markup: paths and JSON are copied from them.
out = Console(highlight=False, markup=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
