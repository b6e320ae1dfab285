"""Identity: canonical JSON of a spec, its decoding, and the run id.

The canonical form of a dataclass is its fields in sorted order with the class name under "class": the name alone of a
class of `subind.specs` or `subind.measurements`, module and name of any other. A spec that users may add classes of has
the "version" of its class, and a run the version of its stage. The run id is a hash over that tree in which each parent
is replaced by its own run id.

Decoding executes nothing that the data name, and imports only modules of this project. Known are its classes, and of
all others those of modules that are loaded already, such as that of the grid file of the command; of functions, those
that a spec of this process has had as a field.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, lru_cache
from importlib import import_module
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from pkgutil import iter_modules
from types import BuiltinFunctionType, FunctionType
from typing import Any, NoReturn, get_args

from subind.specs.base import (
    NEUTRAL,
    Checked,
    Open,
    check_types,
    field_types,
    loaded_classes,
    num_loaded_classes,
    qualified_name,
    remembered_function,
)
from subind.specs.quoting import quoted
from subind.specs.run import STAGES, Run, Stage

STAGE_VERSIONS: dict[Stage, tuple[str, ...]] = {
    "donor": ("first version for any task and network",),
    "mask": ("first version for any task and network",),
    "transfer": ("first version for any task and network",),
    "measurement": ("first version",),
}
"""Why each version of a stage came to be; a change that moves numbers appends a reason and so changes the ids."""

ID_LENGTH = 16
"""Hexadecimal digits of a run id (64 bits)."""

OWN_ROOMS = ("subind.specs", "subind.measurements")
OWN_MODULES = tuple(f"{room}." for room in OWN_ROOMS)
"""Classes of these modules are known by their name alone."""

OTHER_ROOMS = ("subind.tasks", "subind.networks", "subind.masks", "subind.starts")
"""Rooms whose modules may define specs along with what computes with them. They load slowly: they need torch."""


def current_versions() -> tuple[int, ...]:
    """The version of each stage, in the order of STAGES."""
    reasons = STAGE_VERSIONS
    return tuple([len(reasons[stage]) for stage in STAGES])


def run_id(run: Run) -> str:
    """The fingerprint of the run at the current versions of the stages: 16 hexadecimal digits.

    Equal runs have equal ids. Raises ValueError if a field holds a value of another type than it declares.
    """
    return run_id_at(run, current_versions())


def run_id_at(run: Run, versions: tuple[int, ...]) -> str:
    """The run id at the given versions of the stages, in the order of STAGES.

    A run remembers the last id that it was asked for: a plan asks for those of a sweep's parents thousands of times.
    """
    known = run.remembered_id()
    if known is not None and known[0] == versions:
        return known[1]
    made = hashlib.sha256(_object_text(run, versions).encode()).hexdigest()[:ID_LENGTH]
    run.remember_id(versions, made)
    return made


def canonical_json(value: Any) -> str:
    """Canonical JSON of a spec or a part of one: sorted keys, no spaces, the class name in every object.

    Raises ValueError for NaN, an infinity, an unknown type, and an int where a float is declared.
    """
    return _object_text(value, None)


def encoded(value: Any) -> dict[str, Any]:
    """A spec, or a part of one, as JSON data; the exact inverse of `decode`."""
    data: dict[str, Any] = json.loads(canonical_json(value))
    return data


def spelled_name(cls: type) -> str:
    """What canonical JSON calls a class."""
    return cls.__name__ if cls.__module__.startswith(OWN_MODULES) else qualified_name(cls)


Versions = tuple[int, ...] | None
"""Those at which a run id is asked for; None for the whole tree, which has no run ids and no versions of stages."""


@cache
def _neutrals(cls: type) -> tuple[tuple[str, Any], ...]:
    """The fields that have a neutral value, with it. Raises ValueError if the class is no dataclass."""
    if not is_dataclass(cls):
        raise ValueError(
            f"a spec holds a value of type {cls.__name__}: give str, int, float, bool, tuples, functions of a module "
            "or frozen dataclasses"
        )
    return tuple((each.name, each.metadata[NEUTRAL]) for each in fields(cls) if NEUTRAL in each.metadata)


@cache
def _is_checked(cls: type) -> bool:
    """Whether values of the class were checked when they were made; others may have a __post_init__ of their own."""
    return issubclass(cls, Checked) and cls.__module__.startswith(OWN_MODULES)


@cache
def _layout(cls: Any, versions: Versions, omitted: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The text of an instance with a %s for the value of each field that is not omitted, and these in their order."""
    names = {each.name for each in fields(cls)}.difference(omitted)
    spelled = {**dict.fromkeys(names, "%s"), "class": encode_basestring_ascii(spelled_name(cls))}
    if issubclass(cls, Open):
        spelled["version"] = str(cls.version)
    elif versions is not None and issubclass(cls, Run):
        spelled["version"] = str(versions[STAGES.index(cls.stage)])
    text = ",".join(f'"{name}":{spelled[name]}' for name in sorted(spelled))
    return f"{{{text}}}", tuple(sorted(names))


