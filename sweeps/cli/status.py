"""Commands that say how a sweep stands: `status`, once or live, and `why` for one run."""

import json
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from subind.store.store import Store
from sweeps.cli.options import AsJson, GridName, Set, StorePath, Where
from sweeps.cli.printing import print_failures, print_stale, warn_of_unnamed_images
from sweeps.grids.overrides import given_grid
from sweeps.hosts.patience import pause
from sweeps.hosts.terminal import terminal
from sweeps.planning.plan import Plan
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import check_exists, opened_store
from sweeps.watching.display import Display
from sweeps.watching.picture import picture, status_data
from sweeps.watching.snapshot import Snapshot
from sweeps.watching.store_watch import Watch


def status_command(
    grid: GridName,
    *,
    where: Where = None,
    overrides: Set = None,
    store: StorePath = "store",
    watch: Annotated[bool, typer.Option("--watch", help="Follow it live until it is done, or Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between two looks of --watch.", min=0.5, max=3600)] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Show how far a grid is: runs by state, stage and node, and why runs failed.

    With --watch this is shown live until nothing is running or missing. The exit status is 1 if a run failed. Ctrl-C
    does not stop the sweep.
    """
    request = Request(grid=given_grid(grid, overrides), where=tuple(where or ()), store=store)
    opened = opened_store(request.store)
    found = accounted(request, opened)
    warn_of_unnamed_images(found)
    if watch and as_json:
        raise ValueError("--watch is given with --json: JSON is printed once; leave one of them out")
    check_exists(opened)
    if not as_json:
        print_stale(found)
    if watch:
        _watch(found, opened, interval=interval)
        return
    snapshot = Watch(found, opened).look()
    if as_json:
        print(json.dumps(status_data(found, opened, snapshot)))
        return
    console = terminal()
    console.print(picture(snapshot, width=console.width, height=console.height))
    print_failures(status_data(found, opened, snapshot))


def _watch(found: Plan, store: Store, *, interval: float) -> None:
    try:
        last = followed(Watch(found, store), terminal(), interval=interval)
    except KeyboardInterrupt:
        return
    if last.has_failed:
        raise typer.Exit(1)


def followed(watch: Watch, console: Console, *, interval: float, wait: Callable[[float], None] = pause) -> Snapshot:
    """Show the grid until it is done; the last snapshot."""
    with Display(console) as display:
        while not (last := watch.look()).is_over:
            if display.is_due:
                display.show(last)
            wait(interval)
        display.show(last)
        return last
