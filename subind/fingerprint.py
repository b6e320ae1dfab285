"""Identity: canonical JSON of a spec, its decoding, and the run id.

The canonical form of a dataclass is its fields in sorted order with the class name under "class"; a stage's spec
carries the version of its stage. The run id is a hash over that tree in which each parent is replaced by its own run
id.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, lru_cache
from typing import Any

from subind import spec as specs
from subind.declared import Checked, check_types
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
_STAGE_CLASSES = (Donor, Mask, Transfer)


def current_versions() -> tuple[int, ...]:
    """The versions of donor, mask and transfer."""
    return tuple(len(STAGE_VERSIONS[stage]) for stage in STAGES)


def run_id(spec: Spec) -> str:
    """The fingerprint of the spec at the current versions of the stages: 16 hexadecimal digits.

    Equal specs have equal ids. Raises ValueError if a field holds a value of another type than it declares.
    """
    return run_id_at(spec, current_versions())


@lru_cache(maxsize=200_000)
def run_id_at(spec: Spec, versions: tuple[int, ...]) -> str:
    """The run id that the spec has at the given versions of donor, mask and transfer."""
    version = versions[STAGES.index(specs.stage(spec))]
    tree = {**_encode_fields(spec, versions), "version": version}
    return hashlib.sha256(_COMPACT.encode(tree).encode()).hexdigest()[:ID_LENGTH]


def canonical_json(value: Any) -> str:
    """Canonical JSON of a spec or a part of one: sorted keys, no spaces, the class name in every object.

    Raises ValueError for NaN, an infinity, an unknown type, and an int where a float is declared.
    """
    return _COMPACT.encode(encoded(value))


def encoded(value: Any) -> dict[str, Any]:
    """A spec, or a part of one, as JSON data; the exact inverse of `decode`."""
    return _encode_fields(value, None)


def decode(data: Any) -> Any:
    """The spec, or the part of one, that `encoded` made the data from.

    Raises ValueError for unknown classes, unknown or absent fields, and values of another type than declared.
    """
    try:
        return _decode(data, "spec")
    except RecursionError:
        raise ValueError("spec is nested deeper than any spec is: it was not written by `encoded`") from None


_COMPACT = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


@cache
def _fields(cls: type) -> tuple[tuple[str, bool, Any], ...]:
    """Of each field its name, whether it has a neutral value, and that. Raises ValueError if it is no dataclass."""
    if not is_dataclass(cls):
        raise ValueError(
            f"a spec holds a value of type {cls.__name__}: give str, int, float, bool, tuples, dataclasses"
        )
    return tuple((field.name, NEUTRAL in field.metadata, field.metadata.get(NEUTRAL)) for field in fields(cls))


def _encode(value: Any, versions: tuple[int, ...] | None) -> Any:
    """JSON data of the value; with versions, the run id in place of a donor or a mask."""
    if isinstance(value, float):
        return value + 0.0  # -0.0 equals 0.0 and so is spelled like it
    if isinstance(value, str | int):
        return value
    if isinstance(value, tuple):
        return [_encode(each, versions) for each in value]
    if versions is None:
        return _encode_fields(value, None)
    return run_id_at(value, versions) if type(value) in _STAGE_CLASSES else _part(value, versions)


@lru_cache(maxsize=10_000)
def _part(value: Any, versions: tuple[int, ...]) -> dict[str, Any]:
    """A task, model, optimiser or control within a run id's tree: a grid's thousands of specs share a few of each."""
    return _encode_fields(value, versions)


def _encode_fields(value: Any, versions: tuple[int, ...] | None) -> dict[str, Any]:
    described = _fields(value.__class__)
    if not isinstance(value, Checked):  # such a value was checked when it was made
        check_types(value)
    tree: dict[str, Any] = {"class": type(value).__name__}
    for name, may_be_neutral, neutral in described:
        found = getattr(value, name)
        if not (may_be_neutral and found == neutral):
            tree[name] = _encode(found, versions)
    return tree


def _decode(data: Any, path: str) -> Any:
    if isinstance(data, Mapping):
        return _decode_fields(data, path)
    if isinstance(data, list):
        return tuple(_decode(each, f"{path}[{index}]") for index, each in enumerate(data))
    return data


def _decode_fields(data: Mapping[str, Any], path: str) -> Any:
    cls = _CLASSES.get(str(data.get("class")))
    if cls is None:
        raise ValueError(f"{path} has the class {data.get('class')!r}: known are {', '.join(sorted(_CLASSES))}")
    declared = {field.name: field for field in fields(cls)}
    if unknown := set(data) - set(declared) - {"class"}:
        raise ValueError(f"{path} has unknown fields {sorted(unknown)}: {cls.__name__} has {sorted(declared)}")
    given = {name: _decode(data[name], f"{path}.{name}") for name in declared if name in data}
    for name, field in declared.items():
        if name not in given and NEUTRAL in field.metadata:
            given[name] = field.metadata[NEUTRAL]
        if name not in given and field.default is MISSING:
            raise ValueError(f"{path} lacks the field {name!r} of {cls.__name__}")
    try:
        return cls(**given)
    except ValueError as error:
        raise ValueError(f"{path} cannot be: {error}") from None
