"""What a person sees of a running sweep."""

import io
import re
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from sweeps.costs.work import operations
from sweeps.hosts.terminal import duration
from sweeps.planning.plan import Crew, accounts, packed
from sweeps.running.live_table import Board, Display, PackState, line, picture
from tests.specs import tiny_donor, tiny_mask, tiny_transfer


def _board(*, finished: Sequence[Run] = (), failed: Sequence[Run] = (), seconds: float = 0.0) -> Board:
    """Two seeds of a donor, a mask and two transfers, the donors under way."""
    masks = [tiny_mask(donor=tiny_donor(seed=seed), seed=seed) for seed in (0, 1)]
    cells = [tiny_transfer(name, mask=mask) for mask in masks for name in ("subnetwork", "full_transfer")]
    made = packed(accounts("my-grid", cells, finished=(), failed=()), checkpoints=(), crew=Crew(num_workers=1))
    board = Board(plan=made, states=made.states.copy(), started=time.monotonic() - seconds)
    board.states.move(set(map(run_id, finished)), "finished")
    board.states.move(set(map(run_id, failed)), "failed")
    board.packs["trial"] = PackState(pack=made.packs[0], epoch=3, step=30, num_steps=120, accuracies=(0.25, 0.75))
    return board


def _shown(board: Board, *, width: int = 100) -> str:
    """The picture of the board on a terminal."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, record=True, color_system=None)
    console.print(picture(board))
    return console.export_text()


def test_line_tells_stages_failures_and_packs_with_step_and_accuracy() -> None:
    board = _board(finished=[tiny_donor(seed=0)], failed=[tiny_donor(seed=1)])
    text = line(board)
    assert "donors 1/2 · masks 0/2 · transfers 0/4 · failed 1 · blocked 3" in text
    name = board.packs["trial"].pack.name
    assert f"{name} (2 runs, epoch 3, step 30/120, accuracy 0.500 [0.250–0.750])" in text


def test_line_is_one_line_and_begins_with_the_time() -> None:
    text = line(_board())
    assert "\n" not in text
    assert re.match(r"\d\d:\d\d:\d\d · ", text)


def test_line_of_a_pack_before_its_first_evaluation_tells_no_accuracy() -> None:
    board = _board()
    board.packs["trial"] = PackState(pack=board.packs["trial"].pack)
    assert "accuracy" not in line(board)


def test_line_of_equal_accuracies_tells_no_range() -> None:
    board = _board()
    board.packs["trial"].accuracies = (0.5, 0.5)
    assert "accuracy 0.500)" in line(board)


def test_line_ends_with_what_the_mirror_is_behind() -> None:
    board = _board()
    board.note = "MLflow is 3 runs behind (refused)"
    assert line(board).endswith(" · MLflow is 3 runs behind (refused)")


def test_picture_on_a_terminal_tells_stages_packs_and_the_mirror() -> None:
    board = _board(finished=[tiny_donor(seed=0)], failed=[tiny_donor(seed=1)])
    board.note = "MLflow is 3 runs behind ([refused])"
    text = _shown(board)
    assert re.search(r"donor +1/2 .* 1 +0", text)
    assert re.search(r"transfer +0/4 .* 0 +2", text)
    assert re.search(rf"{board.packs['trial'].pack.name} +2 +3 +30/120 .* 0.500 \[0.250–0.750\]", text)
    assert "my-grid · elapsed 0 s · ETA unknown yet · MLflow is 3 runs behind ([refused])" in text


@pytest.mark.parametrize("width", [20, 60, 200])
def test_picture_fits_the_width_of_the_terminal(width: int) -> None:
    assert all(len(each) <= width for each in _shown(_board(), width=width).splitlines())


def test_display_on_a_terminal_leaves_the_last_picture() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, record=True, color_system=None)
    with Display(_board(), console) as display:
        display.board.states.move({run_id(tiny_donor(seed=1))}, "finished")
    assert re.search(r"donor +1/2", console.export_text().rpartition("stage")[2])


def test_display_without_a_terminal_prints_a_line_at_the_start_and_the_end() -> None:
    console = Console(file=io.StringIO(), width=40, record=True)
    with Display(_board(), console) as display:
        display.refresh()
        display.refresh()
    lines = console.export_text().splitlines()
    assert len(lines) == 2
    assert all("donors 0/2" in each and "[0.250–0.750]" in each for each in lines)


def test_display_without_a_terminal_prints_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), record=True)
    start = time.monotonic()
    display = Display(_board(), console)
    for second in range(0, 601, 10):
        monkeypatch.setattr(time, "monotonic", lambda now=start + second: now)
        display.refresh()
    assert 9 <= len(console.export_text().splitlines()) <= 11


def test_forecast_is_unknown_before_anything_is_done() -> None:
    board = _board(seconds=100)
    board.packs.clear()
    assert board.seconds_left() is None


def _scheduled(board: Board, seconds: float) -> None:
    board.plan = replace(board.plan, schedule=replace(board.plan.schedule, ends=(seconds,)))


def _total(board: Board) -> float:
    return sum(map(operations, board.plan.runs.values()))


def test_forecast_of_a_sweep_on_schedule_goes_on_at_the_speed_so_far() -> None:
    board = _board(finished=[tiny_donor(seed=0)], seconds=100)
    board.packs.clear()
    done = operations(tiny_donor())
    _scheduled(board, 100 * _total(board) / done)
    assert board.seconds_left() == pytest.approx(100 * (_total(board) - done) / done, rel=0.01)


def test_forecast_counts_the_part_of_a_pack_that_is_done() -> None:
    board = _board(seconds=100)
    done = 2 * operations(tiny_donor()) * 30 / 120
    _scheduled(board, 100 * _total(board) / done)
    assert board.seconds_left() == pytest.approx(100 * (_total(board) - done) / done, rel=0.01)


def test_forecast_of_the_first_seconds_is_near_the_schedule() -> None:
    board = _board(seconds=30)
    board.packs["trial"].step, board.packs["trial"].num_steps = 1, 1_000_000
    _scheduled(board, 1800)
    left = board.seconds_left()
    assert left is not None
    assert 1800 < left < 2 * 1800


def test_forecast_of_a_late_sweep_follows_its_own_speed() -> None:
    board = _board(finished=[tiny_donor(seed=0), tiny_donor(seed=1)], seconds=1000)
    board.packs.clear()
    _scheduled(board, 1)
    done = 2 * operations(tiny_donor())
    at_own_speed = 1000 * (_total(board) - done) / done
    left = board.seconds_left()
    assert left is not None
    assert done / (done + 0.05 * _total(board)) * at_own_speed <= left <= at_own_speed


def test_forecast_leaves_out_what_has_failed_and_what_is_blocked() -> None:
    mask = tiny_mask(donor=tiny_donor(seed=0), seed=0)
    alone = tiny_transfer("full_transfer", mask=mask)
    board = _board(finished=[tiny_donor(seed=0)], failed=[tiny_donor(seed=1), mask, alone], seconds=100)
    board.packs.clear()
    assert len(board.states.runs_in("blocked")) == 4
    assert board.seconds_left() == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "unknown yet"), (0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (3600, "60 min"), (5400, "1.5 h")],
)
def test_duration_is_said_as_a_person_would(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
