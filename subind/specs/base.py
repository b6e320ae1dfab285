"""The bases of specs, and the checks of their values: each is exactly of the type that its field declares.

A spec is a frozen dataclass of str, bool, int, float, tuples, functions of a module and other specs. Tasks, networks,
starts, mask methods and measurements are open: users add classes of their own.
"""

import sys
import types
import typing
import weakref
from collections.abc import Callable, Hashable, Iterator
from dataclasses import fields
from functools import cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

from subind.specs.quoting import quoted

NEUTRAL = "neutral"
"""Metadata key of a field added later: at this value the field is left out of an id, and old ids stay as they were."""

Test = Callable[[Any], bool]

_FIELDS = "__dataclass_fields__"

LARGEST_INTEGER = 2**63 - 1
"""A result row holds integers of 64 bits."""

LARGEST_FLOAT = 1e30
"""float32 ends at 3.4e38, and training multiplies what is given by gradients, weights and each other."""

LARGEST_COUNT = 2**31 - 1
"""Of rows and steps: far more than any memory holds."""


GRID_MODULE = "subind_grid_"
"""A grid file is loaded as the module of this name and the file's own, without its ending."""

DECORATOR = "@dataclass(frozen=True, kw_only=True)"

_LOADED: "list[weakref.ref[type]]" = []
_FUNCTIONS: dict[str, Callable[..., Any]] = {}


class Checked:
    """A base of dataclasses whose values are checked when they are made: their types first, then what `_check` says."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _LOADED.append(weakref.ref(cls))

    def __init__(self, *_: Any, **__: Any) -> None:
        """Replaced in every dataclass."""
        raise ValueError(f"{type(self).__name__} is no dataclass: write {DECORATOR} above it")

    def __post_init__(self) -> None:
        check_types(self)
        self._check()

    def _check(self) -> None:
        """Raise ValueError for values of the right type that cannot be."""


class Open(Checked):
    """A base of specs of which anybody may add classes: tasks, networks, starts, mask methods and measurements.

    `version` belongs to the run ids of all runs with such a spec: its author raises it when numbers move, and writes it
    without a type (`version = 2`), for it is no field. `behaviour`
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


def loaded_classes() -> Iterator[type]:
    """The classes of specs that exist in this process, ours and users', oldest first."""
    return (cls for cls in (each() for each in _LOADED) if cls is not None)


def num_loaded_classes() -> int:
    """How many classes were ever made: another number says that there are new ones."""
    return len(_LOADED)


def remember_function(function: Callable[..., Any]) -> None:
    """Let `decode` of `subind.identity.run_ids` find a function or class that a spec of this process has as a field."""
    _FUNCTIONS[qualified_name(function)] = function


def remembered_function(name: str) -> Callable[..., Any] | None:
    """The function of that qualified name that a spec of this process has as a field; None if none has."""
    return _FUNCTIONS.get(name)


def check_types(made: Any) -> None:
    """Raise ValueError, naming class, field and value, if one is of another type than declared, NaN or too large.

    An int is no float and a bool is no int: equal specs then have one spelling.
    """
    cls = made.__class__
    for name, holds in _tests(cls):
        value = getattr(made, name)
        if not holds(value):
            wanted = _in_words(field_types(cls)[name])
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
def field_types(cls: Any) -> dict[str, Any]:
    """The declared type of each field. Raises ValueError if one names what does not exist."""
    try:
        return typing.get_type_hints(cls)
    except (NameError, TypeError, SyntaxError) as error:
        raise ValueError(f"the fields of {cls.__name__} have types that cannot be read: {error}") from None


@cache
def _tests(cls: Hashable) -> tuple[tuple[str, Test], ...]:
    assert isinstance(cls, type)
    _check_class(cls)
    found = []
    for field in fields(cls):
        try:
            found.append((field.name, _test(field_types(cls)[field.name])))
        except TypeError as error:
            raise ValueError(f"{cls.__name__}.{field.name} {error}") from None
    return tuple(found)


