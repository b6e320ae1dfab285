"""Commands that plan and run."""

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from subind.specs.quoting import quoted_path
from subind.specs.run import Stage
from subind.store.errors import is_full
from subind.store.store import Store
from sweeps.cli.app import AsJson, Device, GridName, Images, Keep, StorePath, Tracking, Where, app, err, home_for, out
from sweeps.cli.costs import chosen_workers, cost_data, cost_of, print_cost
from sweeps.cli.deciding import decided
from sweeps.cli.reading import (
    Outcome,
    mirror_lag,
    print_damaged,
    print_failures,
    rows_path,
    warn_of_changed_sources,
    warn_of_unnamed_images,
    write_rows_and_report,
)
from sweeps.grids import read_grid
from sweeps.grids.own_code import own_code
from sweeps.hosts import stop_signals
from sweeps.hosts.terminal import duration
from sweeps.hosts.workers import Workers, available_workers
from sweeps.inputs.photographs import remember
from sweeps.inputs.preflight import check_inputs
from sweeps.planning.keeping import kept_bytes
from sweeps.planning.plan import Plan
from sweeps.planning.plan_data import plan_data
from sweeps.planning.preparation import Prepared, check_room, prepared
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import check_outlives_process, check_store, opened_store
from sweeps.store_care import retry
from sweeps.watching.display import SECONDS_BETWEEN_LINES
from sweeps.watching.picture import status_data


@app.command("plan")
def plan_command(
    grid: GridName,
    *,
    where: Where = None,
    store: StorePath = "store",
    device: Device = "auto",
    cost: Annotated[bool, typer.Option("--cost", help="Say what it costs in device-hours and money.")] = False,
    prices: Annotated[
        Path | None,
        typer.Option(
            callback=home_for("--prices"), help="A CSV of prices for --cost. The default is sweeps/prices.csv."
        ),
    ] = None,
    device_name: Annotated[
        str | None, typer.Option(help="Plan for devices that are not at hand: cpu, or a card such as 'NVIDIA L4'.")
    ] = None,
    num_devices: Annotated[int | None, typer.Option(help="How many devices of --device-name.", min=1)] = None,
    images: Images = "",
    keep: Keep = None,
    as_json: AsJson = False,
) -> None:
    """Say what a run would do: how many runs are missing, in how many packs, how long they take, and what they cost."""
    request = Request(
        grid=read_grid(grid), where=tuple(where or ()), store=store, images=_absolute(images), keep=tuple(keep or ())
    )
    opened = opened_store(request.store)
    made = prepared(request, opened, chosen_workers(device, device_name, num_devices))
    bill = cost_of(made, opened, prices) if cost else None
    try:
        check_room(made)
    except ValueError as error:
        err.print(f"a run with these workers is refused: {error}", style="yellow")
    warn_of_unnamed_images(made.plan)
    warn_of_changed_sources(request, made.plan, opened)
    if as_json:
        data = plan_data(made.plan, made.forecast)
        print(json.dumps(data if bill is None else {**data, "cost": cost_data(*bill)}))
        return
    _print_plan(made)
    print_damaged(made.plan)
    if bill is not None:
        print_cost(made.plan, *bill)


def _absolute(images: str) -> str:
    return str(Path(images).absolute()) if images else ""


def _print_plan(made: Prepared) -> None:
    found, times = made.plan, made.forecast
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "planned", "finished", "failed", "blocked", "to run", "packs", "replicas", "work"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    columns = [
        _by_stage(found, runs) for runs in (found.runs, found.finished, found.failed, found.blocked, found.missing)
    ]
    for stage in found.stages:
        table.add_row(stage, *(str(column[stage]) for column in columns), *_packs_told(made, stage))
    out.print(table)
    unknown = "unknown: no run of this store was computed on such a device"
    told = unknown if times is None else ("at most " if times.at_most else "") + duration(times.seconds)
    out.print(f"{found.grid}: {len(found.missing)} runs in {len(found.packs)} packs; forecast {told}")
    if found.kept:
        out.print(f"{len(found.kept)} recipients are kept, {kept_bytes(found) / 1e9:.2f} GB of weights")
    if found.unkept:
        out.print(f"{len(found.unkept)} of them are finished without weights, and are computed again")
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
    return Counter(found.runs[run].stage for run in runs)


