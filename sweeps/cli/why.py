"""The command `why`: one run, its state, and what has led to it."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Annotated

import typer

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.store import Store
from sweeps.cli.options import AsJson, Device, Set, StorePath, out
from sweeps.grids import NAMES, Grid
from sweeps.grids.overrides import given_grid
from sweeps.hosts.terminal import duration
from sweeps.hosts.workers import available_workers
from sweeps.inputs.photographs import identified
from sweeps.planning.preparation import prepared
from sweeps.planning.request import Request
from sweeps.planning.run_states import ROW_STATUS
from sweeps.planning.store_checks import opened_store
from sweeps.watching.story import Event, story
from sweeps.watching.which_run import meant_run, planned_runs, stored_runs, with_spec
from sweeps.watching.why import (
    Computed,
    Explainer,
    Explanation,
    PlannedPack,
    Similar,
    num_descendants,
    planned_pack,
)

LINES_OF_A_TRACEBACK = 8
MOST_DIFFERENCES = 5
MOST_EVENTS = 10

INDENT = 11
QUOTED = "| "

HIDDEN = frozenset({"run_id", "stage", "parent_id", "parent_ids", "rivals"})
"""Columns that the explanation tells elsewhere, or that hardly distinguish runs."""


def why_command(
    run: Annotated[str, typer.Argument(help="A run's id, the beginning of it, or the name or path of its folder.")],
    grid: Annotated[str, typer.Argument(help="The grid that plans it. The default is every named grid.")] = "",
    *,
    overrides: Set = None,
    store: StorePath = "store",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Explain one run: its state and why, its parents, failure, checkpoint and worker, its next pack, and its story."""
    if overrides and not grid:
        raise ValueError("--set is given without a GRID: name the grid whose fields it sets")
    opened = opened_store(store)
    several = {name: given_grid(name, overrides) for name in ((grid,) if grid else NAMES)}
    planned = planned_runs({name: _cells(each, opened) for name, each in several.items()})
    stored = stored_runs(opened)
    meant = meant_run(run, planned, others=stored) if grid else meant_run(run, {**stored, **planned}, near=stored)
    found = with_spec(meant, opened)
    if found.spec is not None and (now := planned.get(run_id(found.spec))):
        found = replace(found, grids=now.grids)
    runs = {each.run: each.spec for each in planned.values() if each.spec is not None}
    made = Explainer(opened, runs.values()).explained(found)
    packs: list[PlannedPack] = []
    if ROW_STATUS[made.state] == "missing":
        plans = (
            prepared(Request(grid=several[name], where=(), store=store), opened, available_workers(device))
            for name in found.grids
        )
        packs = [pack for plan in plans if (pack := planned_pack(made.run, plan)) is not None]
    number = num_descendants(runs, made.run)
    events = story(opened, made.run, blocked_by=made.blocked_by)
    if as_json:
        lists = {"packs": [pack.data() for pack in packs], "story": [asdict(event) for event in events]}
        print(json.dumps({**made.data(), **lists, "num_descendants": number}))
        return
    for name, text in (*_lines(made, packs, number), *_story(events)):
        out.print(_laid_out(name, text))


def _cells(grid: Grid, store: Store) -> tuple[Run, ...]:
    """The cells of a grid, with the photographs that the store remembers if it can be read which these are."""
    try:
        return identified(grid.cells, images="", store=store)
    except ValueError:
        return grid.cells


