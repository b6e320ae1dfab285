"""A user's own grid file: whatever it does is a plan or one line with its place."""

import json
import re
import sys
from pathlib import Path

import pytest

from sweeps import grids
from sweeps.grids.user_files import MOST_CELLS
from tests.specs import tiny_mask, tiny_transfer
from tests.sweeps.conftest import Call

CELL = "from tests.specs import tiny_transfer\n"

ACCEPTED = {
    "postponed annotations with a dataclass": (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n"
        f"{CELL}@dataclass\nclass Mine:\n    most: ClassVar[int] = 2\n    seed: int = 0\n"
        "def grid():\n    return [tiny_transfer(seed=Mine().seed)]\n"
    ),
    "one cell": f"{CELL}def grid():\n    return tiny_transfer()\n",
    "a mask": "from tests.specs import tiny_mask\ndef grid():\n    return tiny_mask()\n",
    "a generator": f"{CELL}def grid():\n    yield tiny_transfer()\n",
    "a set": f"{CELL}def grid():\n    return {{tiny_transfer()}}\n",
    "the same cell twice": f"{CELL}def grid():\n    return tiny_transfer(), tiny_transfer()\n",
    "a lambda": f"{CELL}grid = lambda: (tiny_transfer(),)\n",
    "what pickles its own class": (
        f"import pickle\n{CELL}class Mine: pass\n"
        "def grid():\n    pickle.loads(pickle.dumps(Mine()))\n    return tiny_transfer()\n"
    ),
    "latin-1 that says so": f"# -*- coding: latin-1 -*-\n# \xe9\n{CELL}def grid():\n    return tiny_transfer()\n",
    "what prints": f"{CELL}print('hello')\ndef grid():\n    print('there')\n    return tiny_transfer()\n",
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_grid_file_of_any_form_gives_its_cells(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(ACCEPTED[kind], encoding="latin-1")
    assert set(grids.read_grid(str(path)).cells) == {tiny_mask() if kind == "a mask" else tiny_transfer()}


@pytest.mark.parametrize("stem", ["json", "dataclasses", "torch", "my.grid", "über", "class", "__init__"])
def test_grid_file_of_any_name_shadows_no_module(tmp_path: Path, stem: str) -> None:
    before = sys.modules.get(stem)
    (tmp_path / f"{stem}.py").write_text(ACCEPTED["postponed annotations with a dataclass"])
    assert grids.read_grid(str(tmp_path / f"{stem}.py")).cells == (tiny_transfer(),)
    assert sys.modules.get(stem) is before


def test_grid_that_prints_leaves_standard_output_to_the_command(subind: Call, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(ACCEPTED["what prints"])
    status, out, err = subind("plan", "own.py", "--json", "--device", "cpu")
    assert (status, json.loads(out)["cells"]) == (0, 3)
    assert err.splitlines()[:2] == ["hello", "there"]


BROKEN = "class Mine({base}):\n    def __str__(self): raise RuntimeError('no')\n    __repr__ = __str__\n"

REFUSED = {
    "sys.exit": ("import sys\ndef grid():\n    sys.exit(0)\n", r"SystemExit: it ends the program.* \(line 3\)"),
    "exit while it is read": ("raise SystemExit(3)\n", r"SystemExit: it ends the program.* \(line 1\)"),
    "an exception that is no Exception": (
        "class Mine(BaseException): pass\ndef grid():\n    raise Mine('why')\n",
        r"Mine: why \(line 3\)",
    ),
    "an exception that cannot be spelled": (
        f"{BROKEN.format(base='Exception')}def grid():\n    raise Mine\n",
        r"Mine: its message cannot be spelled \(line 5\)",
    ),
    "an end that cannot be spelled": (
        f"{BROKEN.format(base='BaseException')}def grid():\n    raise Mine\n",
        r"Mine: its message cannot be spelled",
    ),
    "a value that cannot be spelled": (
        f"{BROKEN.format(base='object')}def grid():\n    return Mine()\n",
        r"gives a Mine",
    ),
    "a message of a megabyte": ("def grid():\n    raise ValueError('x' * 10**6)\n", r"ValueError: x+…x+ \(line 2\)"),
    "a generator that fails half way": (
        f"{CELL}def grid():\n    yield tiny_transfer()\n    1 / 0\n",
        r"ZeroDivisionError: .* \(line 4\)",
    ),
    "a generator that exits half way": (
        f"{CELL}import sys\ndef grid():\n    yield tiny_transfer()\n    sys.exit()\n",
        r"SystemExit: it ends the program",
    ),
    "endless cells": (
        f"{CELL}def grid():\n    cell = tiny_transfer()\n    while True:\n        yield cell\n",
        r"gives more than 200,000 items, .* end its generator",
    ),
    "an endless iterator": (
        f"{CELL}import itertools\ndef grid():\n    return itertools.repeat(tiny_transfer())\n",
        r"200,000",
    ),
    "endless numbers": (
        "import itertools\ndef grid():\n    return itertools.count()\n",
        r"gives 0, item 0: let it give",
    ),
    "nothing": ("def grid():\n    return ()\n", r"gives nothing: let it give runs"),
    "None": ("def grid():\n    pass\n", r"gives None, item 0"),
    "a text": ("def grid():\n    return 'x' * 10**6\n", r"gives 'x+…' of 1,000,000 characters, item 0"),
    "a mapping": ("def grid():\n    return {'seed': 1}\n", r"gives 'seed', item 0"),
    "a class": (f"{CELL}class grid: pass\n", r"gives <.*, item 0"),
    "a type": (
        "from subind.specs.runs import Transfer\ndef grid():\n    return Transfer\n",
        r"gives <class .*Transfer'>",
    ),
    "a coroutine": (f"{CELL}async def grid():\n    return tiny_transfer()\n", r"gives <coroutine .*, item 0"),
    "an asynchronous generator": (f"{CELL}async def grid():\n    yield tiny_transfer()\n", r"gives <async_generator"),
    "an argument too many": (
        "def grid(depth):\n    return ()\n",
        r"TypeError: .* missing 1 required positional argument",
    ),
    "no function": ("cells = 1\n", r"has no function grid\(\): define one"),
    "a number for a function": ("grid = 3\n", r"has no function grid\(\): define one"),
    "a syntax error": ("def grid(:\n", r"SyntaxError: .*"),
    "an indentation error": ("def grid():\nreturn 1\n", r"IndentationError: .*"),
    "nested too deep": ("grid = " + "(" * 5000 + ")" * 5000, r"(SyntaxError|MemoryError|RecursionError): .*"),
    "endless recursion": ("def grid():\n    return grid()\n", r"RecursionError: .* \(line 2\)"),
    "a null byte": ("def grid():\n    return '\0'\n", r"(SyntaxError|ValueError): .*null bytes"),
    "bytes that are no UTF-8": ("def grid():\n    return '\xff\xfe'\n", r"SyntaxError: .*(utf-8|UTF-8)"),
    "an encoding that is none": ("# -*- coding: klingon -*-\n", r"SyntaxError: .*klingon"),
    "a module that is absent": ("import nowhere_at_all\n", r"ModuleNotFoundError: .*nowhere_at_all.* \(line 1\)"),
    "a bad value": (
        f"{CELL}def grid():\n    return tiny_transfer(seed=-1)\n",
        r"ValueError: Transfer\.seed is -1.* \(line 3\)",
    ),
    "no memory": ("def grid():\n    return bytearray(2**62)\n", r"(MemoryError|OverflowError).* \(line 2\)"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.timeout(10)
def test_plan_of_a_grid_file_that_is_no_grid_is_one_line_with_its_place(
    subind: Call, tmp_path: Path, kind: str
) -> None:
    source, told = REFUSED[kind]
    (tmp_path / "own.py").write_bytes(source.encode("latin-1"))
    status, out, err = subind("plan", "own.py", "--device", "cpu")
    assert (status, out) == (2, "")
    assert re.fullmatch(rf"subind: .*own\.py'.*{told}.*\n", err)
    assert len(err) < 1200


@pytest.mark.parametrize("kind", ["sys.exit", "an end that cannot be spelled", "endless recursion"])
def test_studies_of_a_file_that_fail_are_one_line(tmp_path: Path, kind: str) -> None:
    failing = REFUSED[kind][0].replace("def grid():", "def studies():\n    return fail()\ndef fail():")
    cells = f"{CELL}def grid():\n    return tiny_transfer()\n"
    (tmp_path / "own.py").write_text(cells + failing.replace("return grid()", "return fail()"))
    grid = grids.read_grid(str(tmp_path / "own.py"))
    with pytest.raises(ValueError, match=r"grid '.*own\.py' cannot be made: "):
        grid.studies()


@pytest.mark.parametrize("kind", ["folder", "pipe", "absent", "no permission"])
@pytest.mark.timeout(10)
def test_grid_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    import os

    path = tmp_path / "own.py"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "no permission":
            path.symlink_to(path)
        case _:
            pass
    with pytest.raises((ValueError, OSError), match=r"own\.py"):
        grids.read_grid(str(path))


def test_interrupt_of_a_grid_is_an_interrupt(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def grid():\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        grids.read_grid(str(tmp_path / "own.py"))


def test_bound_of_a_grid_is_far_above_the_paper() -> None:
    assert len(grids.read_grid("paper-arithmetic").cells) * 20 < MOST_CELLS
