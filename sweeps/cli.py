"""The command `subind`."""

import gc
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from subind import spec as specs
from subind.listing import Listing
from subind.spec import STAGES, Stage
from subind.store import Store
from sweeps import commands, grids
from sweeps.commands import Request
from sweeps.display import duration
from sweeps.plan import Plan
from sweeps.preparation import Prepared, prepared
from sweeps.workers import available_workers

app = typer.Typer(
    help="Run sweeps and ablations for Subtask Induction: find a subnetwork, transplant it, measure the data it saves.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
bench = typer.Typer(help="Measure how fast this machine trains, and how a large store is read.", no_args_is_help=True)
app.add_typer(bench, name="bench")

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
StorePath = Annotated[str, typer.Option("--store", help="The folder or fsspec URL that holds the runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Device = Annotated[str, typer.Option("--device", help="What to train on: auto, cpu or cuda.")]
Tracking = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        help="The MLflow tracking server. The default is MLFLOW_TRACKING_URI, else SQLite in the store.",
    ),
]
Rows = Annotated[
    Path | None,
    typer.Option("--rows", help="The Parquet file of result rows. The default is results/GRID.parquet."),
]

# Lines are never broken and brackets are no markup: paths and JSON are copied from them.
out = Console(highlight=False, markup=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

COLLECTION_THRESHOLDS = (100_000, 50, 100)
"""A plan's specs are many and live to the end: looking through them after every 700 new objects takes a sixth more."""

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C stopped, as shells have it."""


def main() -> None:
    """Run the command; what the user can mend is told in a line, without a traceback."""
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    try:
        app()
    except (ValueError, OSError) as error:
        err.print(f"subind: {error}", style="red")
        sys.exit(2)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            err.print("subind: stopped; the same command goes on with what is missing")
        raise


@app.command("plan")
def plan_command(
    grid: GridName,
    *,
    where: Where = None,
    store: StorePath = "store",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Say what a run would do: how many runs are missing, in how many packs, and how long they take at most."""
    request = Request(grid=grid, where=tuple(where or ()), store=store)
    made = prepared(request, request.opened(), available_workers(device))
    if as_json:
        print(json.dumps(commands.plan_data(made.plan, made.forecast)))
        return
    _print_plan(made)


def _print_plan(made: Prepared) -> None:
    found, times = made.plan, made.forecast
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "planned", "finished", "failed", "blocked", "to run", "packs", "replicas", "work"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    columns = [
        _by_stage(found, runs) for runs in (found.runs, found.finished, found.failed, found.blocked, found.missing)
    ]
    for stage in STAGES:
        table.add_row(stage, *(str(column[stage]) for column in columns), *_packs_told(made, stage))
    out.print(table)
    unknown = "unknown: no run of this store was computed on such a device"
    told = unknown if times is None else ("at most " if times.at_most else "") + duration(times.seconds)
    out.print(f"{found.grid}: {len(found.missing)} runs in {len(found.packs)} packs; forecast {told}")
    for reason in sorted(set(found.stale.values())):
        number = sum(each == reason for each in found.stale.values())
        out.print(f"{number} runs are stale and run again, because {reason}")


def _packs_told(made: Prepared, stage: Stage) -> tuple[str, str, str]:
    """The packs of a stage, the replicas of one, and the seconds of all workers together."""
    sizes = [len(pack.specs) for pack in made.plan.packs if pack.stage == stage]
    if not sizes:
        return "0", "", ""
    low, high = min(sizes), max(sizes)
    seconds = None if made.forecast is None else made.forecast.stages[stage].worker_seconds
    return str(len(sizes)), str(low) if low == high else f"{low}–{high}", "" if seconds is None else duration(seconds)


def _by_stage(found: Plan, runs: Iterable[str]) -> Counter[Stage]:
    return Counter(specs.stage(found.runs[run]) for run in runs)


@app.command("run")
def run_command(
    grid: GridName,
    *,
    where: Where = None,
    store: StorePath = "store",
    device: Device = "auto",
    tracking_uri: Tracking = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed runs again.")] = False,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="A pack is checkpointed about so often.", min=1, max=300)
    ] = 120,
) -> None:
    """Compute what is missing of a grid, then write its rows and its report. The same command again goes on."""
    request = Request(grid=grid, where=tuple(where or ()), store=store)
    opened, workers = request.opened(), available_workers(device)
    if retry_failed:
        commands.retry_failed(commands.accounted(request, opened), opened)
    made = prepared(request, opened, workers)
    found = made.plan
    commands.check_store(opened, found)
    _print_plan(made)
    if found.missing:
        from sweeps.driver import drive

        drive(
            found,
            opened,
            made.workers,
            tracking_uri=tracking_uri,
            checkpoint_seconds=checkpoint_seconds,
            console=out,
        )
        found = commands.accounted(request, opened)
    _conclude(request, found, opened)


def _conclude(request: Request, found: Plan, store: Store) -> None:
    """Write rows and report, say how it went, and exit with the status that tells it."""
    _write_rows_and_report(request, found, store, output=None)
    data = commands.status_data(found, store)
    out.print(", ".join(f"{data[state]} {state}" for state in ("finished", "failed", "blocked", "running", "missing")))
    _print_failures(data)
    if data["failed"] or data["blocked"]:
        err.print("some runs failed; `--retry-failed` tries them again", style="red")
        raise typer.Exit(1)
    if data["missing"] or data["running"]:
        raise typer.Exit(INTERRUPTED)


def _print_failures(data: dict[str, Any], most: int = 10) -> None:
    for failure in data["failures"][:most]:
        out.print(
            f"{failure['stage']} {failure['run_id']} failed: {failure['error']}: {failure['message']} "
            f"(traceback in {failure['traceback']})"
        )
    if len(data["failures"]) > most:
        out.print(f"and {len(data['failures']) - most} more; `subind status --json` lists them all")


def _write_rows_and_report(
    request: Request, found: Plan, store: Store, *, output: Path | None, listing: Listing | None = None
) -> None:
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
    _print_failures(data)


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
    _write_rows_and_report(request, found, opened, output=output, listing=listing)


@app.command("sync")
def sync_command(
    grid: GridName, where: Where = None, store: StorePath = "store", tracking_uri: Tracking = None
) -> None:
    """Mirror the finished runs of a grid to MLflow. It may be repeated at any time and never duplicates a run."""
    from sweeps.tracking import Mirror

    request = Request(grid=grid, where=tuple(where or ()), store=store)
    opened = request.opened()
    found = commands.accounted(request, opened)
    outcome = Mirror(opened, grid=found.grid, tracking_uri=tracking_uri).mirror(list(found.runs.values()))
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
    from sweeps.ui import serve_ui

    serve_ui(Request(grid="", where=(), store=store).opened(), port=port)


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="A safetensors file of transformers' GPT2LMHeadModel.")],
    store: StorePath = "store",
) -> None:
    """Put weights into the store for donors to start from, and print the checksum that names them in a spec."""
    print(commands.import_weights(Request(grid="", where=(), store=store).opened(), file))


