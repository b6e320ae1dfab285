"""The measures of the code that no linter takes: lengths of files and functions, and names that say nothing."""

import ast
import re
import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

LONGEST_FILE = 400
LONGEST_FUNCTION = 50
EMPTY_PREFIXES = ("get_", "compute_", "process_", "do_", "handle_")
EMPTY_MODULES = frozenset({"utils", "util", "common", "helpers", "helper", "misc"})

SOURCES = sorted(
    chain.from_iterable((REPOSITORY / package).rglob("*.py") for package in ("subind", "sweeps", "analysis"))
)
NAMES = [str(path.relative_to(REPOSITORY)) for path in SOURCES]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, Function))


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_file_has_at_most_four_hundred_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_function_has_at_most_fifty_lines(path: Path) -> None:
    lengths = {each.name: (each.end_lineno or each.lineno) - each.lineno + 1 for each in functions(path)}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_function_is_named_for_what_it_returns_or_does(path: Path) -> None:
    assert [each.name for each in functions(path) if each.name.startswith(EMPTY_PREFIXES)] == []


def test_module_is_named_for_what_lives_there() -> None:
    assert [name for path, name in zip(SOURCES, NAMES, strict=True) if path.stem in EMPTY_MODULES] == []


def test_package_file_holds_a_docstring_and_imports_only() -> None:
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr)
    packages = [path for path in SOURCES if path.name == "__init__.py" and path.parent.name != "grids"]
    other = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno}"
        for path in packages
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if not isinstance(node, allowed)
    ]
    assert other == []


HOSTS_AND_MACHINES = re.compile(
    r"pypi\.org|pythonhosted\.org|download\.pytorch\.org|anaconda\.org|(?<![\w.~$}/])/(?:work|root)/[\w.]"
)
"""Hosts of package registries, and folders of the machine that somebody worked on."""


def test_tracked_files_name_no_registry_host_and_no_folder_of_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("the files are no git checkout, so none are tracked")
    own = Path(__file__).relative_to(REPOSITORY)
    found = []
    for name in map(Path, filter(None, listed.stdout.split("\0"))):
        path = REPOSITORY / name
        if name == own or not path.is_file() or b"\0" in (content := path.read_bytes()):
            continue
        text = content.decode(errors="replace")
        found += [f"{name}: {match[0]}" for match in HOSTS_AND_MACHINES.finditer(text)]
    assert found == []
