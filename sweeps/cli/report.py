"""`subind report`."""

from pathlib import Path
from typing import Annotated

import typer

from sweeps.cli.options import GridName, Set, StorePath, Tracking, Where, home_for
from sweeps.cli.printing import print_damaged, warn_of_unnamed_images
from sweeps.cli.rows_and_report import write_report_of, write_rows_and_report
from sweeps.grids import label
from sweeps.grids.overrides import given_grid
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import opened_store


def report_command(
    grid: GridName,
    *,
    where: Where = None,
    overrides: Set = None,
    store: StorePath = "store",
    rows: Annotated[
        Path | None,
        typer.Option("--rows", callback=home_for("--rows"), help="Report on these rows; the store is not read."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", callback=home_for("--output"), help="The folder to write to. The default is reports/GRID."
        ),
    ] = None,
    tracking_uri: Tracking = None,
) -> None:
    """Write the figures, tables, LaTeX and the page index.html of a grid, and log them to the sweep's MLflow run."""
    if rows is not None and overrides:
        raise ValueError("--set is given with --rows: rows are reported as they are; leave one of them out")
    if rows is not None:
        write_report_of(rows, output or Path("reports") / label(grid))
        return
    request = Request(grid=given_grid(grid, overrides), where=tuple(where or ()), store=store)
    opened = opened_store(request.store)
    listing = opened.listing()
    found = accounted(request, opened, listing)
    warn_of_unnamed_images(found)
    found = write_rows_and_report(request, found, opened, output=output, listing=listing, tracking_uri=tracking_uri)
    print_damaged(found)