def _object_text(value: Any, versions: Versions) -> str:
    """Canonical JSON of a dataclass; with versions, a run id in place of each run within it."""
    cls = value.__class__
    neutrals = _neutrals(cls)
    if not _is_checked(cls):
        check_types(value)
    if isinstance(value, Run):
        shared, own, free = _split(cls)
        if all(map(_is_shared, [getattr(value, name).__class__ for name in free])):
            template = _shared_template(cls, versions, shared(value))
            return template % tuple([_text(getattr(value, name), versions) for name in own])
    omitted = tuple([name for name, neutral in neutrals if getattr(value, name) == neutral]) if neutrals else ()
    template, names = _layout(cls, versions, omitted)
    return template % tuple([_text(getattr(value, name), versions) for name in names])


@cache
def _split(cls: type) -> tuple[Callable[[Any], tuple[Any, ...]], tuple[str, ...], tuple[str, ...]]:
    """What gives the values of a run that many runs share; the names of the fields that differ from run to run, in
    order; and of the shared ones those that hold specs of several classes, which may be worth it or not.
    """
    declared = field_types(cls)
    assert not _neutrals(cls), "a run's own fields have no neutral values"
    own = {name for name, type_ in declared.items() if name == "seed" or _differs(type_)}
    shared = [each.name for each in fields(cls) if each.name not in own]
    free = [name for name in shared if not _may_be_shared(declared[name])]
    values = attrgetter(*shared) if len(shared) > 1 else lambda run: tuple([getattr(run, name) for name in shared])
    return values, tuple(sorted(own)), tuple(free)


@lru_cache(maxsize=10_000)
def _shared_template(cls: Any, versions: Versions, shared: tuple[Any, ...]) -> str:
    """The text of a run with a %s for each field that differs from run to run."""
    _, own, _ = _split(cls)
    several = iter(shared)
    values = {each.name: next(several) for each in fields(cls) if each.name not in own}
    texts = {name: _text(value, versions).replace("%", "%%") for name, value in values.items()}
    template, names = _layout(cls, versions, ())
    return template % tuple([texts.get(name, "%s") for name in names])


def _function_text(value: Any) -> str:
    return f'{{"function":{encode_basestring_ascii(qualified_name(value))}}}'


_SCALARS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: "true" if value else "false",
    int: int.__repr__,
    float: lambda value: float.__repr__(value + 0.0),  # -0.0 equals 0.0 and so is spelled like it
    str: encode_basestring_ascii,
    FunctionType: _function_text,
    BuiltinFunctionType: _function_text,
}
"""How JSON spells the values that are no tuples and no dataclasses; they are exactly of these types."""


def _text(value: Any, versions: Versions) -> str:
    """Canonical JSON of a field's value."""
    cls = value.__class__
    if write := _SCALARS.get(cls):
        return write(value)
    if isinstance(value, tuple):
        return f"[{','.join([_text(each, versions) for each in value])}]"
    if isinstance(value, type):
        return _function_text(value)
    if isinstance(value, Run):
        return _object_text(value, None) if versions is None else f'"{run_id_at(value, versions)}"'
    return _shared_text(value, versions) if _is_shared(cls) else _object_text(value, versions)


@lru_cache(maxsize=10_000)
def _shared_text(value: Any, versions: Versions) -> str:
    """A task, network or optimiser within a run id's tree: a grid's thousands of runs share a few of each."""
    return _object_text(value, versions)


@cache
def _is_shared(cls: type) -> bool:
    """Whether the values of the class are worth remembering, and told apart by `==`.

    Those that hold runs differ from run to run where there are many seeds; 1, 1.0 and True are equal to Python.
    """
    return is_dataclass(cls) and all(_may_be_shared(declared) for declared in field_types(cls).values())


def _may_be_shared(declared: Any) -> bool:
    """Whether all values of a field are worth remembering; of an Open base there may be others."""
    parts = get_args(declared)
    if len({bool, int, float}.intersection(parts)) > 1 or _is_open(declared) or _differs(declared):
        return False
    if isinstance(declared, type) and is_dataclass(declared):
        return _is_shared(declared)
    return all(map(_may_be_shared, parts))


def _is_open(declared: Any) -> bool:
    return isinstance(declared, type) and issubclass(declared, Open)


def _differs(declared: Any) -> bool:
    """Whether a field holds runs, or a start or a measurement, which do."""
    if not isinstance(declared, type):
        return any(map(_differs, get_args(declared)))
    return issubclass(declared, Run) or (_is_open(declared) and hasattr(declared, "parents"))


# ---- decoding


class NotLoadedError(ValueError):
    """The data name a class or function of a user's file that is not loaded here, or a class of another version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownSpec:
    """A spec whose class, or a part's, is not loaded here: its class name and fields, for display alone."""

    name: str
    values: tuple[tuple[str, Any], ...]


def decode(data: Any) -> Any:
    """The spec, or the part of one, that `encoded` made the data from.

    Raises ValueError for unknown classes, unknown or absent fields, and values of another type than declared; of these,
    NotLoadedError for what is in a user's file that is not loaded.
    """
    return _guarded(data, _refuse)


