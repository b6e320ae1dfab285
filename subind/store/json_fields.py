"""JSON objects from files as dataclasses: just the fields of the class, each of its type and within bounds."""

import re
import reprlib
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from subind.specs.quoting import quoted

Count = Annotated[int, Meta(ge=-(2**53), le=2**53)]
"""An int that a float can hold: JSON writes 1.0 and 1 alike in other languages."""

Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""A float that is neither NaN nor infinite; an int in its place is made one."""

_REMEDY = "remove a file that says so, and run the sweep again"

Decoded = TypeVar("Decoded")


def decoded(cls: type[Decoded], data: Any, *, source: str) -> Decoded:
    """The JSON object `data` as an instance of the dataclass, at any depth.

    A field with a default may be absent: it was added later. Raises ValueError naming the source, the field and its
    value if a field is absent, unknown or of another type.
    """
    try:
        made = msgspec.convert(data, cls, strict=True)
    except msgspec.ValidationError as error:
        raise ValueError(f"{source} {_trouble(cls, data, str(error))}; {_REMEDY}") from None
    if unknown := sorted(map(quoted, _unknown_fields(made, data))):
        raise ValueError(f"{source} is no {cls.__name__}: it has the unknown fields {', '.join(unknown)}; {_REMEDY}")
    return made


def _trouble(cls: type, data: Any, error: str) -> str:
    """What is wrong with the data; `error` names the place as $.field.field."""
    field = re.search(r"at `\$\.(\w+)", error)
    if field is None:
        found = reprlib.repr(sorted(data) if isinstance(data, dict) else data)
        return f"is no {cls.__name__}: it has {found}: {error}"
    return f"has {field[1]} = {reprlib.repr(data[field[1]])} in {cls.__name__}: {error}"


def _unknown_fields(made: Any, data: Any) -> Iterator[str]:
    """The keys of the data that the dataclass, or one within it, lacks."""
    names = _field_names(made.__class__)
    yield from data.keys() - names
    for name in data.keys() & names:
        match getattr(made, name):
            case dict() as several if is_dataclass(next(iter(several.values()), None)):
                for key, value in several.items():
                    yield from _unknown_fields(value, data[name][key])
            case value if is_dataclass(value):
                yield from _unknown_fields(value, data[name])


@cache
def _field_names(cls: type) -> frozenset[str]:
    return frozenset(each.name for each in fields(cls))
