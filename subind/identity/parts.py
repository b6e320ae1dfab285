"""A user's own classes and functions in a run: which they are, and digests of their sources."""

import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from subind.specs.base import qualified_name, remember_function
from subind.specs.run import Run, lineage


def own_parts(run: Run) -> Mapping[str, Any]:
    """The classes and functions of users in the run and all that it descends from, by qualified name.

    Classes and functions of installed packages are not among them, and the bases of a class are.
    """
    parts = {qualified_name(each): each for member in lineage(run) for each in _parts(member)}
    return dict(sorted(parts.items()))


def source_digests(run: Run) -> Mapping[str, str]:
    """SHA-256 of the source of each of `own_parts`; without those whose source cannot be read."""
    digests = {name: source_digest(part) for name, part in own_parts(run).items()}
    return {name: digest for name, digest in digests.items() if digest}


@cache
def source_digest(part: Any) -> str:
    """SHA-256 of the source text of a class or function; empty where there is none."""
    try:
        return hashlib.sha256(inspect.getsource(part).encode()).hexdigest()
    except (OSError, TypeError):
        return ""


def function_names(run: Run) -> tuple[str, ...]:
    """The functions that the run and its parents have as fields, as `remember_functions` takes them."""
    found = {f"{each.__module__}:{each.__qualname__}" for member in lineage(run) for each in _functions(member)}
    return tuple(sorted(found))


def remember_functions(names: tuple[str, ...]) -> None:
    """Let `decode` find the functions of a plan. The names come from the program that planned, never from a record.

    Raises ValueError for a function that does not exist.
    """
    for name in names:
        module, _, path = name.partition(":")
        try:
            found: Any = import_module(module)
            for each in path.split("."):
                found = getattr(found, each)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"the function {name} cannot be found: {error}") from None
        remember_function(found)


def _parts(run: Run) -> Iterator[Any]:
    for value in _values(run):
        for part in value.__mro__ if isinstance(value, type) else (value,):
            if _is_own(part.__module__):
                yield part


def _functions(run: Run) -> Iterator[Any]:
    return (value for value in _values(run) if not (isinstance(value, type) and is_dataclass(value)))


def _values(value: Any) -> Iterator[Any]:
    """The classes of dataclasses, and the functions, within a value."""
    if isinstance(value, tuple):
        for each in value:
            yield from _values(each)
    elif is_dataclass(value) and not isinstance(value, type):
        yield type(value)
        for field in fields(value):
            yield from _values(getattr(value, field.name))
    elif callable(value):
        yield value


@cache
def _is_own(module: str) -> bool:
    """Whether the module is a user's: no part of this project, of Python, or of an installed package."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if module.partition(".")[0] == "subind" or (file is None and module != "__main__"):
        return False
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")}
    return file is None or not installed.intersection(Path(file).resolve().parents)
