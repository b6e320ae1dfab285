"""The command that forgives failures."""

from typing import Annotated

import typer

from sweeps.cli.options import GridName, StorePath, Where, out
from sweeps.cli.printing import warn_of_unnamed_images
from sweeps.grids import read_grid
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import check_exists, opened_store
from sweeps.store_care.retry import retry_failed, retry_failed_of_class


def retry_command(
    grid: GridName,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Forgive every failed run.")] = False,
    error: Annotated[
        str | None,
        typer.Option("--class", help="Forgive failures of this class, such as OutOfMemory or WorkerDied."),
    ] = None,
    where: Where = None,
    store: StorePath = "store",
) -> None:
    """Forgive failed runs, so that the next `run` tries them and their descendants again."""
    if not failed and error is None:
        raise ValueError(
            "nothing is chosen: give --failed for every failed run, or --class NAME for those of one class"
        )
    request = Request(grid=read_grid(grid), where=tuple(where or ()), store=store)
    opened = opened_store(request.store)
    found = accounted(request, opened)
    check_exists(opened)
    warn_of_unnamed_images(found)
    number = retry_failed(found, opened) if error is None else retry_failed_of_class(found, opened, error)
    out.print(f"{number} failed runs are forgiven; `subind run {grid}` tries them again")
