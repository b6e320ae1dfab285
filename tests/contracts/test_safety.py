"""Nothing that a store holds is ever unpickled or executed: by what the code names, and by what an interpreter sees."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.sweeps.fabricated_grid import runs, store_with, written_grid

SOURCES = sorted(
    chain.from_iterable((REPOSITORY / package).rglob("*.py") for package in ("subind", "sweeps", "analysis"))
)
EXECUTING_MODULES = frozenset(
    {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml", "skops", "imp"}
)
EXECUTING_CALLS = frozenset(
    {"eval", "exec", "compile", "__import__", "torch.load", "torch.jit.load", "np.load", "numpy.load", "pd.read_pickle"}
)
PATHS_OF_PYTHON = frozenset({"sweeps/grids/__init__.py"})
"""A user's grid is a Python file, which the user names on the command line."""

PATHS_OF_TENSORS = frozenset({"sweeps/inputs/published_weights.py"})
"""A file that torchvision publishes is a pickle, which the user names; PyTorch reads its tensors and nothing else."""


def executing(path: Path) -> Iterator[str]:
    """What a module imports or calls that executes what it reads."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.partition(".")[0] in EXECUTING_MODULES)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in EXECUTING_MODULES:
                yield module
            case ast.Call(func=func, keywords=keywords):
                if (name := ast.unparse(func)) in EXECUTING_CALLS and not reads_tensors_alone(node, path):
                    yield name
                if any(each.arg in {"allow_pickle", "shell"} for each in keywords):
                    yield ast.unparse(node)


def reads_tensors_alone(call: ast.Call, path: Path) -> bool:
    """Whether PyTorch is told to refuse all but tensors, where such files may be read."""
    is_told = "weights_only=True" in map(ast.unparse, call.keywords)
    is_allowed = any(path == REPOSITORY / each for each in PATHS_OF_TENSORS)
    return is_told and is_allowed and ast.unparse(call.func) == "torch.load"


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(REPOSITORY)) for path in SOURCES])
def test_module_names_nothing_that_executes_what_it_reads(path: Path) -> None:
    assert list(executing(path)) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from dill import loads",
        "eval(x)",
        "torch.load(f)",
        "torch.load(f, weights_only=True)",
        "np.load(f)",
    ],
)
def test_line_that_executes_what_it_reads_is_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(line)
    assert list(executing(tmp_path / "bad.py")) != []


@pytest.mark.parametrize("line", ["torch.load(f)", "torch.load(f, weights_only=False)", "torch.load(f, **options)"])
def test_line_that_executes_what_it_reads_is_found_where_tensors_may_be_read(line: str) -> None:
    (call,) = [node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call)]
    assert not reads_tensors_alone(call, REPOSITORY / "sweeps" / "published.py")


WATCHED = """
import sys
unpickled = []

def watch(event, arguments):
    if event in {"pickle.find_class", "marshal.loads"} and started:
        unpickled.append((event, *map(str, arguments[:2])))

started = False
import sweeps.cli.__main__, sweeps.exporting.rows, analysis.report
started = True
sys.addaudithook(watch)
sys.argv = ["subind", *sys.argv[1:]]
try:
    sweeps.cli.__main__.command()
except SystemExit as ending:
    assert not ending.code, ending.code
print(*unpickled, sep="\\n", file=sys.stderr)
"""


ANSWER_OF_OWN_PROCESS = str(("pickle.find_class", "loky.process_executor", "_ResultItem"))
"""How the process that draws tells this one through their pipe that it is done."""


@pytest.mark.parametrize("command", ["plan", "status", "export", "report"])
def test_command_over_a_store_unpickles_nothing(command: str, tmp_path: Path) -> None:
    store_with(tmp_path, *runs(0))
    grid = written_grid(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    watched = subprocess.run(
        [sys.executable, "-c", WATCHED, command, grid],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {line for line in watched.stderr.splitlines() if "pickle.find_class" in line}
    assert found == ({ANSWER_OF_OWN_PROCESS} if command == "report" else set())
