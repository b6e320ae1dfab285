"""Identity: canonical JSON of a spec, its decoding, and the run id.

The canonical form of a dataclass is its fields in sorted order with the class name under "class"; a stage's spec
carries the version of its stage. The run id is a hash over that tree in which each parent is replaced by its own run
id.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, get_args

from subind.specs import runs as specs
from subind.specs.base import NEUTRAL, Checked, check_types
from subind.specs.quoting import quoted
from subind.specs.runs import STAGES, AnyControl, Spec, Stage

STAGE_VERSIONS: dict[Stage, tuple[str, ...]] = {
    "donor": (
        "first version",
        "textures of drawn images are centred and have the declared contrast",
        "the clip factor and the products of narrow matrices do not depend on the pack",
    ),
    "mask": ("first version", "the products of narrow matrices do not depend on the pack"),
    "transfer": (
        "first version",
        "textures of drawn images are centred and have the declared contrast",
        "the clip factor and the products of narrow matrices do not depend on the pack",
        "a new head trains alone; before, a ViT's class token, positions and biases trained too",
    ),
}
"""Why each version of a stage came to be; a change that moves numbers appends a reason and so changes the ids."""

ID_LENGTH = 16
"""Hexadecimal digits of a run id (64 bits)."""

_CLASSES: dict[str, type] = {
    member.__name__: member for member in vars(specs).values() if isinstance(member, type) and is_dataclass(member)
}
_STAGE_CLASSES = get_args(Spec)
_CONTROL_CLASSES = get_args(AnyControl)


def current_versions() -> tuple[int, ...]:
    """The versions of donor, mask and transfer."""
    reasons = STAGE_VERSIONS
    return len(reasons["donor"]), len(reasons["mask"]), len(reasons["transfer"])


def run_id(spec: Spec) -> str:
    """The fingerprint of the spec at the current versions of the stages: 16 hexadecimal digits.

    Equal specs have equal ids. Raises ValueError if a field holds a value of another type than it declares.
    """
    return run_id_at(spec, current_versions())


def run_id_at(spec: Spec, versions: tuple[int, ...]) -> str:
    """The run id that the spec has at the given versions of donor, mask and transfer.

    A spec remembers the last id that it was asked for: a plan asks for those of a sweep's parents thousands of times.
    """
    known = spec.remembered_id()
    if known is not None and known[0] == versions:
        return known[1]
    found = hashlib.sha256(_object_text(spec, versions).encode()).hexdigest()[:ID_LENGTH]
    spec.remember_id(versions, found)
    return found


def canonical_json(value: Any) -> str:
    """Canonical JSON of a spec or a part of one: sorted keys, no spaces, the class name in every object.

    Raises ValueError for NaN, an infinity, an unknown type, and an int where a float is declared.
    """
    return _object_text(value, None)


def encoded(value: Any) -> dict[str, Any]:
    """A spec, or a part of one, as JSON data; the exact inverse of `decode`."""
    data: dict[str, Any] = json.loads(canonical_json(value))
    return data


def decode(data: Any) -> Any:
    """The spec, or the part of one, that `encoded` made the data from.

    Raises ValueError for unknown classes, unknown or absent fields, and values of another type than declared.
    """
    try:
        return _decode(data, "spec")
    except RecursionError:
        raise ValueError("spec is nested deeper than any spec is: it was not written by `encoded`") from None


Versions = tuple[int, ...] | None
"""Those at which a run id is asked for; None for the whole tree, which has no run ids in it and no versions."""


@cache
def _neutrals(cls: type) -> tuple[tuple[str, Any], ...]:
    """The fields that have a neutral value, with it. Raises ValueError if the class is no dataclass."""
    if not is_dataclass(cls):
        raise ValueError(
            f"a spec holds a value of type {cls.__name__}: give str, int, float, bool, tuples, dataclasses"
        )
    return tuple((each.name, each.metadata[NEUTRAL]) for each in fields(cls) if NEUTRAL in each.metadata)


@cache
def _layout(cls: Any, version: int | None, omitted: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The text of an instance with a %s for the value of each field that is not omitted, and these in their order."""
    names = {each.name for each in fields(cls)}.difference(omitted)
    spelled = {**dict.fromkeys(names, "%s"), "class": f'"{cls.__name__}"'}
    if version is not None:
        spelled["version"] = str(version)
    text = ",".join(f'"{name}":{spelled[name]}' for name in sorted(spelled))
    return f"{{{text}}}", tuple(sorted(names))


def _object_text(value: Any, versions: Versions) -> str:
    """Canonical JSON of a dataclass; with versions, a run id in place of each donor and mask within it."""
    cls = value.__class__
    omitted = tuple([name for name, neutral in _neutrals(cls) if getattr(value, name) == neutral])
    if not isinstance(value, Checked):  # such a value was checked when it was made
        check_types(value)
    version = versions[STAGES.index(specs.stage(value))] if versions is not None and cls in _STAGE_CLASSES else None
    template, names = _layout(cls, version, omitted)
    return template % tuple([_text(getattr(value, name), versions) for name in names])


_SCALARS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: "true" if value else "false",
    int: int.__repr__,
    float: lambda value: float.__repr__(value + 0.0),  # -0.0 equals 0.0 and so is spelled like it
    str: encode_basestring_ascii,
}
"""How JSON spells the values that are no tuples and no dataclasses; they are exactly of these types."""


def _text(value: Any, versions: Versions) -> str:
    """Canonical JSON of a field's value."""
    if write := _SCALARS.get(type(value)):
        return write(value)
    if isinstance(value, tuple):
        return f"[{','.join([_text(each, versions) for each in value])}]"
    if versions is None:
        return _object_text(value, None)
    if isinstance(value, _STAGE_CLASSES):
        return f'"{run_id_at(value, versions)}"'
    if isinstance(value, _CONTROL_CLASSES):  # they differ from run to run where there are many seeds
        return _object_text(value, versions)
    return _shared_text(value, versions)


@lru_cache(maxsize=10_000)
def _shared_text(value: Any, versions: Versions) -> str:
    """A task, model or optimiser within a run id's tree: a grid's thousands of specs share a few of each."""
    return _object_text(value, versions)


def _decode(data: Any, path: str) -> Any:
    if isinstance(data, Mapping):
        return _decode_fields(data, path)
    if isinstance(data, list):
        return tuple(_decode(each, f"{path}[{index}]") for index, each in enumerate(data))
    return data


def _decode_fields(data: Mapping[str, Any], path: str) -> Any:
    cls = _CLASSES.get(str(data.get("class")))
    if cls is None:
        raise ValueError(f"{path} has the class {quoted(data.get('class'))}: known are {', '.join(sorted(_CLASSES))}")
    declared = {field.name: field for field in fields(cls)}
    if unknown := set(data) - set(declared) - {"class"}:
        raise ValueError(f"{path} has unknown fields {quoted(sorted(unknown))}: {cls.__name__} has {sorted(declared)}")
    given = {name: _decode(data[name], f"{path}.{name}") for name in declared if name in data}
    for name, field in declared.items():
        if name not in given and NEUTRAL in field.metadata:
            given[name] = field.metadata[NEUTRAL]
        if name not in given and field.default is MISSING:
            raise ValueError(f"{path} lacks the field {quoted(name)} of {cls.__name__}")
    try:
        return cls(**given)
    except ValueError as error:
        raise ValueError(f"{path} cannot be: {error}") from None
