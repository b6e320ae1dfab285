"""Commands that read the store: how far a grid is, its rows, its report."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from subind.listing import Listing
from subind.spec import STAGES
from subind.store import Store
from sweeps import commands, grids
from sweeps.cli.app import AsJson, GridName, Rows, StorePath, Where, app, out
from sweeps.commands import Request
from sweeps.plan import Plan


def print_failures(data: dict[str, Any], most: int = 10) -> None:
    """Why runs failed, a line each."""
    for failure in data["failures"][:most]:
        out.print(
            f"{failure['stage']} {failure['run_id']} failed: {failure['error']}: {failure['message']} "
            f"(traceback in {failure['traceback']})"
        )
    if len(data["failures"]) > most:
        out.print(f"and {len(data['failures']) - most} more; `subind status --json` lists them all")


def write_rows_and_report(
    request: Request, found: Plan, store: Store, *, output: Path | None, listing: Listing | None = None
) -> None:
    """Write the rows of a part of a grid, and its report from them."""
    from sweeps.export import export

    path = export(found, store, _rows_path(request), listing)
    out.print(f"rows: {path}")
    _report(path, output or Path("reports") / request.name)


def _rows_path(request: Request) -> Path:
    return Path("results") / f"{request.name}.parquet"


def _report(rows: Path, output: Path) -> None:
    from analysis.report import write_report

    out.print(f"report: {write_report(rows, output)}")


@app.command("status")
def status_command(grid: GridName, where: Where = None, store: StorePath = "store", as_json: AsJson = False) -> None:
    """Say how far a grid is: finished, running, failed, blocked and missing runs, and why the failed ones failed."""
    request = Request(grid=grid, where=tuple(where or ()), store=store)
    opened = request.opened()
    data = commands.status_data(commands.accounted(request, opened), opened)
    if as_json:
        print(json.dumps(data))
        return
    table = Table(box=None, pad_edge=False)
    states = ("finished", "running", "failed", "blocked", "missing")
    for name in ("stage", *states):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in STAGES:
        table.add_row(stage, *(str(data["stages"][stage][state]) for state in states))
    table.add_row("all", *(str(data[state]) for state in states))
    out.print(table)
    for pack in data["packs"]:
        place = f"{pack['pack']} on {pack['host']} (process {pack['process']})"
        out.print(f"{place}: step {pack['step']} of {pack['num_steps']}")
    print_failures(data)


@app.command("export")
def export_command(grid: GridName, where: Where = None, store: StorePath = "store", rows: Rows = None) -> None:
    """Write one Parquet row per planned cell, the missing and failed ones included."""
    from sweeps.export import export

    request = Request(grid=grid, where=tuple(where or ()), store=store)
    opened = request.opened()
    listing = opened.listing()
    found = commands.accounted(request, opened, listing)
    path = export(found, opened, rows or _rows_path(request), listing)
    out.print(f"{len(found.runs)} rows, {len(found.finished)} of them finished: {path}")


@app.command("report")
def report_command(
    grid: GridName,
    *,
    where: Where = None,
    store: StorePath = "store",
    rows: Annotated[Path | None, typer.Option("--rows", help="Report on these rows; the store is not read.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="The folder to write to. The default is reports/GRID.")
    ] = None,
) -> None:
    """Write the figures, tables and the page index.html of a grid."""
    if rows is not None:
        _report(rows, output or Path("reports") / grids.label(grid))
        return
    request = Request(grid=grid, where=tuple(where or ()), store=store)
    opened = request.opened()
    listing = opened.listing()
    found = commands.accounted(request, opened, listing)
    write_rows_and_report(request, found, opened, output=output, listing=listing)
