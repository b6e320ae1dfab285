"""What several commands print: a plan, failures, damages, warnings."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table

from subind.specs.run import Stage
from subind.store.store import Store
from sweeps.cli.options import err, out
from sweeps.hosts.error_lines import one_line
from sweeps.hosts.terminal import duration
from sweeps.inputs.photographs import UNIDENTIFIED, is_unidentified
from sweeps.planning.keeping import kept_bytes
from sweeps.planning.plan import Plan
from sweeps.planning.preparation import Prepared
from sweeps.planning.request import Request
from sweeps.planning.stale import changed_sources


def absolute(images: str) -> str:
    """The absolute path of a folder of images; nothing for nothing."""
    return str(Path(images).absolute()) if images else ""


def print_plan(made: Prepared, overrides: tuple[str, ...]) -> None:
    """What is overridden, what is planned by stage, the forecast, and what is kept and stale."""
    for each in overrides:
        out.print(f"set {each}")
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
    print_stale(found)


def print_stale(found: Plan) -> None:
    """How many missing runs the store has of earlier code, and what has changed since: a line a reason."""
    for reason, number in sorted(Counter(found.stale.values()).items()):
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


def print_failures(data: dict[str, Any], most: int = 10) -> None:
    """Why runs failed, a line each."""
    for failure in data["failures"][:most]:
        where = f" (traceback in {failure['traceback']})" if failure["traceback"] else ""
        why = f"{failure['error']}: {one_line(failure['message'])}"
        out.print(f"{failure['stage']} {failure['run_id']} failed: {why}{where}")
    if len(data["failures"]) > most:
        out.print(f"and {len(data['failures']) - most} more; `subind status --json` lists them all")


def print_damaged(found: Plan, most: int = 10) -> None:
    """What is wrong with damaged runs, a line each on standard error."""
    for run, why in list(found.damaged.items())[:most]:
        err.print(f"subind: run {run} is damaged: {why}", style="yellow")
    if len(found.damaged) > most:
        err.print(f"and {len(found.damaged) - most} more; `subind status --json` lists them all", style="yellow")


def warn_of_unnamed_images(found: Plan) -> None:
    """Say that ids depend on photographs which nobody has named, if they do."""
    if is_unidentified(found.runs.values()):
        err.print(UNIDENTIFIED, style="yellow")


def warn_of_changed_sources(request: Request, found: Plan, store: Store) -> None:
    """Say which of a grid file's classes were changed and kept their version."""
    if request.grid.is_file:
        finished = (run for key, run in found.runs.items() if key in found.finished)
        for name, run in changed_sources(finished, store).items():
            err.print(
                f"the source of {name} differs from that of run {run} was computed, and its version is the same: raise "
                "`version` if numbers move, so that such runs are computed again",
                style="yellow",
            )
