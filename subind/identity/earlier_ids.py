"""The ids that a run had at earlier versions of the users' classes in it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

from subind.identity.parts import own_parts
from subind.identity.run_ids import ID_LENGTH, STAGE_VERSIONS, encoded, spelled_name
from subind.specs.base import Open, loaded_classes
from subind.specs.run import Run, Stage

MOST_COMBINATIONS = 64
"""Of versions of several classes, the newest first."""


def earlier_ids(run: Run) -> Iterator[tuple[str, str]]:
    """The run id at earlier versions of users' classes in the run and what it descends from, and what has changed.

    The stages have their current versions.
    """
    classes = {name: part.version for name, part in own_parts(run).items() if _has_version(part)}
    if all(version == 1 for version in classes.values()):
        return
    data, stages = encoded(run), _stages()
    now = {name: version for name, version in classes.items() if name in _class_names(data)}
    for versions in islice(product(*(range(version, 0, -1) for version in now.values())), 1, MOST_COMBINATIONS):
        then = dict(zip(now, versions, strict=True))
        changed = (
            f"{name} is of version {now[name]} and was of {then[name]}" for name in now if then[name] != now[name]
        )
        yield _run_id(data, then, stages), "; ".join(changed)


def _has_version(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, Open)


def _stages() -> dict[str, Stage]:
    """The stage of each class of runs, by the name that it has in data."""
    return {spelled_name(cls): cls.stage for cls in loaded_classes() if issubclass(cls, Run) and "stage" in vars(cls)}


def _class_names(data: Any) -> set[str]:
    if isinstance(data, list):
        return set().union(*map(_class_names, data))
    if isinstance(data, Mapping):
        return {str(data.get("class"))}.union(*map(_class_names, data.values()))
    return set()


def _run_id(data: Mapping[str, Any], then: Mapping[str, int], stages: Mapping[str, Stage]) -> str:
    """The run id of a run's data at the versions of the classes."""
    own = {name: _at(value, then, stages) for name, value in data.items()}
    text = json.dumps(
        {**own, "version": len(STAGE_VERSIONS[stages[data["class"]]])}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def _at(value: Any, then: Mapping[str, int], stages: Mapping[str, Stage]) -> Any:
    """A value within a run, with ids in place of runs and the versions of then."""
    if isinstance(value, list):
        return [_at(each, then, stages) for each in value]
    if not isinstance(value, Mapping):
        return value
    name = str(value.get("class"))
    if name in stages:
        return _run_id(value, then, stages)
    own = {field: _at(each, then, stages) for field, each in value.items()}
    return {**own, "version": then[name]} if name in then else own
