"""The command that checks what a store holds: `subind verify`."""

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Any

import typer

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.specs.training import ImportedWeights, PublishedWeights
from subind.store.store import Store
from sweeps.cli.options import AsJson, StorePath, Where, err, out
from sweeps.grids import NAMES, read_grid
from sweeps.planning.plan import Plan
from sweeps.planning.request import Request, accounted
from sweeps.planning.run_states import descendants
from sweeps.planning.store_checks import opened_store
from sweeps.store_care.verify import (
    Damage,
    Place,
    Progress,
    Verified,
    finished_below,
    places_in,
    repaired,
    verify,
    weights_in,
)
from sweeps.watching.display import SECONDS_BETWEEN_LINES
from sweeps.watching.which_run import planned_runs

SECONDS_IN_SILENCE = 2.0
"""A verification that takes longer tells how far it is."""

MOST_NAMED = 5
"""Runs that are named of those that depend on a damaged one."""


def verify_command(
    grid: Annotated[
        str, typer.Argument(help="The grid whose runs and imported weights are checked. Or give --all.")
    ] = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Check all that the store holds.")] = False,
    where: Where = None,
    store: StorePath = "store",
    repair: Annotated[
        bool, typer.Option("--repair", help="Move damaged files aside, so that the next run computes them again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the checksums of every finished run, and list damaged files and the runs that need them.

    It reads every byte of weights and masks. After an interruption the same command continues. The exit status is 1
    if damage remains.
    """
    if bool(grid) == everything:
        raise ValueError("nothing to verify is chosen: give a GRID, or --all for everything in the store")
    opened = opened_store(store)
    plan = None
    if not everything:
        plan = accounted(Request(grid=read_grid(grid), where=tuple(where or ()), store=store), opened)
    places = places_in(opened) if plan is None else _places(plan, opened)
    weights = weights_in(opened) if plan is None else _weights(plan, opened)
    scope = "--all" if plan is None else " ".join([grid, *(where or ())])
    found = verify(opened, places, weights, scope=scope, tell=ProgressLine().tell)
    below = _Below(found, plan, opened)
    moved = dict(repaired(opened, found.damages)) if repair else {}
    forgiven = below.forgiven(moved, opened)
    if as_json:
        print(json.dumps({**_data(found, below, moved), "forgiven": forgiven}))
    else:
        _print(found, below, moved, repair=repair)
        if forgiven:
            out.print(f"{len(forgiven)} failures that named what is repaired are forgiven: {_named(forgiven)}")
    if any(each.kind == "weights" or (each.folder not in moved) for each in found.damages):
        raise typer.Exit(1)


def _places(plan: Plan, store: Store) -> list[Place]:
    runs = [spec for run, spec in plan.runs.items() if run in plan.finished or run in plan.damaged]
    return [Place(run=run_id(run), stage=run.stage, folder=store.folder(run)) for run in runs]


def _weights(plan: Plan, store: Store) -> list[str]:
    """The files of imported weights that donors of the plan start from, as far as they are in the store."""
    wanted = set()
    for run in plan.runs.values():
        match run.imported():
            case ImportedWeights(sha256=sha256):
                wanted.add(f"{sha256}.safetensors")
            case PublishedWeights(file=file):
                wanted.add(f"{file}.sha256")
                wanted.add(f"{store.named_weights(file)}.safetensors")
            case None:
                continue
    return [name for name in weights_in(store) if name in wanted]


class ProgressLine:
    """How far a verification is: on a terminal a line that is written over, elsewhere one line a minute."""

    def __init__(self) -> None:
        self._next = time.monotonic() + SECONDS_IN_SILENCE

    def tell(self, progress: Progress) -> None:
        """Show the line, if it is time to."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + (0.5 if err.is_terminal else SECONDS_BETWEEN_LINES)
        text = f"verified the records of {progress.num_records:,} of {progress.num_runs:,} runs"
        if progress.all_bytes:
            text = f"verified {progress.num_bytes / 1e9:.2f} of {progress.all_bytes / 1e9:.2f} GB"
        err.print(text, end="\r" if err.is_terminal else "\n")


class _Below:
    """What descends from damaged runs: what is finished by records, what is missing by the plan or all named grids."""

    def __init__(self, found: Verified, plan: Plan | None, store: Store) -> None:
        self._parents = found.parents
        self._damaged = {each.run for each in found.damages if each.run}
        self._runs: Mapping[str, Run] = {}
        self._finished = store.listing().finished if found.damages else {}
        if plan is not None:
            self._runs = plan.runs
        elif found.damages:
            known = planned_runs({name: read_grid(name).cells for name in NAMES}).values()
            self._runs = {each.run: each.spec for each in known if each.spec is not None}

    def finished(self, damage: Damage) -> list[str]:
        """The finished runs that descend from the damaged one. They are valid: it was whole when they were computed."""
        return sorted(finished_below([damage.run], self._parents)) if damage.run else []

    def missing(self, damage: Damage) -> list[str]:
        """The runs that cannot be computed as long as the damaged one is not."""
        found = descendants(self._runs, {damage.run}) if damage.run else set[str]()
        return sorted(found - self._finished.keys())

    def forgiven(self, moved: Iterable[str], store: Store) -> list[str]:
        """Forget the failures of runs that failed because of a file that has been moved aside; which runs these are."""
        found = []
        for run in sorted(descendants(self._runs, self._damaged)) if moved else ():
            with suppress(OSError, ValueError):
                message = store.failure(self._runs[run]).message
                if any(path in message for path in moved):
                    store.forgive(self._runs[run])
                    found.append(run)
        return found


def _data(found: Verified, below: _Below, moved: Mapping[str, str]) -> dict[str, Any]:
    return {
        "runs": found.num_runs,
        "files": found.num_files,
        "skipped": found.num_skipped,
        "bytes": found.num_bytes,
        "damaged": [
            {
                "kind": each.kind,
                "path": each.path,
                "why": each.why,
                "run_id": each.run or None,
                "stage": each.stage,
                "finished_below": below.finished(each),
                "missing_below": below.missing(each),
                "moved_to": moved.get(each.folder or each.path),
            }
            for each in found.damages
        ],
    }


def _print(found: Verified, below: _Below, moved: Mapping[str, str], *, repair: bool) -> None:
    for each in found.damages:
        whose = f"{each.stage} {each.run}: " if each.run else "imported weights: "
        out.print(f"{whose}{each.path}: {each.why}" if each.path not in each.why else f"{whose}{each.why}")
        if missing := below.missing(each):
            out.print(f"  {len(missing)} missing runs need it: {_named(missing)}")
        if finished := below.finished(each):
            out.print(f"  {len(finished)} finished runs descend from it and stay valid: {_named(finished)}")
        if target := moved.get(each.folder or each.path):
            then = "import the file again" if each.kind == "weights" else "the next run computes it again"
            out.print(f"  moved to {target}; {then}")
    skipped = f", {found.num_skipped} of them before an interruption" if found.num_skipped else ""
    out.print(
        f"{found.num_runs} finished runs and {found.num_files} files verified{skipped}: "
        f"{len(found.damages) or 'nothing'} damaged"
    )
    if found.damages and not repair:
        out.print("`--repair` moves damaged files aside, so that the next run computes them again")


def _named(runs: list[str]) -> str:
    more = f" and {len(runs) - MOST_NAMED} more" if len(runs) > MOST_NAMED else ""
    return ", ".join(runs[:MOST_NAMED]) + more
