"""The application `subind`: commands in groups, found by the names of their modules, imported when they are called."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sweeps.cli
from subind.identity.run_ids import run_id
from sweeps.cli.application import GROUPS, HEADINGS, WITH_COMMANDS, function_name, help_line, module_name
from tests.sweeps.conftest import Call
from tests.sweeps.fabricated_grid import runs, store_with, transfers, written_grid

HEAVY = ("torch", "ray", "mlflow", "optuna", "pandas", "pyarrow", "scipy", "numpy", "matplotlib", "fsspec", "sklearn")

LIBRARIES = frozenset({"torch", "ray", "mlflow", "optuna", "pandas", "scipy", "sklearn", "matplotlib"})

ROOT = Path(__file__).parents[3]

LACKING = next(each for each in transfers(1) if each.start.name == "random_init")
"""The run that a store lacks; it needs no files of parents."""


def test_every_command_is_in_one_group() -> None:
    assert len(HEADINGS) == sum(map(len, GROUPS.values()))


def test_every_command_is_a_function_of_the_module_of_its_name() -> None:
    folder = Path(sweeps.cli.__file__).parent
    commands = re.findall(r"^def (\w+_command)\(", "\n".join(p.read_text() for p in folder.glob("*.py")), re.MULTILINE)
    single = [name for name in HEADINGS if name not in WITH_COMMANDS]
    of_data = ["mean_pool_command", "imagenet16_command", "balanced_command"]
    assert sorted(commands) == sorted([*map(function_name, single), *of_data])
    for name in single:
        assert callable(getattr(import_module(module_name(name)), function_name(name)))


def test_help_has_the_groups_in_order_and_run_first(subind: Call) -> None:
    _, out, _ = subind("--help")
    places = [out.index(heading) for heading in GROUPS]
    assert places == sorted(places)
    commands = re.findall(r"^[│|] ([a-z][a-z-]*) ", out, re.MULTILINE)
    assert commands == list(HEADINGS)


@pytest.mark.parametrize("command", HEADINGS)
def test_help_line_of_a_command_is_the_first_sentence_of_its_docstring(command: str) -> None:
    module = import_module(module_name(command))
    documented = module if command in WITH_COMMANDS else getattr(module, function_name(command))
    line = help_line(command)
    assert line.endswith(".")
    assert " ".join((documented.__doc__ or "").split()).startswith(" ".join(line.split()))


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("run", "--help"), ("status", "--help")])
def test_help_imports_no_library_that_computes(arguments: tuple[str, ...], tmp_path: Path) -> None:
    loaded = modules_after(arguments, tmp_path)
    forbidden = HEAVY if arguments[0].startswith("--") else ("torch", "ray", "mlflow", "optuna", "pandas")
    assert not loaded & set(forbidden)
    if arguments[0].startswith("--"):
        assert not loaded & {module_name(name) for name in HEADINGS}


OF_A_REPORT = frozenset({"pandas", "scipy", "matplotlib"})

NEEDED: dict[tuple[str, ...], frozenset[str]] = {
    ("plan", "tiny.py", "--device", "cpu"): frozenset(),
    ("status", "tiny.py"): frozenset(),
    ("export", "tiny.py"): frozenset({"pandas"}),  # pyarrow imports it, where it makes an array of Python values
    ("report", "tiny.py"): OF_A_REPORT,
    ("why", run_id(transfers(0)[0]), "tiny.py"): frozenset(),
    ("why", run_id(LACKING), "tiny.py", "--device", "cpu"): frozenset(),
    ("retry", "tiny.py", "--failed"): frozenset(),
    ("gc", "--delete"): frozenset(),
    ("verify", "tiny.py"): frozenset(),
    ("run", "tiny.py", "--device", "cpu", "--in-process"): OF_A_REPORT | {"torch", "mlflow"},
}
"""Which of LIBRARIES a command needs, on a store that lacks one run, whose masks have no bits to count."""


@pytest.mark.parametrize("arguments", NEEDED, ids=lambda each: "-".join(each[:1] + each[3:]))
def test_command_imports_the_libraries_that_it_needs_and_no_other(arguments: tuple[str, ...], tmp_path: Path) -> None:
    written_grid(tmp_path)
    store_with(tmp_path, *(each for each in (*runs(0), *runs(1)) if each != LACKING))
    assert modules_after(arguments, tmp_path) & LIBRARIES == NEEDED[arguments]


def modules_after(arguments: tuple[str, ...], folder: Path) -> set[str]:
    """The modules that a process has imported when the command has ended, with status zero, in the folder."""
    script = (
        "import sys, atexit, pathlib\n"
        f"sys.argv = ['subind', *{arguments!r}]\n"
        "atexit.register(lambda: pathlib.Path('modules.txt').write_text(' '.join(sys.modules)))\n"
        "from sweeps.cli.__main__ import main\nmain()\n"
    )
    command, environment = [sys.executable, "-c", script], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return set((folder / "modules.txt").read_text().split())


def test_version_names_the_package(subind: Call) -> None:
    status, out, _ = subind("--version")
    assert status == 0
    assert re.fullmatch(r"subind \d+\.\d+\.\d+, Python 3\.\d+\.\d+\n", out)


@pytest.mark.parametrize(
    ("words", "expected"), [("subind st", {"status", "stop"}), ("subind status qui", {"quickstart"})]
)
def test_shell_completes_commands_and_grids(words: str, expected: set[str], tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_SUBIND_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.cli"], env=environment, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert set(done.stdout.split()) == expected
