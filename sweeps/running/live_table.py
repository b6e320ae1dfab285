"""What a person sees of a running sweep: a live table on a terminal, one line a minute elsewhere."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.costs.work import operations
from sweeps.hosts.terminal import duration
from sweeps.planning.plan import Pack, Plan
from sweeps.planning.run_states import TO_COMPUTE, RunStates, told_stages, total

SECONDS_BETWEEN_LINES = 60.0
SECONDS_BETWEEN_PICTURES = 0.5

SHARE_OF_SHOWING = 0.02
"""The part of a driver's time that the picture may take: that of a large sweep is drawn more rarely."""

WEIGHT_OF_SCHEDULE = 0.05


@dataclass(slots=True, kw_only=True)
class PackState:
    """A pack under way: how far it is, and the last accuracy of each of its replicas."""

    pack: Pack
    epoch: int = 0
    step: int = 0
    num_steps: int = 1
    accuracies: Sequence[float] = ()

    @property
    def share(self) -> float:
        """The part of the planned steps that is done."""
        return min(1.0, self.step / max(1, self.num_steps))


@dataclass(slots=True, kw_only=True)
class Board:
    """A sweep as the driver knows it: what was planned, and the states of its runs now."""

    plan: Plan
    states: RunStates
    packs: dict[str, PackState] = field(default_factory=dict)
    note: str = ""
    started: float = field(default_factory=time.monotonic)

    def seconds_left(self) -> float | None:
        """At the speed so far, as if nothing stopped early; None before it is known.

        The plan's schedule counts as if a twentieth of the work had been done at its speed, so that the first minute,
        in which workers start, does not promise days.
        """
        elapsed = time.monotonic() - self.started
        under_way = sum(_cost(state.pack) * state.share for state in self.packs.values())
        runs, states = self.states.runs, self.states
        done = sum(operations(runs[run]) for run in states.runs_in("finished") - self.plan.finished) + under_way
        left = sum(operations(runs[run]) for run in states.runs_in(*TO_COMPUTE))
        if done == 0 or elapsed < 5:
            return None
        expected = self.plan.schedule.makespan
        foreseen = WEIGHT_OF_SCHEDULE * sum(operations(runs[run]) for run in self.plan.missing) if expected else 0.0
        return (left - under_way) * (elapsed + WEIGHT_OF_SCHEDULE * expected) / (done + foreseen)


class Display:
    """Shows a board while the block runs; `refresh` is called whenever something may have changed."""

    def __init__(self, board: Board, console: Console) -> None:
        self.board = board
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None
        self._shown = 0.0
        self._pause = SECONDS_BETWEEN_PICTURES

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown = 0.0
        self.refresh()
        if self._live is not None:
            self._live.stop()

    def tell(self, text: str) -> None:
        """Say what has befallen a pack, in a line of its own."""
        self._console.print(f"{time.strftime('%H:%M:%S')} · {text}", highlight=False, markup=False, soft_wrap=True)

    def refresh(self) -> None:
        """Show the board, if it is time to."""
        now = time.monotonic()
        if self._live is not None:
            if now - self._shown > self._pause:
                self._live.update(picture(self.board), refresh=True)
                self._shown = time.monotonic()
                self._pause = max(SECONDS_BETWEEN_PICTURES, (self._shown - now) / SHARE_OF_SHOWING)
        elif now - self._shown > SECONDS_BETWEEN_LINES:
            self._console.print(line(self.board), highlight=False, markup=False, soft_wrap=True)
            self._shown = now


def line(board: Board) -> str:
    """The board in one line."""
    counts = board.states.stage_counts()
    stages = [f"{stage}s {counts[stage]['finished']}/{sum(counts[stage].values())}" for stage in told_stages(counts)]
    packs = [_pack_line(state) for state in board.packs.values()]
    parts = [
        time.strftime("%H:%M:%S"),
        *stages,
        f"failed {total(counts, 'failed')}",
        f"blocked {total(counts, 'blocked')}",
        f"ETA {duration(board.seconds_left())}",
        *packs,
    ]
    return " · ".join([*parts, board.note] if board.note else parts)


def _pack_line(state: PackState) -> str:
    pack = state.pack
    step = f"step {state.step}/{state.num_steps}"
    return f"{pack.name} ({len(pack.specs)} runs, epoch {state.epoch}, {step}{_accuracy(state)})"


def _accuracy(state: PackState) -> str:
    if not state.accuracies:
        return ""
    low, high = min(state.accuracies), max(state.accuracies)
    return f", accuracy {fmean(state.accuracies):.3f}" + (f" [{low:.3f}–{high:.3f}]" if low < high else "")


def _cost(pack: Pack) -> float:
    return sum(operations(spec) for spec in pack.specs)


def picture(board: Board) -> RenderableType:
    """The board as a live table: stages, packs under way, and a footer."""
    times = f"elapsed {duration(time.monotonic() - board.started)} · ETA {duration(board.seconds_left())}"
    footer = " · ".join([board.plan.grid, times, *([board.note] if board.note else [])])
    return Group(_stage_table(board), Text(), _pack_table(board), Text(), Text(footer))


def _stage_table(board: Board) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "finished", "", "failed", "blocked"):
        table.add_column(name, justify="left" if name in ("stage", "") else "right")
    counts = board.states.stage_counts()
    for stage in told_stages(counts):
        done, planned = counts[stage]["finished"], sum(counts[stage].values())
        bar = ProgressBar(total=max(1, planned), completed=done, width=30)
        bad = (counts[stage][status] for status in ("failed", "blocked"))
        table.add_row(stage, f"{done}/{planned}", bar, *(Text(str(n), style="red" if n else "dim") for n in bad))
    return table


def _pack_table(board: Board) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("running pack", "runs", "epoch", "step", "", "accuracy"):
        table.add_column(name, justify="right" if name in ("runs", "epoch", "step") else "left")
    for state in board.packs.values():
        bar = ProgressBar(total=1.0, completed=state.share, width=20)
        step, accuracy = f"{state.step}/{state.num_steps}", _accuracy(state).removeprefix(", accuracy ")
        table.add_row(state.pack.name, str(len(state.pack.specs)), str(state.epoch), step, bar, Text(accuracy))
    return table