def _check_class(cls: type) -> None:
    """Raise ValueError unless the class is one of which specs may be made: a frozen dataclass whose values compare."""
    name, decorated = cls.__name__, vars(cls).get("__dataclass_params__")
    if decorated is None or not decorated.frozen or not decorated.eq:
        raise ValueError(f"{name} is no frozen dataclass whose values are compared: write {DECORATOR} above it")
    if cls.__hash__ is None:
        raise ValueError(f"{name} cannot be hashed: leave out its __eq__, or give it a __hash__")
    if not issubclass(cls, Open):
        return
    if "version" in vars(cls)[_FIELDS]:
        raise ValueError(f"{name}.version is a field: write it without a type, as in `version = 1`")
    if type(cls.version) is not int or cls.version < 1:
        raise ValueError(f"{name}.version is {quoted(cls.version)}: give an int above 0")


def _test(declared: Any) -> Test:
    arguments = typing.get_args(declared)
    match typing.get_origin(declared):
        case typing.Union | types.UnionType:
            several = tuple(map(_test, arguments))
            return lambda value: any(holds(value) for holds in several)
        case typing.Literal:
            kinds = tuple(map(type, arguments))
            return lambda value: type(value) in kinds and value in arguments
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
            return lambda value: isinstance(value, declared) and _is_right(value)
        case _ if declared is float:
            return lambda value: type(value) is float and abs(value) <= LARGEST_FLOAT
        case _ if declared is int:
            return lambda value: type(value) is int and abs(value) <= LARGEST_INTEGER
        case _ if declared is str:
            return is_text
        case _ if declared is bool:
            return lambda value: type(value) is bool
        case _ if isinstance(declared, type) and issubclass(declared, Checked) and hasattr(declared, _FIELDS):
            _check_class(declared)
            return lambda value: type(value) is declared
        case _:
            raise TypeError(
                f"is declared as {quoted(declared)}: give str, bool, int, float, a tuple of these such as "
                "tuple[int, ...], Callable[..., Any], or a frozen dataclass of the base Checked"
            )


def is_text(value: Any) -> bool:
    """Whether it is a str, and one that UTF-8 can spell: half a surrogate pair is none."""
    return type(value) is str and (value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value))


def _is_right(value: Any) -> bool:
    """Whether the value's own class is a dataclass. One of a user's class, which may forget its checks, is checked.

    Raises ValueError as `check_types`.
    """
    cls = type(value)
    if not cls.__module__.startswith("subind."):
        check_types(value)
    return "__dataclass_fields__" in vars(cls)


def _is_named_function(value: Any) -> bool:
    """Whether it is a function or class of a module, which a worker finds by its name; it is remembered."""
    name, module = (getattr(value, each, None) for each in ("__qualname__", "__module__"))
    if not callable(value) or not isinstance(name, str) or not isinstance(module, str) or "<" in name:
        return False
    if hasattr(value, "__wrapped__") and _named(module, name) is not value:
        return False  # a decorated function that took the name of another
    remember_function(value)
    return True


def _named(module: str, name: str) -> Any:
    """What stands under the qualified name in the module; None if nothing does."""
    found: Any = sys.modules.get(module)
    for each in name.split("."):
        found = getattr(found, each, None)
    return found


def qualified_name(value: Any) -> str:
    """The module and name of a class or function, such as `own_network:lstm`, wherever a grid file lies.

    The module of a grid file, and of a script that runs as the program, is named after the file.
    """
    return f"{_module_name(value.__module__)}:{value.__qualname__}"


@cache
def _module_name(module: str) -> str:
    if module == "__main__":
        file = getattr(sys.modules[module], "__file__", None)
        return Path(file).stem if file else module
    return module.removeprefix(GRID_MODULE)


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
        case _ if declared is str:
            return "a str that UTF-8 can spell"
        case _:
            return f"a {declared.__name__}"
