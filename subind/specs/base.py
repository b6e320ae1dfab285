"""The bases of specs, and the checks of their values: each is exactly of the type that its field declares.

A spec is a frozen dataclass of str, bool, int, float, tuples, functions of a module and other specs. Tasks, networks,
starts, mask methods and measurements are open: users add classes of their own.
"""

import types
import typing
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from operator import attrgetter
from typing import Any, ClassVar

from subind.specs.quoting import quoted

NEUTRAL = "neutral"
"""Metadata key of a field added later: at this value the field is left out of an id, and old ids stay as they were."""

Test = Callable[[Any], bool]

LARGEST_INTEGER = 2**63 - 1
"""A result row holds integers of 64 bits."""

LARGEST_FLOAT = 1e30
"""float32 ends at 3.4e38, and training multiplies what is given by gradients, weights and each other."""

LARGEST_COUNT = 2**31 - 1
"""Of rows and steps: far more than any memory holds."""


class Checked:
    """A base of dataclasses whose values are checked when they are made: their types first, then what `_check` says."""

    __slots__ = ()

    def __post_init__(self) -> None:
        check_types(self)
        self._check()

    def _check(self) -> None:
        """Raise ValueError for values of the right type that cannot be."""


class Open(Checked):
    """A base of specs of which anybody may add classes: tasks, networks, starts, mask methods and measurements.

    `version` belongs to the run ids of all runs with such a spec: its author raises it when numbers move. `behaviour`
    is "module:name" of the class that computes with the spec; it is empty where the spec's own class does.
    """

    __slots__ = ()

    version: ClassVar[int] = 1
    behaviour: ClassVar[str] = ""


def behaviour(spec: Any) -> Any:
    """What computes with an open spec: an instance of the class that its class names, or the spec itself.

    The name is part of the program's code and never comes from a record.
    """
    if not spec.behaviour:
        return spec
    module, _, name = spec.behaviour.partition(":")
    return getattr(import_module(module), name)(spec)


class Identified(Checked):
    """A base of the specs of runs. A run remembers the last id that `subind.identity.run_ids` computed for it.

    That is no field: it is not compared, not written and not copied.
    """

    __slots__ = ("_run_id",)

    def remembered_id(self) -> tuple[tuple[int, ...], str] | None:
        """The versions of the stages and the run id at these; None if none was asked for yet."""
        found: tuple[tuple[int, ...], str] | None = getattr(self, "_run_id", None)
        return found

    def remember_id(self, versions: tuple[int, ...], run_id: str) -> None:
        """Keep the run id at the versions."""
        object.__setattr__(self, "_run_id", (versions, run_id))


def check_types(made: Any) -> None:
    """Raise ValueError, naming class, field and value, if one is of another type than declared, NaN or too large.

    An int is no float and a bool is no int: equal specs then have one spelling.
    """
    cls = made.__class__
    for name, holds in _tests(cls):
        value = getattr(made, name)
        if not holds(value):
            wanted = _in_words(_hints(cls)[name])
            raise ValueError(f"{cls.__name__}.{name} is {quoted(value)} of type {type(value).__name__}: give {wanted}")


def require(holds: bool, made: object, field: str, remedy: str) -> None:
    """Raise ValueError, naming class, field and value, unless the condition on the field (or field.subfield) holds."""
    if not holds:
        raise ValueError(f"{type(made).__name__}.{field} is {quoted(attrgetter(field)(made))}: {remedy}")


def positive(made: object, *names: str) -> None:
    """Raise ValueError unless each of the fields is above 0."""
    for name in names:
        if not getattr(made, name) > 0:
            require(False, made, name, "give a number above 0")


def not_negative(made: object, *names: str) -> None:
    """Raise ValueError unless each of the fields is 0 or above."""
    for name in names:
        require(getattr(made, name) >= 0, made, name, "give 0 or more")


def at_most(made: object, most: float, *names: str) -> None:
    """Raise ValueError if one of the fields is above `most`."""
    for name in names:
        require(getattr(made, name) <= most, made, name, f"give at most {most:,}")


@cache
def _hints(cls: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(cls)


@cache
def _tests(cls: Hashable) -> tuple[tuple[str, Test], ...]:
    assert is_dataclass(cls)
    return tuple((field.name, _test(_hints(cls)[field.name])) for field in fields(cls))


def _test(declared: Any) -> Test:
    arguments = typing.get_args(declared)
    match typing.get_origin(declared):
        case typing.Union | types.UnionType:
            several = tuple(map(_test, arguments))
            return lambda value: any(holds(value) for holds in several)
        case typing.Literal:
            return lambda value: type(value) is str and value in arguments
        case builtin if builtin is tuple and arguments[-1] is Ellipsis:
            item = _test(arguments[0])
            return lambda value: type(value) is tuple and all(map(item, value))
        case builtin if builtin is tuple:
            items = tuple(map(_test, arguments))
            return lambda value: (
                type(value) is tuple
                and len(value) == len(items)
                and all(holds(each) for holds, each in zip(items, value, strict=True))
            )
        case builtin if builtin is Callable:
            return _is_named_function
        case _ if isinstance(declared, type) and issubclass(declared, Open | Identified):
            return lambda value: isinstance(value, declared) and is_dataclass(value)
        case _ if declared is float:
            return lambda value: type(value) is float and abs(value) <= LARGEST_FLOAT
        case _ if declared is int:
            return lambda value: type(value) is int and abs(value) <= LARGEST_INTEGER
        case _ if declared in (str, bool) or is_dataclass(declared):
            return lambda value: type(value) is declared
        case _:
            raise TypeError(
                f"a field declares {declared}: a spec holds str, bool, int, float, tuples, functions and dataclasses"
            )


def _is_named_function(value: Any) -> bool:
    """Whether it is a function or class of a module, which a worker finds by its name."""
    return callable(value) and "<" not in getattr(value, "__qualname__", "<")


def qualified_name(value: Any) -> str:
    """The module and name of a class or function, such as `own_network:lstm`."""
    return f"{value.__module__}:{value.__qualname__}"


def _in_words(declared: Any) -> str:
    arguments = typing.get_args(declared)
    match typing.get_origin(declared):
        case typing.Union | types.UnionType:
            return "one of " + ", ".join(_in_words(each) for each in arguments)
        case typing.Literal:
            return "one of " + ", ".join(map(repr, arguments))
        case builtin if builtin is tuple:
            return f"a tuple, each item {_in_words(arguments[0])}"
        case builtin if builtin is Callable:
            return "a function or class that stands at the top of a module"
        case _ if declared is float:
            return f"a finite float, at most {LARGEST_FLOAT:g} either way"
        case _ if declared is int:
            return "an int of 64 bits"
        case _:
            return f"a {declared.__name__}"
