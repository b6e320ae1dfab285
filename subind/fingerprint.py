"""Identity: canonical JSON of a spec, its decoding, and the run id.

The canonical form of a dataclass is its fields in sorted order with the class name under "class"; a stage's spec carries
the version of its stage. The run id is a hash over that tree in which each parent is replaced by its own run id.
"""

import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, lru_cache
from typing import Any, Literal

from subind import spec as specs
from subind.spec import STAGES, Donor, Mask, Spec, Stage, Transfer

STAGE_VERSIONS: dict[Stage, tuple[str, ...]] = {
    "donor": ("first version",),
    "mask": ("first version",),
    "transfer": ("first version",),
}
"""Why each version of a stage came to be; a change that moves numbers appends a reason and so changes the ids."""

NEUTRAL = "neutral"
"""Metadata key of a field added later: at this value the field is left out, and old ids stay as they were."""

ID_LENGTH = 16
"""Hexadecimal digits of a run id (64 bits)."""

_CLASSES: dict[str, type] = {
    name: member for name, member in vars(specs).items() if isinstance(member, type) and is_dataclass(member)
}
_STAGE_CLASSES = {Donor: "donor", Mask: "mask", Transfer: "transfer"}


def current_versions() -> tuple[int, ...]:
    """The versions of donor, mask and transfer."""
    return tuple(len(STAGE_VERSIONS[stage]) for stage in STAGES)


def run_id(spec: Spec) -> str:
    """The fingerprint of the spec at the current versions of the stages: 16 hexadecimal digits.

    Raises ValueError if a field holds a value of another type than it declares.
    """
    return run_id_at(spec, current_versions())


@lru_cache(maxsize=200_000)
def run_id_at(spec: Spec, versions: tuple[int, ...]) -> str:
    """The run id that the spec has at the given versions of donor, mask and transfer."""
    return hashlib.sha256(_compact(_tree(spec, versions)).encode()).hexdigest()[:ID_LENGTH]


def canonical_json(value: Any) -> str:
    """Canonical JSON of a spec or a part of one: sorted keys, no spaces, the class name in every object.

    Raises ValueError for NaN, an infinity, an unknown type, and an int where a float is declared.
    """
    return _compact(encoded(value))


def encoded(value: Any) -> dict[str, Any]:
    """A spec, or a part of one, as JSON data; the exact inverse of `decode`."""
    return _encode(value, type(value), "", None)


def decode(data: Any) -> Any:
    """The spec, or the part of one, that `encoded` made the data from.

    Raises ValueError for unknown classes, unknown or absent fields, and values of another type than declared.
    """
    return _decode(data, None, "spec")


def _compact(tree: Any) -> str:
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _tree(spec: Spec, versions: tuple[int, ...]) -> dict[str, Any]:
    return _encode(spec, type(spec), "", versions, root=True)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _encode(value: Any, declared: Any, path: str, versions: tuple[int, ...] | None, *, root: bool = False) -> Any:
    origin = typing.get_origin(declared)
    if origin in (typing.Union, types.UnionType):
        _refuse_unless(type(value) in typing.get_args(declared), path, value, declared)
        declared = type(value)
    if origin is Literal:
        _refuse_unless(value in typing.get_args(declared) and isinstance(value, str), path, value, declared)
        return value
    if origin is tuple:
        _refuse_unless(isinstance(value, tuple), path, value, declared)
        item = typing.get_args(declared)[0]
        return [_encode(each, item, f"{path}[{index}]", versions) for index, each in enumerate(value)]
    _refuse_unless(type(value) is declared, path, value, declared)
    if is_dataclass(declared):
        return _encode_fields(value, path, versions, root=root)
    _refuse_unless(declared in (int, float, str, bool), path, value, declared)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} is {value}: give a finite number")
    return value


def _encode_fields(value: Any, path: str, versions: tuple[int, ...] | None, *, root: bool) -> Any:
    cls = type(value)
    if versions is not None and not root and cls in _STAGE_CLASSES:
        return run_id_at(value, versions)
    tree: dict[str, Any] = {"class": cls.__name__}
    for field in fields(value):
        found = getattr(value, field.name)
        if NEUTRAL in field.metadata and found == field.metadata[NEUTRAL]:
            continue
        where = f"{path}.{field.name}" if path else f"{cls.__name__}.{field.name}"
        tree[field.name] = _encode(found, _hints(cls)[field.name], where, versions)
    if root:
        assert versions is not None
        tree["version"] = versions[STAGES.index(_STAGE_CLASSES[cls])]  # type: ignore[arg-type]
    return tree


def _refuse_unless(holds: bool, path: str, value: Any, declared: Any) -> None:
    if not holds:
        wanted = getattr(declared, "__name__", str(declared))
        raise ValueError(f"{path or 'value'} is {value!r} of type {type(value).__name__}: give a {wanted}")


def _decode(data: Any, declared: Any, path: str) -> Any:
    if isinstance(data, Mapping):
        return _decode_fields(data, path)
    if isinstance(data, list):
        _refuse_unless(typing.get_origin(declared) is tuple, path, data, declared)
        item = typing.get_args(declared)[0]
        return tuple(_decode(each, item, f"{path}[{index}]") for index, each in enumerate(data))
    if isinstance(data, int) and not isinstance(data, bool) and declared is float:
        raise ValueError(f"{path} is {data!r} of type int: give a float")
    return data


def _decode_fields(data: Mapping[str, Any], path: str) -> Any:
    cls = _CLASSES.get(str(data.get("class")))
    if cls is None:
        raise ValueError(f"{path} has the class {data.get('class')!r}: known are {', '.join(sorted(_CLASSES))}")
    declared = {field.name: field for field in fields(cls)}
    if unknown := set(data) - set(declared) - {"class"}:
        raise ValueError(f"{path} has unknown fields {sorted(unknown)}: {cls.__name__} has {sorted(declared)}")
    given = {name: _decode(data[name], _hints(cls)[name], f"{path}.{name}") for name in declared if name in data}
    for name, field in declared.items():
        if name not in given and NEUTRAL in field.metadata:
            given[name] = field.metadata[NEUTRAL]
        if name not in given and field.default is MISSING:
            raise ValueError(f"{path} lacks the field {name!r} of {cls.__name__}")
    made = cls(**given)
    _encode(made, cls, path, None)
    return made
