"""A snapshot as a picture for a terminal, as a line for a log, and as JSON data.

All begin with the answer: how far the sweep is, how long it takes, and what has failed.
"""

from collections.abc import Sequence
from math import ceil
from statistics import fmean
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from subind.store.results import STATUSES
from subind.store.store import Heartbeat, Store
from sweeps.hosts.terminal import columns, duration, shortened
from sweeps.planning.damaged_runs import FailureClass
from sweeps.planning.plan import Plan
from sweeps.planning.run_states import WITHOUT_RESULT, State, told_stages, total
from sweeps.watching.nodes import Node
from sweeps.watching.snapshot import Snapshot
from sweeps.watching.store_watch import Watch
from sweeps.watching.time_left import share_done

STYLES: dict[State, str] = {
    "finished": "green",
    "running": "cyan",
    "retrying": "yellow",
    "failed": "red",
    "damaged": "red",
    "blocked": "yellow",
    "stopped": "yellow",
    "queued": "",
    "planned": "",
    "stale": "",
}
"""The states in the order of their columns."""

TROUBLED: tuple[State, ...] = (*WITHOUT_RESULT, "blocked", "retrying")
"""The states that are told with the answer, where runs are in them."""

MOST_CLASSES = 6
FEWEST_ROWS = 3
"""So many packs, or nodes where there are several, are shown however low the terminal is."""

PACKS_OF_A_LINE = 4
WIDTH_OF_A_BAR = 16

NARROW = 72
"""A terminal of fewer columns has no room for all that is known of a pack."""

SECONDS_OF_SILENCE = 25.0
"""What is silent for more than two heartbeats is marked."""


# ---- on a terminal


def picture(snapshot: Snapshot, *, width: int, height: int, seconds: float | None = None) -> RenderableType:
    """The snapshot for a terminal of that size; on a narrow one, texts are shortened and numbers are not."""
    answer, stages, classes = headline(snapshot), stage_table(snapshot), snapshot.failure_classes
    hosts, footer = _worth_telling(snapshot.nodes), _footer(snapshot, seconds)
    used = ceil(len(answer) / width) + stages.row_count + len(footer) + 2 * bool(snapshot.unreadable) + 6
    used += 3 + min(MOST_CLASSES, len(classes)) if classes else 0
    num_nodes, num_packs = _rows(height - used, num_nodes=len(hosts), num_packs=len(snapshot.beats))
    blocks: list[RenderableType] = [stages]
    if num_packs:
        blocks.append(_packs(snapshot, width=width, most=num_packs))
    if num_nodes:
        blocks.append(_nodes(hosts, snapshot.num_unattributed, most=num_nodes))
    if classes:
        blocks.append(_failure_table(classes))
    if footer:
        blocks.append(Group(*footer))
    bar = _filled(snapshot.estimate.share_done, width=max(8, min(60, width - 6)))
    return Group(answer, bar, *(part for block in blocks for part in (Text(), block)))


