"""A snapshot of a grid as tables for a terminal: stages, nodes, classes of failures, and a footer."""

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from subind.results import STATUSES, Status
from subind.spec import STAGES
from sweeps.display import duration
from sweeps.nodes import Node
from sweeps.status import FailureClass, total
from sweeps.watch import Snapshot, speed_told

STYLES: dict[Status, str] = {
    "finished": "green",
    "running": "cyan",
    "failed": "red",
    "blocked": "yellow",
    "missing": "",
}

MOST_CLASSES = 8
FEWEST_NODES = 3

SECONDS_OF_SILENCE = 25.0
"""A node that is silent for more than two heartbeats is marked."""


def picture(snapshot: Snapshot, *, height: int, seconds_watched: float | None = None) -> RenderableType:
    """The snapshot for a terminal of so many lines; on a narrow one, texts are shortened and numbers are not."""
    classes = snapshot.failure_classes
    rooms = height - (len(STAGES) + 2) - (min(MOST_CLASSES, len(classes)) + 3) - 5
    parts: list[RenderableType] = [stage_table(snapshot)]
    if snapshot.nodes:
        parts += [Text(), *_node_parts(snapshot, most=max(FEWEST_NODES, rooms))]
    if classes:
        parts += [Text(), *_failure_parts(classes)]
    footer = [snapshot.grid, *([] if seconds_watched is None else [f"watched {duration(seconds_watched)}"])]
    parts += [Text(), Text(" · ".join([*footer, speed_told(snapshot)]), overflow="ellipsis", no_wrap=True)]
    if snapshot.trouble:
        parts.append(Text(snapshot.trouble, style="red"))
    return Group(*parts)


def stage_table(snapshot: Snapshot) -> Table:
    """How many runs of each stage are in each state."""
    table = _table("stage", *STATUSES, "done")
    for stage in STAGES:
        counts = snapshot.counts[stage]
        cells = [_count(counts[state], STYLES[state]) for state in STATUSES]
        table.add_row(stage, *cells, _share(counts["finished"], sum(counts.values())))
    sums = {state: total(snapshot.counts, state) for state in STATUSES}
    cells = [_count(sums[state], STYLES[state]) for state in STATUSES]
    table.add_row("all", *cells, _share(sums["finished"], sum(sums.values())))
    return table


def _node_parts(snapshot: Snapshot, *, most: int) -> list[RenderableType]:
    shown, rest = snapshot.nodes[:most], snapshot.nodes[most:]
    parts: list[RenderableType] = [node_table(shown)]
    if rest:
        packs, finished = sum(node.num_packs for node in rest), sum(node.num_finished for node in rest)
        parts.append(Text(f"and {len(rest)} more nodes with {packs} packs, {finished} runs finished", style="dim"))
    if snapshot.num_unattributed:
        told = f"{snapshot.num_unattributed} finished runs are not yet told apart by node"
        parts.append(Text(told, style="dim", overflow="ellipsis", no_wrap=True))
    return parts


def node_table(several: tuple[Node, ...]) -> Table:
    """What each host computes and has finished."""
    table = _table("node", "packs", "replicas", "steps/s", "progress", "finished", "heard", last="device")
    for node in several:
        busy = node.num_packs > 0
        table.add_row(
            Text(node.host, style="" if busy else "dim"),
            _count(node.num_packs, ""),
            _count(node.num_replicas, ""),
            "" if node.steps_per_second is None else f"{node.steps_per_second:.1f}",
            "" if node.progress is None else f"{node.progress:.0%}",
            _count(node.num_finished, ""),
            _heard(node),
            ", ".join(node.devices),
        )
    return table


def _heard(node: Node) -> Text:
    if node.seconds_silent is None:
        return Text()
    return Text(duration(node.seconds_silent), style="yellow" if node.seconds_silent > SECONDS_OF_SILENCE else "")


def _failure_parts(classes: tuple[FailureClass, ...]) -> list[RenderableType]:
    table = _table("failure", "runs", last="for example")
    for each in classes[:MOST_CLASSES]:
        table.add_row(Text(each.error, style="red"), str(each.num_runs), f"{each.run_id}: {each.example}")
    rest = len(classes) - MOST_CLASSES
    return [table, Text(f"and {rest} more classes of failures", style="dim")] if rest > 0 else [table]


def _table(first: str, *numbers: str, last: str = "") -> Table:
    """A table of a name, numbers that are never shortened, and a text that takes what is left."""
    name = Column(first, no_wrap=True, overflow="ellipsis", min_width=8, max_width=32)
    columns = [name, *(Column(each, justify="right", no_wrap=True, min_width=len(each)) for each in numbers)]
    if last:
        columns.append(Column(last, no_wrap=True, overflow="ellipsis", ratio=1, min_width=6))
    return Table(*columns, box=None, pad_edge=False, expand=bool(last))


def _count(number: int, style: str) -> Text:
    return Text(str(number), style=style if number else "dim")


def _share(part: int, whole: int) -> str:
    """The share in whole percent, 100 only for all."""
    return f"{100 * part // whole} %" if whole else ""