@app.command("run")
def run_command(
    grid: GridName,
    *,
    where: Where = None,
    store: StorePath = "store",
    device: Device = "auto",
    tracking_uri: Tracking = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Run on the Ray cluster at HOST:PORT, or auto on a machine of one. The default is this machine alone."
        ),
    ] = None,
    num_workers: Annotated[
        int, typer.Option(help="On a cluster: packs that train at once. The default, 0, is one per GPU or CPU.", min=0)
    ] = 0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed runs again.")] = False,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="A pack is checkpointed about so often.", min=1, max=300)
    ] = 120,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds to the cells of claims that are not decided.")
    ] = False,
    max_seeds: Annotated[int, typer.Option("--max-seeds", help="The most seeds that a cell gets so.", min=1)] = 20,
    images: Images = "",
    keep: Keep = None,
) -> None:
    """Compute what is missing of a grid, then write its rows and its report. The same command again goes on."""
    request = Request(
        grid=read_grid(grid), where=tuple(where or ()), store=store, images=_absolute(images), keep=tuple(keep or ())
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
        )
        if until_decided:
            outcome = decided(request, opened, computed, max_seeds=max_seeds)
        else:
            outcome = Outcome(request=request, plan=computed(request))
    _conclude(outcome, opened, tracking_uri=tracking_uri)


@contextmanager
def crew(store: Store, address: str | None, *, device: str, num_workers: int) -> Iterator[Workers]:
    """The workers of this machine, or of the Ray cluster at the address, connected to while the block runs."""
    check_outlives_process(store)
    name_useless_home()
    if address is None:
        _check_alone(num_workers)
        yield available_workers(device)
        return
    from sweeps.hosts.ray_nodes import cluster_ray, cluster_workers

    with cluster_ray(address):
        yield cluster_workers(store, device=device, num_workers=num_workers, tell=WaitingLine().tell)


def name_useless_home() -> None:
    """Say so in a line if the home folder can neither be made nor written; a sweep needs it for caches alone."""
    home = Path(os.environ.get("HOME", "")).absolute()
    folder = next(each for each in (home, *home.parents) if each.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it would say the same in several lines
        verb = "written" if home.is_dir() else "made"
        err.print(
            f"subind: HOME is {quoted_path(home)}, which cannot be {verb}: set it to a folder that you may write; "
            "this command keeps its caches in the temporary folder",
            style="yellow",
        )


class WaitingLine:
    """What is waited for: on a terminal a line that is written over, elsewhere one line a minute."""

    def __init__(self) -> None:
        self._told = float("-inf")

    def tell(self, text: str) -> None:
        """Show the line, if it is time to."""
        if out.is_terminal:
            out.print(text, end="\r")
        elif time.monotonic() - self._told > SECONDS_BETWEEN_LINES:
            out.print(text)
            self._told = time.monotonic()


def _check_alone(num_workers: int) -> None:
    if num_workers:
        raise ValueError(f"--num-workers is {num_workers}, which is for a cluster: give its --address, or leave it out")


def _swept(
    request: Request,
    *,
    store: Store,
    workers: Workers,
    tracking_uri: str | None,
    checkpoint_seconds: float,
) -> Plan:
    """Say what is to be done, do it, and account for it."""
    made = prepared(request, store, workers)
    check_store(store, made.plan)
    check_inputs(made.plan.to_compute, store, request.images)
    if other := remember(made.plan.runs.values(), store, request.images):
        err.print(other, style="yellow")
    check_room(made)
    warn_of_changed_sources(request, made.plan, store)
    _print_plan(made)
    print_damaged(made.plan)
    if not made.plan.missing:
        return made.plan
    if request.images:
        from sweeps.exporting.contact_sheets import write_photograph_sheet

        write_photograph_sheet(made.plan, request.images, rows_path(request))
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
    """Mirror what MLflow lacks, write rows and report, say how it went, and exit with the status that tells it."""
    found = outcome.plan
    lag = "" if found.missing else mirror_lag(outcome.request, found, store, tracking_uri=tracking_uri)
    try:
        found = write_rows_and_report(
            outcome.request, found, store, output=None, tracking_uri=tracking_uri, is_logged=not lag
        )
    except OSError as error:
        if not (stop_signals.has_come() and is_full(error)):
            raise
        err.print(f"rows and report are not written: a disk is full ({error})", style="yellow")
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
