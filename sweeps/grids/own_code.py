"""Send a user's own code to the workers: the grid file, and the modules that it imports from its folder.

The driver gathers the files' contents and sends them with the packs. A worker writes them to a temporary folder and
imports them there under the same names, before it reads a run. Nothing that a store holds is ever imported.
"""

import atexit
import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from subind.identity.parts import remember_functions
from subind.specs.base import GRID_MODULE
from subind.specs.quoting import quoted_path
from subind.specs.run import Run
from sweeps.hosts.scratch import scratch_folder

OURS = frozenset({"subind", "sweeps", "analysis"})
"""Packages that every node has, in the driver's version."""

MOST_BYTES = 10_000_000
"""The largest total size of the files; a grid's files have a few kilobytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCode:
    """The code of a user that workers need.

    `files` are by path relative to the folder of the grid file `grid`, which is empty for one of ours. `modules` define
    the classes of the runs, and `functions` are those that runs hold, as `module:name`.
    """

    grid: str
    files: Mapping[str, bytes]
    modules: tuple[str, ...]
    functions: tuple[str, ...]


NO_OWN_CODE = OwnCode(grid="", files={}, modules=(), functions=())


def own_code(grid: str, runs: Iterable[Run]) -> OwnCode:
    """The code that workers need to read the runs of a grid. Raises ValueError if the files are too large to send."""
    path = Path(grid) if grid.endswith(".py") else None
    seen: dict[int, Any] = {}
    parts = {part: None for run in runs for part in _parts(run, seen)}
    theirs = [part for part in parts if part.__module__.partition(".")[0] not in OURS | {"builtins"}]
    functions = (f"{each.__module__}:{each.__qualname__}" for each in theirs if not _is_spec(each))
    return OwnCode(
        grid="" if path is None else path.name,
        files={} if path is None else own_files(path),
        modules=tuple(sorted({each.__module__ for each in theirs})),
        functions=tuple(sorted(functions)),
    )


def own_files(grid: Path) -> dict[str, bytes]:
    """The grid file, and the modules and packages of its folder that are imported, by path relative to the folder.

    Of a package all Python files. Raises ValueError if they are too large.
    """
    folder = grid.resolve().parent
    paths = {grid.resolve(): None}
    for name, module in list(sys.modules.items()):
        paths |= dict.fromkeys(_beside(name, module, folder))
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    total = sum(map(len, files.values()))
    if total > MOST_BYTES:
        raise ValueError(
            f"grid {quoted_path(grid)} imports {total / 1e6:.0f} MB of Python files from its folder, and "
            f"{MOST_BYTES / 1e6:.0f} MB can be sent to workers: move it to a folder of its own"
        )
    return files


def _beside(name: str, module: ModuleType, folder: Path) -> Iterator[Path]:
    """The files of a module that was imported from the folder, of a package's all; none of any other module."""
    top = name.partition(".")[0]
    file = getattr(module, "__file__", None)
    if top in OURS or name != top or not isinstance(file, str):
        return
    if Path(file) == folder / f"{top}.py":
        yield Path(file)
    elif Path(file) == folder / top / "__init__.py":
        yield from sorted((folder / top).rglob("*.py"))


def _parts(value: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """The classes of dataclasses and the functions within a value, what several runs share once."""
    if isinstance(value, tuple):
        for each in value:
            yield from _parts(each, seen)
    elif is_dataclass(value) and not isinstance(value, type):
        if id(value) in seen:
            return
        seen[id(value)] = value
        yield type(value)
        for field in fields(value):
            yield from _parts(getattr(value, field.name), seen)
    elif callable(value):
        yield value


def _is_spec(part: Any) -> bool:
    return isinstance(part, type) and is_dataclass(part)


# ---- in a grid's process, and in a worker's


def load_grid(path: Path) -> ModuleType:
    """Execute a grid file as a module of its own name, with its folder behind all others on the path of imports.

    Modules of other folders that were imported for an earlier grid are imported again where this one needs them. Raises
    whatever the file raises.
    """
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    name = module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _no_bytecode():
            spec.loader.exec_module(module)
    except BaseException:
        forget_grid(path)
        raise
    return module


def forget_grid(path: Path) -> None:
    """Have what was imported from the grid's folder be imported again by the next grid, which may be another one."""
    folder = path.resolve().parent
    beside = [name for name, module in list(sys.modules.items()) if any(_beside(name, module, folder))]
    for name in [each for each in sys.modules if each.partition(".")[0] in beside]:
        del sys.modules[name]
    sys.modules.pop(module_name(path), None)
    with contextlib.suppress(ValueError):
        sys.path.remove(str(folder))
    importlib.invalidate_caches()


def module_name(grid: Path) -> str:
    """The name of a grid file's module."""
    return f"{GRID_MODULE}{grid.stem}"


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    """Python dates bytecode by whole seconds: a file that is written twice in one would be executed as it was."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def install(code: OwnCode, *, scratch: str = "") -> None:
    """Import a driver's code in a worker, so that runs can be read. Nothing happens if it has been.

    The files are in the driver's scratch folder if that is on this machine, and vanish with it.

    Raises ValueError if a module or function is absent here.
    """
    if code != NO_OWN_CODE:
        _installed(code, scratch)


@cache
def _installed_once(key: tuple[object, ...]) -> list[bool]:
    """Whether what the key names has been imported in this process."""
    return [False]


def _installed(code: OwnCode, scratch: str) -> None:
    state = _installed_once((code.grid, tuple(sorted(code.files.items())), code.modules, code.functions))
    if state[0]:
        return
    if code.grid:
        stack = ExitStack()
        folder = stack.enter_context(scratch_folder(scratch))
        atexit.register(stack.close)
        for name, content in code.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        load_grid(folder / code.grid)
    for name in code.modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ValueError(
                f"the module {name} of the grid cannot be imported here ({error}): put it next to the grid file, or "
                "install it on this node"
            ) from None
    remember_functions(code.functions)
    state[0] = True