def decode_known(data: Any) -> Any:
    """As `decode`; a spec of which a class or function is not loaded is given as an UnknownSpec."""
    try:
        return decode(data)
    except NotLoadedError:
        return _guarded(data, lambda error: None)


def _refuse(error: NotLoadedError) -> NoReturn:
    raise error


def _guarded(data: Any, lacking: Any) -> Any:
    try:
        return _decode(data, "spec", lacking)
    except RecursionError:
        raise ValueError("spec is nested deeper than any spec is: it was not written by `encoded`") from None


def _decode(data: Any, path: str, lacking: Any) -> Any:
    """The value of the data. `lacking` is called with the error for what is not loaded; it may return."""
    if isinstance(data, Mapping):
        return (
            _function(data, path, lacking)
            if "function" in data and "class" not in data
            else _object(data, path, lacking)
        )
    if isinstance(data, list):
        return tuple(_decode(each, f"{path}[{index}]", lacking) for index, each in enumerate(data))
    return data


def _function(data: Mapping[str, Any], path: str, lacking: Any) -> Any:
    name = data["function"]
    function = remembered_function(name) if isinstance(name, str) else None
    if function is None:
        lacking(NotLoadedError(f"{path} has the function {quoted(name)}, which is not loaded: {_remedy(name)}"))
        return UnknownSpec(name=str(name), values=())
    return function


def _object(data: Mapping[str, Any], path: str, lacking: Any) -> Any:
    name = data.get("class")
    cls = _class(name) if isinstance(name, str) else None
    if cls is None:
        if not isinstance(name, str) or ":" not in name:
            known = ", ".join(sorted(each for each in _classes(num_loaded_classes()) if ":" not in each))
            raise ValueError(f"{path} has the class {quoted(name)}: known are {known}")
        lacking(NotLoadedError(f"{path} has the class {quoted(name)}, which is not loaded: {_remedy(name)}"))
        return _unknown(data, path, lacking)
    if issubclass(cls, Open) and data.get("version") != cls.version:
        told = f"{path} is of version {quoted(data.get('version'))} of {name}, and that loaded here is {cls.version}"
        lacking(NotLoadedError(f"{told}: it is another spec; compute it again, or load the file of that version"))
        return _unknown(data, path, lacking)
    return _made(cls, data, path, lacking)


def _made(cls: Any, data: Mapping[str, Any], path: str, lacking: Any) -> Any:
    declared = {field.name: field for field in fields(cls)}
    if unknown := set(data) - set(declared) - {"class", *(["version"] if issubclass(cls, Open) else [])}:
        raise ValueError(f"{path} has unknown fields {quoted(sorted(unknown))}: {cls.__name__} has {sorted(declared)}")
    given = {name: _decode(data[name], f"{path}.{name}", lacking) for name in declared if name in data}
    for name, field in declared.items():
        if name not in given and NEUTRAL in field.metadata:
            given[name] = field.metadata[NEUTRAL]
        if name not in given and field.default is MISSING:
            raise ValueError(f"{path} lacks the field {quoted(name)} of {cls.__name__}")
    if any(map(_has_unknown, given.values())):
        return UnknownSpec(name=spelled_name(cls), values=tuple(sorted(given.items())))
    try:
        return cls(**given)
    except ValueError as error:
        raise ValueError(f"{path} cannot be: {error}") from None


def _unknown(data: Mapping[str, Any], path: str, lacking: Any) -> UnknownSpec:
    names = sorted(set(map(str, data)) - {"class"})
    values = tuple((name, _decode(data[name], f"{path}.{name}", lacking)) for name in names)
    return UnknownSpec(name=str(data["class"]), values=values)


def _has_unknown(value: Any) -> bool:
    return isinstance(value, UnknownSpec) or (isinstance(value, tuple) and any(map(_has_unknown, value)))


def _remedy(name: Any) -> str:
    module = str(name).partition(":")[0]
    return f"give the grid file that defines it, such as {quoted(module.partition('.')[0] + '.py')}"


def _class(name: str) -> type | None:
    """The class of that spelled name; None if there is none, or it is of a user's module that is not loaded."""
    _load_own_rooms()
    if name not in _classes(num_loaded_classes()) and name.partition(":")[0] in _other_modules():
        import_module(name.partition(":")[0])
    return _classes(num_loaded_classes()).get(name)


@cache
def _load_own_rooms() -> None:
    """Load the modules whose classes a record names without them."""
    for room in OWN_ROOMS:
        for each in iter_modules(import_module(room).__path__):
            import_module(f"{room}.{each.name}")


@cache
def _other_modules() -> frozenset[str]:
    """The modules of this project in OTHER_ROOMS."""
    return frozenset(
        f"{room}.{each.name}" for room in OTHER_ROOMS for each in iter_modules(import_module(room).__path__)
    )


@lru_cache(maxsize=1)
def _classes(num_loaded: int) -> dict[str, type]:
    """The classes of which specs are made by their spelled name, of two of one name the newer."""
    return {spelled_name(cls): cls for cls in loaded_classes() if "__dataclass_fields__" in vars(cls)}
