"""`subind sync`."""

import typer

from sweeps.cli.options import GridName, Set, StorePath, Tracking, Where, err, out
from sweeps.cli.rows_and_report import mean_interval
from sweeps.grids.overrides import given_grid
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import check_exists, opened_store


def sync_command(
    grid: GridName,
    *,
    where: Where = None,
    overrides: Set = None,
    store: StorePath = "store",
    tracking_uri: Tracking = None,
) -> None:
    """Mirror the finished runs of a grid to MLflow. You may repeat it at any time; it never duplicates a run."""
    from sweeps.mirror.mirror import Mirror

    request = Request(grid=given_grid(grid, overrides), where=tuple(where or ()), store=store)
    opened = opened_store(request.store)
    found = accounted(request, opened)
    mirror = Mirror(opened, grid=found.grid, tracking_uri=tracking_uri)
    check_exists(opened)
    outcome = mirror.mirror(list(found.runs.values()))
    delayed_by = outcome.error or mirror.compare(mean_interval)
    counts = f"{outcome.num_mirrored} runs mirrored, {outcome.num_already_there} were there"
    out.print(f"{counts}, {outcome.num_delayed} delayed")
    if delayed_by:
        err.print(delayed_by, style="red")
        raise typer.Exit(1)