def _laid_out(name: str, text: str) -> str:
    """A line of the explanation; on a terminal, prose goes on below itself, and ids and paths stay whole."""
    if not out.is_terminal or text.startswith(QUOTED):
        return f"{name:<{INDENT}}{text}"
    return textwrap.fill(
        text,
        width=out.width,
        initial_indent=f"{name:<{INDENT}}",
        subsequent_indent=" " * (INDENT + len(text) - len(text.lstrip(" └─"))),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _lines(made: Explanation, packs: list[PlannedPack], number: int) -> Iterator[tuple[str, str]]:
    """What is told of a run: a word, and a text; the word is empty where a text goes on."""
    yield made.stage, f"{made.folder}{' of ' + ', '.join(made.grids) if made.grids else ''}"
    yield "state", _state(made)
    if made.columns:
        yield "spec", ", ".join(f"{name} {value}" for name, value in made.columns.items() if name not in HIDDEN)
    yield "folder", made.path
    if made.computed is not None:
        yield from _computed(made.computed)
    yield from _failure(made)
    if made.similar is not None:
        yield from _similar(made.similar)
    yield from _traces(made)
    for pack in packs:
        yield "plan", _pack(pack)
    yield from _ancestors(made.parents)
    if number:
        yield "children", f"{number} runs descend from it"
    if made.note:
        yield "note", made.note


def _story(events: Sequence[Event]) -> Iterator[tuple[str, str]]:
    """What befell it, an event a line; of very many the first and the last ones."""
    num_left_out = max(0, len(events) - 2 * MOST_EVENTS)
    for place, event in enumerate(events):
        if num_left_out and place == MOST_EVENTS:
            yield "", f"{num_left_out} more events, which `subind why --json` has"
        if not (num_left_out and MOST_EVENTS <= place < len(events) - MOST_EVENTS):
            yield "" if place else "story", f"{event.time}  {event.text}"


def _state(made: Explanation) -> str:
    """The state with its reason."""
    match made.state:
        case "finished" if made.stale is not None:
            return f"finished, but outdated: {made.stale.reason}; the same spec is now run {made.stale.by_current}"
        case "finished" | "running":
            return made.state
        case "failed" | "damaged":
            assert made.failure is not None
            return f"{made.state}: {made.failure.error}: {_first_line(made.failure.message)}"
        case "blocked":
            return f"blocked: it descends from run {made.blocked_by}, which has failed"
        case "stale":
            assert made.stale is not None
            return f"stale: the store has it as run {made.stale.run}, and since then: {made.stale.reason}"
        case _:
            waiting = [parent for parent in made.parents if parent.state != "finished"]
            return f"planned: it waits for its {waiting[0].stage}" if waiting else "planned: not computed yet"


def _computed(found: Computed) -> Iterator[tuple[str, str]]:
    changes = {True: " with changes", False: "", None: ", perhaps with changes"}[found.dirty]
    code = f"commit {found.commit[:10]}{changes}" if found.commit else "code of an unknown commit"
    pack = "alone" if found.pack_size == 1 else f"in a pack of {found.pack_size}"
    when = f"from {found.started}, {duration(found.seconds)} on {found.host} ({found.device})"
    yield "computed", f"{when} {pack}, {found.num_epochs} epochs, {code}"
    if found.measurements:
        yield "result", ", ".join(f"{name} {value:.4g}" for name, value in found.measurements.items())


def _failure(made: Explanation) -> Iterator[tuple[str, str]]:
    failure = made.failure
    if failure is None:
        return
    pack = f"in a pack of {len(failure.pack)}" if len(failure.pack) > 1 else "alone"
    yield "failed", f"{failure.time} on {failure.host} {pack}, attempts: {failure.attempts}"
    yield "traceback", f"{made.traceback_path}, which ends with"
    for line in failure.traceback.rstrip().splitlines()[-LINES_OF_A_TRACEBACK:]:
        yield "", f"{QUOTED}{line}"


def _similar(similar: Similar) -> Iterator[tuple[str, str]]:
    first, *others = (
        f"{each.field} is {each.there} there and {each.here} here" for each in similar.differences[:MOST_DIFFERENCES]
    )
    yield "compare", f"run {similar.run} of that name is finished, but {first}"
    yield from (("", other) for other in others)
    if len(similar.differences) > MOST_DIFFERENCES:
        yield "", f"and {len(similar.differences) - MOST_DIFFERENCES} more fields differ"


def _traces(made: Explanation) -> Iterator[tuple[str, str]]:
    """A worker that computes it, and a checkpoint that holds it."""
    if made.worker is not None:
        beat, silent = made.worker, duration(made.seconds_silent)
        step = f"epoch {beat.epoch}, step {beat.step} of {beat.num_steps}"
        yield (
            "worker",
            f"{beat.host}, process {beat.process}: {beat.pack} of {len(beat.runs)} runs, {step}, heard {silent} ago",
        )
    if made.checkpoint is not None:
        found = made.checkpoint
        far = "not readable" if found.epoch is None else f"in epoch {found.epoch} after {found.step} steps"
        size, age = f"{found.num_bytes / 1e6:.1f} MB", duration(found.seconds_old)
        yield "checkpoint", f"of {found.pack}, {far}, {size}, {age} old"


def _pack(pack: PlannedPack) -> str:
    when = (
        f", trains from {duration(pack.starts)} to {duration(pack.ends)} after the start" if pack.has_forecast else ""
    )
    runs = "it alone" if pack.num_runs == 1 else f"{pack.num_runs} runs"
    return f"{pack.pack} of {pack.grid}: {runs}, number {pack.place} of {pack.num_packs} in line{when}"


def _ancestors(parents: tuple[Explanation, ...], depth: int = 0) -> Iterator[tuple[str, str]]:
    """A line for each run that it descends from, indented by how far away that is."""
    for parent in parents:
        name = "" if depth else "from"
        yield name, f"{'   ' * depth}{'└─ ' if depth else ''}{parent.stage} {parent.folder}: {_in_short(parent)}"
        yield from _ancestors(parent.parents, depth + 1)


def _in_short(made: Explanation) -> str:
    """The state of a parent with the one thing that matters about it."""
    if made.computed is not None:
        found = made.computed
        return f"finished, from {found.started}, {duration(found.seconds)} on {found.host}"
    if made.worker is not None:
        return f"running on {made.worker.host}, step {made.worker.step} of {made.worker.num_steps}"
    if made.failure is not None:
        return f"{_state(made)}; traceback in {made.traceback_path}"
    return _state(made)


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0]
