"""Check that a JSON object has exactly the fields of a dataclass, each with its type."""

import builtins
import collections.abc
import reprlib
import types
from collections.abc import Callable, Collection
from dataclasses import MISSING, fields
from functools import cache
from math import isfinite
from typing import Any, get_args, get_origin, get_type_hints

_REMEDY = "remove a file that says so, and run the sweep again"


def checked_fields(cls: type, data: Any, *, source: str) -> dict[str, Any]:
    """The JSON object `data`, if it has just the fields of the dataclass, each of its type.

    A field with a default may be absent: it was added later. Raises ValueError naming the source, the field and the
    value if not.
    """
    tests = _field_tests(cls)
    if not isinstance(data, dict) or not _required_fields(cls) <= data.keys() <= tests.keys():
        found = sorted(map(str, data)) if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"{source} is no {cls.__name__}: it has {found}, not {sorted(tests)}; {_REMEDY}")
    for name, holds in tests.items():
        if name in data and not holds(data[name]):
            wanted = get_type_hints(cls)[name]
            raise ValueError(
                f"{source} has {name} = {reprlib.repr(data[name])}: {cls.__name__} wants {wanted}; {_REMEDY}"
            )
    return dict(data)


@cache
def _required_fields(cls: type) -> frozenset[str]:
    return frozenset(each.name for each in fields(cls) if each.default is each.default_factory is MISSING)


@cache
def _field_tests(cls: type) -> dict[str, Callable[[Any], bool]]:
    """Of each field of the dataclass, whether JSON data are of its type."""
    hints = get_type_hints(cls)
    return {each.name: _test(hints[each.name]) for each in fields(cls)}


@cache
def _test(declared: Any) -> Callable[[Any], bool]:
    """Whether JSON data are what `asdict` gives for a value of the declared type."""
    arguments = get_args(declared)
    match get_origin(declared) or declared:
        case collections.abc.Mapping:
            holds = _values_test(arguments[1])
            return lambda value: isinstance(value, dict) and holds(value.values())
        case builtins.list | builtins.tuple:
            holds = _values_test(arguments[0])
            return lambda value: isinstance(value, list | tuple) and holds(value)
        case builtins.float:
            return lambda value: isfinite(value) if type(value) is float else _is_small_int(value)
        case builtins.int:
            return _is_small_int
        case types.UnionType:
            several = [_test(each) for each in arguments]
            return lambda value: any(holds(value) for holds in several)
        case types.NoneType:
            return lambda value: value is None
        case builtins.str | builtins.bool:
            return lambda value: type(value) is declared
        case _:
            return lambda value: declared is Any or isinstance(value, dict)


def _values_test(declared: Any) -> Callable[[Collection[Any]], bool]:
    """Whether all of several JSON data are of a type. Numbers are looked at together: a record has thousands."""
    holds = _test(declared)
    if declared is float:
        return lambda values: _are_finite(values) or all(map(holds, values))
    return lambda values: all(map(holds, values))


def _are_finite(values: Collection[Any]) -> bool:
    """Whether these are floats of a finite sum, so that each is finite, or ints that floats can hold.

    False may also mean that finite floats have too large a sum.
    """
    kinds = set(map(type, values))
    if kinds == {float}:
        return isfinite(sum(values))
    if kinds == {int}:
        return _is_small_int(min(values)) and _is_small_int(max(values))
    floats = [value for value in values if type(value) is float]
    return isfinite(sum(floats)) and all(_is_small_int(value) for value in values if type(value) is not float)


def _is_small_int(value: Any) -> bool:
    """An int that a float can hold: JSON writes 1.0 and 1 alike in other languages."""
    return type(value) is int and abs(value) <= 2**53
