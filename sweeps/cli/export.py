"""`subind export`."""

from sweeps.cli.options import GridName, Rows, Set, StorePath, Where, out
from sweeps.cli.printing import print_damaged, print_stale, warn_of_unnamed_images
from sweeps.cli.rows_and_report import exported, rows_path
from sweeps.grids.overrides import given_grid
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import opened_store


def export_command(
    grid: GridName, *, where: Where = None, overrides: Set = None, store: StorePath = "store", rows: Rows = None
) -> None:
    """Write one Parquet row per planned run, including missing and failed ones."""
    from sweeps.exporting.row_files import check_rows_target

    request = Request(grid=given_grid(grid, overrides), where=tuple(where or ()), store=store)
    check_rows_target(rows or rows_path(request))
    out.print(f"reading {request.store} for the rows of {request.name}")
    opened = opened_store(request.store)
    listing = opened.listing()
    found = accounted(request, opened, listing)
    path, found = exported(request, found, opened, path=rows, listing=listing)
    print_damaged(found)
    warn_of_unnamed_images(found)
    print_stale(found)
    out.print(f"{len(found.runs)} rows, {len(found.finished)} of them finished: {path}")
