"""A grid is executed once a command, whatever the command reads of it."""

from pathlib import Path

import pytest

from tests.sweeps.conftest import Call
from tests.sweeps.fabricated_grid import GRID, runs, store_with, transfers

COUNTING = (
    GRID.replace("def grid()", "def counted()")
    + """

def note(what: str) -> None:
    with open("executions.txt", "a") as file:
        file.write(f"{what}\\n")


note("file")
CLAIMS = ("subnetwork reaches 0.1 in most seeds at n = 4",)


def grid():
    note("grid")
    return counted()
"""
)

COMMANDS = {
    "plan": ("plan", "counting.py", "--cost"),
    "status": ("status", "counting.py"),
    "export": ("export", "counting.py"),
    "report": ("report", "counting.py"),
    "why of a finished run": ("why", "transfer/", "counting.py"),
    "why of a missing run": ("why", "transfer/", "counting.py"),
    "retry": ("retry", "counting.py", "--failed"),
    "verify": ("verify", "counting.py"),
    "run": ("run", "counting.py", "--device", "cpu"),
    "run in this process, of a missing run": ("run", "counting.py", "--device", "cpu", "--in-process"),
    "run until decided": ("run", "counting.py", "--device", "cpu", "--until-decided", "--max-seeds", "2"),
}


MISSING = next(each for each in transfers(1) if each.start.name == "random_init")
"""A run that needs no files of parents."""


@pytest.mark.parametrize("command", COMMANDS)
def test_grid_is_executed_once_a_command(subind: Call, tmp_path: Path, command: str) -> None:
    (tmp_path / "counting.py").write_text(COUNTING)
    lacking = {MISSING} if "missing" in command else set()
    store = store_with(tmp_path, *(each for each in (*runs(0), *runs(1)) if each not in lacking))
    name, *arguments = COMMANDS[command]
    wanted = MISSING if "missing" in command else runs(0)[-1]
    arguments = [store.folder(wanted) if each == "transfer/" else each for each in arguments]
    status, _, err = subind(name, *arguments)
    assert (status, err) == (0, "")
    assert (tmp_path / "executions.txt").read_text().split() == ["file", "grid"]