def _rows(free: int, *, num_nodes: int, num_packs: int) -> tuple[int, int]:
    """How many nodes and packs are shown in so many free lines; each table takes three lines more.

    Where several nodes compute, packs are shown only if there is room for a few beside the nodes.
    """
    if not num_nodes:
        return 0, min(num_packs, max(FEWEST_ROWS, free - 3))
    if free < 2 * (FEWEST_ROWS + 3):
        return min(num_nodes, max(FEWEST_ROWS, free - 3)), 0
    nodes = min(num_nodes, (free - 6) // 2)
    return nodes, min(num_packs, free - 6 - nodes)


def headline(snapshot: Snapshot) -> Text:
    """The answer: how many runs are finished, how long the others take, and how many have failed."""
    text = Text().append(f"{snapshot.grid}: ", style="bold")
    text.append(_finished_told(snapshot), style="bold").append(f" · {snapshot.outlook}")
    for state in TROUBLED:
        if number := snapshot.num_in(state):
            text.append(" · ").append(f"{number} {state}", style=STYLES[state])
    return text


def _finished_told(snapshot: Snapshot) -> str:
    return f"{snapshot.num_in('finished')} of {snapshot.num_runs} runs finished"


def _filled(share: float, *, width: int) -> Table:
    """A bar that is filled so far, and the share in percent."""
    line = Table.grid(padding=(0, 1))
    line.add_row(
        ProgressBar(total=1.0, completed=share, width=width, complete_style="cyan", finished_style="green"),
        f"{_percent(share):>5}",
    )
    return line


def stage_table(snapshot: Snapshot) -> Table:
    """How many runs of each stage are in each state; states that no run is in are left out."""
    states = [state for state in STYLES if snapshot.num_in(state) or state == "finished"]
    table = columns("stage", numbers=("runs", *states))
    stages = {stage: counts for stage, counts in snapshot.states.items() if counts.total()}
    for stage, counts in stages.items():
        table.add_row(stage, str(counts.total()), *(_count(counts[state], STYLES[state]) for state in states))
    if len(stages) > 1:
        sums = [_count(snapshot.num_in(state), STYLES[state]) for state in states]
        table.add_row("all", str(snapshot.num_runs), *sums)
    return table


def _packs(snapshot: Snapshot, *, width: int, most: int) -> RenderableType:
    shown, rest = snapshot.beats[:most], snapshot.beats[most:]
    is_wide, has_accuracies = width >= NARROW, any(snapshot.accuracies.values())
    table = columns("pack", numbers=("runs",))
    table.add_column("progress", no_wrap=True, min_width=WIDTH_OF_A_BAR + 6)
    for name in ["epoch"] * is_wide + ["accuracy"] * (is_wide and has_accuracies):
        table.add_column(name, no_wrap=True, justify="right" if name == "epoch" else "left")
    for beat in shown:
        cells = [str(beat.epoch) if beat.step else "", _accuracy(snapshot.accuracies.get(beat.pack, ()))]
        num_cells = len(table.columns) - 3
        table.add_row(shortened(beat.pack), str(len(beat.runs)), _pack_progress(beat), *cells[:num_cells])
    more = [Text(f"and {len(rest)} more packs of {sum(len(each.runs) for each in rest)} runs", style="dim")]
    return Group(table, *(more if rest else []))


def _pack_progress(beat: Heartbeat) -> RenderableType:
    if not beat.step:
        return Text("loading" if beat.host else "starting", style="dim")
    return _filled(share_done(beat), width=WIDTH_OF_A_BAR)


def _accuracy(accuracies: Sequence[float]) -> str:
    """The mean of the replicas' accuracies, and the range if they differ."""
    if not accuracies:
        return ""
    low, high = min(accuracies), max(accuracies)
    return f"{fmean(accuracies):.3f}" + (f" [{low:.3f}–{high:.3f}]" if low < high else "")


def _worth_telling(several: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes, if there are several, or if the only one is silent."""
    return several if len(several) > 1 or any(_is_silent(node) for node in several) else ()


def _is_silent(node: Node) -> bool:
    return node.seconds_silent is not None and node.seconds_silent > SECONDS_OF_SILENCE


def _nodes(several: tuple[Node, ...], num_unattributed: int, *, most: int) -> RenderableType:
    """What each host computes and has finished."""
    shown, rest = several[:most], several[most:]
    table = columns("node", numbers=("packs", "steps/s", "finished", "heard"), last="device")
    for node, name in zip(shown, short_names([node.host for node in shown]), strict=True):
        table.add_row(
            shortened(name, "" if node.num_packs else "dim"),
            _count(node.num_packs, ""),
            "" if node.steps_per_second is None else f"{node.steps_per_second:.1f}",
            _count(node.num_finished, ""),
            _heard(node),
            shortened(", ".join(each.removeprefix("NVIDIA ") for each in node.devices)),
        )
    parts: list[RenderableType] = [table]
    if rest:
        packs, finished = sum(node.num_packs for node in rest), sum(node.num_finished for node in rest)
        parts.append(Text(f"and {len(rest)} more nodes with {packs} packs, {finished} runs finished", style="dim"))
    if num_unattributed:
        parts.append(shortened(f"{num_unattributed} finished runs are not yet told apart by node", "dim"))
    return Group(*parts)


def _heard(node: Node) -> Text:
    if node.seconds_silent is None:
        return Text()
    return Text(f"{duration(node.seconds_silent)} ago", style="yellow" if _is_silent(node) else "")


def short_names(hosts: list[str]) -> list[str]:
    """The hosts without their domains, if they are told apart without."""
    short = [host.partition(".")[0] for host in hosts]
    are_addresses = any(each.isdigit() for each in short)
    return hosts if are_addresses or len(set(short)) < len(hosts) else short


def _failure_table(classes: tuple[FailureClass, ...]) -> RenderableType:
    table = columns("failure", numbers=("runs",), last="for example")
    for each in classes[:MOST_CLASSES]:
        table.add_row(shortened(each.error, "red"), str(each.num_runs), shortened(f"{each.run_id}: {each.example}"))
    rest = len(classes) - MOST_CLASSES
    return Group(table, Text(f"and {rest} more classes of failures", style="dim")) if rest > 0 else table


def _footer(snapshot: Snapshot, seconds: float | None) -> list[RenderableType]:
    """How long it was watched and how fast it is, and lines that a person should know of."""
    known = [*([] if seconds is None else [f"{duration(seconds)} so far"]), *_rate(snapshot)]
    lines: list[RenderableType] = [shortened(" · ".join(known), "dim")] if known else []
    lines += [shortened(snapshot.note, "yellow")] if snapshot.note else []
    lines += [Text(_unreadable_told(snapshot), style="red")] if snapshot.unreadable else []
    return [*lines, shortened(snapshot.trouble, "red")] if snapshot.trouble else lines


def _rate(snapshot: Snapshot) -> list[str]:
    """Runs an hour, if that is known and there are runs left."""
    rate = snapshot.estimate.runs_per_hour
    return [] if rate is None or snapshot.is_over else [f"{rate:.0f} runs/h"]


def _unreadable_told(snapshot: Snapshot) -> str:
    """How many damaged records there are, and the first of them with its remedy."""
    first = next(iter(snapshot.unreadable.values()))
    return f"records that cannot be read: {len(snapshot.unreadable)}, such as {first}"


def _count(number: int, style: str) -> Text:
    return Text(str(number), style=style) if number else Text("·", style="dim")


def _percent(share: float) -> str:
    """The share in whole percent, 100 only for all."""
    return f"{int(100 * share)} %"


# ---- as a line


def line(snapshot: Snapshot) -> str:
    """The snapshot in one line."""
    failed = [f"{number} {state}" for state in TROUBLED if (number := snapshot.num_in(state))]
    stages = [
        f"{stage}s {counts['finished']}/{counts.total()}" for stage, counts in snapshot.states.items() if counts.total()
    ]
    parts = [f"{snapshot.grid}: {_finished_told(snapshot)}", snapshot.outlook, *failed, *stages]
    parts += [f"{each.error} {each.num_runs}" for each in snapshot.failure_classes]
    parts += _rate(snapshot)
    parts += [_pack_told(beat, snapshot.accuracies.get(beat.pack, ())) for beat in snapshot.beats[:PACKS_OF_A_LINE]]
    rest = len(snapshot.beats) - PACKS_OF_A_LINE
    parts += [f"and {rest} more packs"] if rest > 0 else []
    parts += [_unreadable_told(snapshot)] if snapshot.unreadable else []
    return " · ".join([*parts, *filter(None, (snapshot.note, snapshot.trouble))])


def _pack_told(beat: Heartbeat, accuracies: Sequence[float]) -> str:
    if not beat.step:
        return f"{beat.pack} ({len(beat.runs)} runs) {'loading' if beat.host else 'starting'}"
    accuracy = f", accuracy {_accuracy(accuracies)}" if accuracies else ""
    return f"{beat.pack} ({len(beat.runs)} runs) {_percent(share_done(beat))}, epoch {beat.epoch}{accuracy}"


# ---- as data


def status_data(plan: Plan, store: Store, snapshot: Snapshot | None = None) -> dict[str, Any]:
    """The state of a plan's runs as JSON data, with the packs under way, the nodes and why runs have failed.

    Without a snapshot, one is taken. `unattributed` are the finished runs whose nodes it does not know, and
    `unreadable` says by run why its record cannot be read.
    """
    taken = snapshot or Watch(plan, store, seconds_of_records=0).look()
    counts = taken.counts
    return {
        "grid": taken.grid,
        **{state: total(counts, state) for state in STATUSES},
        "stale": taken.num_in("stale"),
        "stages": {stage: {state: counts[stage][state] for state in STATUSES} for stage in told_stages(counts)},
        "packs": [
            {name: getattr(beat, name) for name in ("pack", "host", "process", "epoch", "step", "num_steps")}
            for beat in taken.beats
        ],
        "nodes": [node.data() for node in taken.nodes],
        "unattributed": taken.num_unattributed,
        "unreadable": dict(taken.unreadable),
        "failures": [
            {
                "run_id": failure.run_id,
                "stage": plan.runs[failure.run_id].stage,
                "error": failure.error,
                "message": failure.message,
                "traceback": store.failure_path(plan.runs[failure.run_id]) if failure.traceback else "",
            }
            for failure in taken.failures
        ],
        "failure_classes": [each.data() for each in taken.failure_classes],
    }
