"""The rows of a grid and its report, as several commands write them."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from subind.specs.quoting import quoted_path
from subind.store.listing import Listing
from subind.store.store import Store
from sweeps.cli.options import err, out
from sweeps.hosts import patience, stop_signals
from sweeps.mirror.report import Report, has_tracker, log_report
from sweeps.planning.further_seeds import Expected
from sweeps.planning.plan import Plan
from sweeps.planning.request import Request

Written = TypeVar("Written")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was computed: the request with the cells added to it, and its plan."""

    request: Request
    plan: Plan


def write_rows_and_report(
    request: Request,
    found: Plan,
    store: Store,
    *,
    output: Path | None,
    listing: Listing | None = None,
    tracking_uri: str | None = None,
    is_logged: bool = True,
) -> Plan:
    """Write the rows of a part of a grid, and its report from them, which is logged where there is a tracker.

    Without `is_logged` the report is not logged: the tracker has just been asked in vain. Returns the plan that the
    rows have: runs whose record cannot be read count as failed.
    """
    write = partial(exported, request, found, store, listing=listing)
    path, found = _with_room(write)
    out.print(f"rows: {path}")
    folder = output or Path("reports") / request.name
    files = _with_room(partial(write_report_of, path, folder))
    if is_logged and has_tracker(store, tracking_uri):
        tags = {"subind.rows": str(path)}
        try:
            report = Report(grid=found.grid, name=request.name, folder=folder, files=files, tags=tags)
            log_report(store, report, given=tracking_uri)
        except ValueError as error:
            err.print(str(error), style="yellow")
    return found


def _with_room(write: Callable[[], Written]) -> Written:
    """What is written, as soon as the disk has room; a command that was told to stop does not wait for that."""
    return write() if stop_signals.has_come() else patience.DISK.answer(write, tell=err.print)


def mirror_lag(request: Request, found: Plan, store: Store, *, tracking_uri: str | None) -> str:
    """Mirror the finished runs that MLflow lacks; which it lacks then and what mirrors them, empty if none."""
    from sweeps.mirror.mirror import Mirror

    try:
        mirror = Mirror(store, grid=found.grid, tracking_uri=tracking_uri)
    except ValueError as error:
        return f"MLflow has no run of this store: {error}"
    outcome = mirror.mirror_finished([found.runs[run] for run in found.finished])
    delayed_by = outcome.error or mirror.compare(mean_interval)
    if not delayed_by:
        return ""
    options = [("--where", each) for each in request.where] + [("--set", each) for each in request.grid.overrides]
    options += [("--store", request.store)] if request.store != "store" else []
    options += [("--tracking-uri", tracking_uri)] if tracking_uri else []
    command = shlex.join(["subind", "sync", request.grid.name, *(part for option in options for part in option)])
    lacking = f"{outcome.num_delayed} of {len(found.finished)} runs" if outcome.num_delayed else "comparisons"
    return f"MLflow lacks {lacking}: {delayed_by}; `{command}` mirrors them"


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The ends of the interval of a mean over seeds, as the report has it; None for fewer than two."""
    from analysis.statistics import t_interval

    found = t_interval(values)
    return None if found is None else (found.low, found.high)


def exported(
    request: Request,
    found: Plan,
    store: Store,
    *,
    path: Path | None = None,
    listing: Listing | None = None,
) -> tuple[Path, Plan]:
    """Write the rows of a part of a grid with its claims; the path of the file, and the plan that the rows have."""
    from sweeps.exporting.row_files import check_rows_target
    from sweeps.exporting.rows import exported_plan

    if not store.exists():
        err.print(
            f"--store is {quoted_path(store.url)}: there is no such store, so every run is missing", style="yellow"
        )
    path = path or rows_path(request)
    check_rows_target(path)
    expected = Expected(claims=request.grid.claims)
    return path, exported_plan(found, store, path, listing, expected=expected)


def rows_path(request: Request) -> Path:
    """Where the rows of a part of a grid are written, unless told otherwise."""
    return Path("results") / f"{request.name}.parquet"


def trials_path(request: Request) -> Path:
    """Where the trials of a grid's studies are written: beside its rows, where its report finds them."""
    return rows_path(request).with_suffix(".tuning.parquet")


def write_report_of(rows: Path, output: Path) -> Sequence[str]:
    """Write the report of the rows; its files, by their paths in the folder `output`."""
    from analysis.report.folder import report_files
    from analysis.report.page import write_report

    out.print(f"report: {write_report(rows, output)}")
    return report_files(output)
