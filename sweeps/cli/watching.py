"""Commands that say how a sweep stands: `status`, once or live, and `why` for one run."""

import json
import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from subind.store.store import Store
from sweeps.cli.app import AsJson, GridName, StorePath, Where, app, out
from sweeps.cli.reading import print_failures, warn_of_unnamed_images
from sweeps.grids import read_grid
from sweeps.hosts.terminal import terminal
from sweeps.planning.plan import Plan
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import check_exists, opened_store
from sweeps.watching.picture import picture
from sweeps.watching.snapshot import Snapshot, Watch, change_key, line
from sweeps.watching.status_data import status_data


@app.command("status")
def status_command(
    grid: GridName,
    *,
    where: Where = None,
    store: StorePath = "store",
    watch: Annotated[bool, typer.Option("--watch", help="Follow it live until it is done, or Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between two looks of --watch.", min=0.5, max=3600)] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Say how far a grid is: runs by state, stage and node, and why the failed ones failed.

    With --watch this is shown live, wherever the workers are, until nothing is running or missing; it ends with status
    1 if a run has failed. Ctrl-C leaves the sweep alone.
    """
    request = Request(grid=read_grid(grid), where=tuple(where or ()), store=store)
    opened = opened_store(request.store)
    found = accounted(request, opened)
    warn_of_unnamed_images(found)
    if watch and as_json:
        raise ValueError("--watch is given with --json: JSON is printed once; leave one of them out")
    check_exists(opened)
    if watch:
        _watch(found, opened, interval=interval)
        return
    snapshot = Watch(found, opened).look()
    data = status_data(found, opened, snapshot)
    if as_json:
        print(json.dumps(data))
        return
    console = terminal()
    console.print(picture(snapshot, width=console.width, height=console.height))
    for pack in data["packs"]:
        place = f"{pack['pack']} on {pack['host']} (process {pack['process']})"
        out.print(f"{place}: step {pack['step']} of {pack['num_steps']}")
    print_failures(data)


def _watch(found: Plan, store: Store, *, interval: float) -> None:
    followed, console = Watch(found, store), terminal()
    try:
        last = (
            followed_live(followed, console, interval=interval)
            if console.is_terminal
            else followed_by_lines(followed, console, interval=interval)
        )
    except KeyboardInterrupt:
        return
    if last.has_failed:
        raise typer.Exit(1)


def followed_live(
    followed: Watch, console: Console, *, interval: float, wait: Callable[[float], None] = time.sleep
) -> Snapshot:
    """Show a live table until the grid is done; the last snapshot."""
    start = time.monotonic()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            found = followed.look()
            seconds = time.monotonic() - start
            shown = picture(found, width=console.width, height=console.height, seconds_watched=seconds)
            live.update(shown, refresh=True)
            if found.is_over:
                return found
            wait(interval)


def followed_by_lines(
    followed: Watch, console: Console, *, interval: float, wait: Callable[[float], None] = time.sleep
) -> Snapshot:
    """Print a line whenever something has happened until the grid is done; the last snapshot."""
    before: tuple[object, ...] = ()
    while True:
        found = followed.look()
        if change_key(found) != before:
            before = change_key(found)
            console.print(f"{time.strftime('%H:%M:%S')} · {line(found)}", soft_wrap=True)
        if found.is_over:
            return found
        wait(interval)
