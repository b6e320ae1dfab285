"""`subind run`."""

from functools import partial
from typing import Annotated

import typer

from subind.specs.quoting import quoted
from subind.store.store import Store
from sweeps.cli.crew import crew
from sweeps.cli.options import Device, GridName, Images, Keep, Set, StorePath, Tracking, Where, err, out
from sweeps.cli.printing import absolute, print_damaged, print_failures, print_plan, warn_of_changed_sources
from sweeps.cli.rows_and_report import Outcome, mirror_lag, rows_path, write_rows_and_report
from sweeps.cli.until_decided import decided
from sweeps.grids.overrides import given_grid
from sweeps.grids.own_code import own_code
from sweeps.hosts import stop_signals
from sweeps.hosts.workers import Workers
from sweeps.inputs.photographs import remember
from sweeps.inputs.preflight import check_inputs
from sweeps.planning.plan import Plan
from sweeps.planning.preparation import check_room, prepared
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import check_store, opened_store
from sweeps.store_care import retry
from sweeps.watching.picture import status_data

Address = Annotated[
    str | None,
    typer.Option(
        help="Run on the Ray cluster at HOST:PORT; auto is this machine's cluster. The default is no cluster."
    ),
]
InProcess = Annotated[
    bool,
    typer.Option("--in-process", help="Train one pack after another in this process, for a debugger, without Ray."),
]
UntilDecided = Annotated[
    bool, typer.Option("--until-decided", help="Add seeds to the cells of claims that are not decided.")
]


def run_command(
    grid: GridName,
    *,
    where: Where = None,
    overrides: Set = None,
    store: StorePath = "store",
    device: Device = "auto",
    tracking_uri: Tracking = None,
    address: Address = None,
    num_workers: Annotated[
        int,
        typer.Option(help="On a cluster: packs that train at once. The default, 0, means one per GPU or CPU.", min=0),
    ] = 0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed runs again.")] = False,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="Seconds between two checkpoints of a pack.", min=1, max=300)
    ] = 120,
    until_decided: UntilDecided = False,
    max_seeds: Annotated[int, typer.Option("--max-seeds", help="The most seeds that a cell may get.", min=1)] = 20,
    images: Images = "",
    keep: Keep = None,
    in_process: InProcess = False,
) -> None:
    """Compute the missing runs of a grid, then write its rows and report. The same command continues."""
    if in_process and address is not None:
        raise ValueError(f"--in-process is given with --address {quoted(address)}, which is for Ray: leave one out")
    request = Request(
        grid=given_grid(grid, overrides),
        where=tuple(where or ()),
        store=store,
        images=absolute(images),
        keep=tuple(keep or ()),
    )
    opened = opened_store(request.store)
    if retry_failed:
        retry.retry_failed(accounted(request, opened), opened)
    with crew(opened, address, device=device, num_workers=num_workers) as workers:
        computed = partial(
            _swept,
            store=opened,
            workers=workers,
            tracking_uri=tracking_uri,
            checkpoint_seconds=checkpoint_seconds,
            in_process=in_process,
        )
        if until_decided:
            outcome = decided(request, opened, computed, max_seeds=max_seeds)
        else:
            outcome = Outcome(request=request, plan=computed(request))
    _conclude(outcome, opened, tracking_uri=tracking_uri)


def _swept(
    request: Request,
    *,
    store: Store,
    workers: Workers,
    tracking_uri: str | None,
    checkpoint_seconds: float,
    in_process: bool,
) -> Plan:
    """Say what is to be done, do it, and account for it."""
    made = prepared(request, store, workers)
    check_store(store, made.plan)
    check_inputs(made.plan.to_compute, store, request.images)
    if other := remember(made.plan.runs.values(), store, request.images):
        err.print(other, style="yellow")
    check_room(made)
    warn_of_changed_sources(request, made.plan, store)
    print_plan(made, request.grid.overrides)
    print_damaged(made.plan)
    if not made.plan.missing:
        return made.plan
    if request.images:
        from sweeps.exporting.contact_sheets import write_photograph_sheet

        write_photograph_sheet(made.plan, request.images, rows_path(request))
    if in_process:
        from sweeps.running.in_process import drive_in_process as drive
    else:
        from sweeps.running.driver import drive

    drive(
        made.plan,
        store,
        made.workers,
        tracking_uri=tracking_uri,
        checkpoint_seconds=checkpoint_seconds,
        console=out,
        images=request.images,
        own=own_code(request.grid.name, made.plan.runs.values()),
    )
    return accounted(request, store)


def _conclude(outcome: Outcome, store: Store, *, tracking_uri: str | None) -> None:
    """Mirror what MLflow lacks, write rows and report, say how it went, and exit with the status that tells it.

    After a stop it only says how it went: a person waits for the prompt.
    """
    found = outcome.plan
    if not stop_signals.has_come():
        lag = "" if found.missing else mirror_lag(outcome.request, found, store, tracking_uri=tracking_uri)
        found = write_rows_and_report(
            outcome.request, found, store, output=None, tracking_uri=tracking_uri, is_logged=not lag
        )
        if lag:
            err.print(lag, style="yellow")
    data = status_data(found, store)
    out.print(", ".join(f"{data[state]} {state}" for state in ("finished", "failed", "blocked", "running", "missing")))
    print_failures(data)
    if data["failed"] or data["blocked"]:
        err.print("some runs failed; `--retry-failed` tries them again", style="red")
        raise typer.Exit(1)
    if data["missing"] or data["running"]:
        raise typer.Exit(stop_signals.status())
