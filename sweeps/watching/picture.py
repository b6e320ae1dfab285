"""A snapshot of a grid as tables for a terminal: stages, nodes, classes of failures, and a footer."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from subind.specs.runs import STAGES
from subind.store.results import STATUSES, Status
from sweeps.hosts.terminal import columns, duration, shortened
from sweeps.planning.damaged_runs import FailureClass
from sweeps.planning.run_states import told_stages, total
from sweeps.watching.nodes import Node
from sweeps.watching.snapshot import Snapshot, speed_told, unreadable_told

STYLES: dict[Status, str] = {
    "finished": "green",
    "running": "cyan",
    "failed": "red",
    "blocked": "yellow",
    "missing": "",
}

MOST_CLASSES = 8
FEWEST_NODES = 3

NARROW = 72
"""Fewer columns of a terminal leave no room for all that is known of a node."""

SECONDS_OF_SILENCE = 25.0
"""A node that is silent for more than two heartbeats is marked."""


def picture(snapshot: Snapshot, *, width: int, height: int, seconds_watched: float | None = None) -> RenderableType:
    """The snapshot for a terminal of that size; on a narrow one, texts are shortened and numbers are not."""
    classes = snapshot.failure_classes
    rooms = height - (len(STAGES) + 2) - (min(MOST_CLASSES, len(classes)) + 3) - 5 - 4 * bool(snapshot.unreadable)
    parts: list[RenderableType] = [stage_table(snapshot)]
    if snapshot.nodes:
        parts += [Text(), *_node_parts(snapshot, width=width, most=max(FEWEST_NODES, rooms))]
    if classes:
        parts += [Text(), *_failure_parts(classes)]
    footer = [snapshot.grid, *([] if seconds_watched is None else [f"watched {duration(seconds_watched)}"])]
    parts += [Text(), shortened(" · ".join([*footer, speed_told(snapshot)]))]
    if snapshot.unreadable:
        parts += [Text(), Text(unreadable_told(snapshot), style="red")]
    if snapshot.trouble:
        parts.append(shortened(snapshot.trouble, "red"))
    return Group(*parts)


def stage_table(snapshot: Snapshot) -> Table:
    """How many runs of each stage are in each state."""
    table = columns("stage", numbers=(*STATUSES, "done"))
    for stage in told_stages(snapshot.counts):
        counts = snapshot.counts[stage]
        cells = [_count(counts[state], STYLES[state]) for state in STATUSES]
        table.add_row(stage, *cells, _share(counts["finished"], sum(counts.values())))
    sums = {state: total(snapshot.counts, state) for state in STATUSES}
    cells = [_count(sums[state], STYLES[state]) for state in STATUSES]
    table.add_row("all", *cells, _share(sums["finished"], sum(sums.values())))
    return table


def _node_parts(snapshot: Snapshot, *, width: int, most: int) -> list[RenderableType]:
    shown, rest = snapshot.nodes[:most], snapshot.nodes[most:]
    parts: list[RenderableType] = [node_table(shown, is_narrow=width < NARROW)]
    if rest:
        packs, finished = sum(node.num_packs for node in rest), sum(node.num_finished for node in rest)
        parts.append(Text(f"and {len(rest)} more nodes with {packs} packs, {finished} runs finished", style="dim"))
    if snapshot.num_unattributed:
        told = f"{snapshot.num_unattributed} finished runs are not yet told apart by node"
        parts.append(shortened(told, "dim"))
    return parts


def node_table(several: tuple[Node, ...], *, is_narrow: bool) -> Table:
    """What each host computes and has finished; where it is narrow, in fewer columns."""
    numbers = ("packs", "steps/s", "finished") if is_narrow else NODE_COLUMNS
    table = columns("node", numbers=numbers, last="device")
    names = short_names([node.host for node in several])
    for node, name in zip(several, names, strict=True):
        cells = _node_cells(node)
        devices = ", ".join(each.removeprefix("NVIDIA ") for each in node.devices)
        style = "" if node.num_packs else "dim"
        table.add_row(shortened(name, style), *(cells[each] for each in numbers), shortened(devices))
    return table


NODE_COLUMNS = ("packs", "replicas", "steps/s", "progress", "finished", "heard")


def _node_cells(node: Node) -> dict[str, Text]:
    """The numbers of a node by their column."""
    return {
        "packs": _count(node.num_packs, ""),
        "replicas": _count(node.num_replicas, ""),
        "steps/s": Text("" if node.steps_per_second is None else f"{node.steps_per_second:.1f}"),
        "progress": Text("" if node.progress is None else f"{node.progress:.0%}"),
        "finished": _count(node.num_finished, ""),
        "heard": _heard(node),
    }


def short_names(hosts: list[str]) -> list[str]:
    """The hosts without their domains, if they are told apart without."""
    short = [host.partition(".")[0] for host in hosts]
    are_addresses = any(each.isdigit() for each in short)
    return hosts if are_addresses or len(set(short)) < len(hosts) else short


def _heard(node: Node) -> Text:
    if node.seconds_silent is None:
        return Text()
    return Text(duration(node.seconds_silent), style="yellow" if node.seconds_silent > SECONDS_OF_SILENCE else "")


def _failure_parts(classes: tuple[FailureClass, ...]) -> list[RenderableType]:
    table = columns("failure", numbers=("runs",), last="for example")
    for each in classes[:MOST_CLASSES]:
        table.add_row(shortened(each.error, "red"), str(each.num_runs), shortened(f"{each.run_id}: {each.example}"))
    rest = len(classes) - MOST_CLASSES
    return [table, Text(f"and {rest} more classes of failures", style="dim")] if rest > 0 else [table]


def _count(number: int, style: str) -> Text:
    return Text(str(number), style=style if number else "dim")


def _share(part: int, whole: int) -> str:
    """The share in whole percent, 100 only for all."""
    return f"{100 * part // whole} %" if whole else ""