@app.command("doctor")
def doctor_command(store: StorePath = "store") -> None:
    """Check that this machine can run a sweep, and say what to do where it cannot."""
    from sweeps.doctor import checks

    wrong = 0
    for check in checks(Request(grid="", where=(), store=store).opened()):
        mark, style = ("ok", "green") if check.holds else ("WRONG", "red")
        wrong += not check.holds
        out.print(f"{mark:>5}", style=style, end="")
        out.print(f" {check.subject}: {check.finding}")
    if wrong:
        raise typer.Exit(1)


@bench.command("training")
def bench_training_command(device: Device = "auto", as_json: AsJson = False) -> None:
    """Time the packed trainer against a plain loop over transformers' GPT-2, and against this machine's limit."""
    from sweeps.bench.training import training_benchmark
    from sweeps.workers import available_workers

    with _quiet(as_json) as progress:
        data = training_benchmark(progress=progress, device=available_workers(device).device)
    if as_json:
        print(json.dumps(data))
        return
    _print_rows(data["rows"], title=str(data["machine"]))


@bench.command("grid")
def bench_grid_command(device: Device = "auto", as_json: AsJson = False) -> None:
    """Forecast a small real grid and sweep it, then once more with what the first sweep taught; some three minutes."""
    from sweeps.bench.grid import grid_benchmark

    with _quiet(as_json) as progress:
        data = grid_benchmark(progress=progress, device=device)
    if as_json:
        print(json.dumps(data))
        return
    _print_rows(data["rounds"], title="measured over forecast")


def _print_rows(rows: list[dict[str, Any]], *, title: str) -> None:
    table = Table(title=title, box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    out.print(table)


@bench.command("store")
def bench_store_command(
    cells: Annotated[int, typer.Option("--cells", help="Finished cells in the store.", min=1)] = 100_000,
    as_json: AsJson = False,
) -> None:
    """Time plan, export and report over a store of many finished cells, made in a temporary folder: 20 kB a cell."""
    from sweeps.bench.store import store_benchmark

    with _quiet(as_json) as progress:
        data = store_benchmark(cells, progress=progress)
    if as_json:
        print(json.dumps(data))
        return
    _print_rows([data], title=f"{cells:,} cells")


@contextmanager
def _quiet(as_json: bool) -> Iterator[Callable[[str], None]]:
    """How a benchmark tells its progress: on standard error, so that JSON stays alone on standard output."""
    yield err.print


if __name__ == "__main__":
    main()
