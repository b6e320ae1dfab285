"""What a run of the mirror holds: params, tags and metrics, from a run's spec and its record.

Params are flat: the columns of the run's result row, then the fields of its spec by their names. A field of a run that
it descends from has the stage of that one as prefix, such as `mask_learning_rate`; of several of one stage the second
has `mask2_`. A field within a field has the outer one's name before its own, but for those of FLAT. Left out are fields
at their default, and of the task of a run that it descends from all but its label. The record, which is an artifact,
has everything.

Metrics: `curve/…` over epochs, thinned to what a chart shows; single values without that prefix. A name of the record
such as `rival_agreement.2 * a ** 2` becomes `rival_agreement/2 times a pow 2`: the UI makes a section of each prefix.
What the record has of each matrix along with the whole (`density.h.0.attn.c_attn.weight`) stays in the store, as do
curves of one quantity by name. Everything here follows from the record, timestamps included: logging it a second time
changes nothing.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from subind.identity.run_ids import run_id
from subind.specs.network import Network
from subind.specs.rows import AnyPart
from subind.specs.run import Run, lineage
from subind.store.names import slug
from subind.store.results import RunRecord
from sweeps.grids.cells import planned_columns

RUN_ID_TAG = "subind.run_id"
"""The tag that keys a run of the mirror."""

DESCRIPTION_TAG = "mlflow.note.content"
"""Markdown that the page of a run or an experiment shows."""

LONGEST_NAME = 250
LONGEST_VALUE = 6000
"""Characters that MLflow takes in the name of a metric and in the value of a param."""

MOST_POINTS = 80
MOST_POINTS_OF_A_CURVE = 50
"""Values of all curves of a run, and of one: MLflow takes 50 µs and 0.3 kB for each."""

FLAT = {"task", "model", "start", "method", "optimizer", "measurement"}
"""Fields of a run whose own fields have their plain names."""

IDENTIFIERS = {"run_id", "parent_id", "parent_ids"}
"""Columns of a result row that are tags."""

_WORDS = {"**": " pow ", "*": " times ", "+": " plus ", "(": " open ", ")": " close "}
"""Operators of a rule that MLflow allows in no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of a metric; `timestamp` in milliseconds since 1970."""

    name: str
    value: float
    timestamp: int
    step: int


def params(run: Run) -> dict[str, str]:
    """The run and all that it descends from as flat texts of at most 6,000 characters."""
    found = dict(_leaves(run)) | dict(_leaves(run.network))
    met: Counter[str] = Counter()
    for ancestor in list(lineage(run))[1:]:
        met[ancestor.stage] += 1
        number = met[ancestor.stage]
        prefix = f"{ancestor.stage}{number if number > 1 else ''}_"
        found |= {prefix + name: value for name, value in _leaves(ancestor, task=False)}
    found |= {name: _worded(value) for name, value in _columns(run).items()}
    return {name: _clipped(value, LONGEST_VALUE) for name, value in found.items()}


def _columns(run: Run) -> dict[str, Any]:
    """The columns of the run's result row, but for ids."""
    return {name: value for name, value in planned_columns(run).items() if name not in IDENTIFIERS}


def name(run: Run) -> str:
    """What the UI calls the run; the tag of its id tells it from another of the same name."""
    return slug(run) if run.stage == "transfer" else f"{run.stage}-{slug(run)}"


def tags(run: Run, record: RunRecord) -> dict[str, str]:
    """The key of the run and where its numbers come from."""
    provenance = record.provenance
    found = {
        RUN_ID_TAG: record.run_id,
        "subind.folder": f"{slug(run)}-{record.run_id}",
        "subind.device": provenance.device,
        "subind.host": provenance.host,
        "subind.dirty": "unknown" if provenance.dirty is None else str(provenance.dirty).lower(),
        "subind.pack_size": str(provenance.pack_size),
        "mlflow.source.name": "subind",
        "mlflow.source.git.commit": provenance.commit,
    }
    return {name: value for name, value in found.items() if value}


def links(run: Run, address: Callable[[str], str]) -> dict[str, str]:
    """The tag whose text the page of the run shows: links to what it descends from, by their addresses by run id."""
    ancestors = {run_id(each): each for each in lineage(run) if each is not run}
    found = [f"[{each.stage} {name}]({link})" for name, each in ancestors.items() if (link := address(name))]
    return {DESCRIPTION_TAG: "From " + ", ".join(found)} if found else {}


def points(record: RunRecord) -> list[Point]:
    """Curves with step = epoch, then the measurements at step 0.

    Raises ValueError if a curve has another length than the curve `epoch` or the start is no time.
    """
    start, end = started(record), ended(record)
    whole = record.measurements
    singles = {
        name: value
        for name, value in whole.items()
        if name.partition(".")[0] == name or name.partition(".")[0] not in whole
    }
    singles["seconds"] = record.provenance.seconds
    return [
        *_curve_points(record, start, end),
        *(Point(name=metric_name(key), value=float(value), timestamp=end, step=0) for key, value in singles.items()),
    ]


def started(record: RunRecord) -> int:
    """When the run's pack was started, in milliseconds since 1970; a time without a zone is UTC."""
    try:
        time = datetime.fromisoformat(record.provenance.started)
    except ValueError:
        given = record.provenance.started
        raise ValueError(
            f"provenance.started of run {record.run_id} is {given!r}: it must be a time in ISO 8601"
        ) from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def ended(record: RunRecord) -> int:
    """When the run's pack was done, in milliseconds since 1970."""
    return started(record) + int(record.provenance.seconds * 1000)


def metric_name(name: str) -> str:
    """The name of a measurement as MLflow allows it, at most 250 characters.

    `rival_agreement.2 * a ** 2` becomes `rival_agreement/2 times a pow 2`.
    """
    prefix, dot, rest = name.partition(".")
    words = re.sub(r"\*\*|[*+()]", lambda found: _WORDS[found[0]], rest)
    legal = re.sub(r"[^\w\-. :/]", lambda found: f"u{ord(found[0]):x}", " ".join(words.split()), flags=re.ASCII)
    return _clipped(prefix + ("/" if dot else "") + legal, LONGEST_NAME)


def _curve_points(record: RunRecord, start: int, end: int) -> Iterator[Point]:
    epochs = record.curves.get("epoch", [])
    for name, values in record.curves.items():
        if len(values) != len(epochs):
            raise ValueError(
                f"curve {name!r} of run {record.run_id} has {len(values)} values for {len(epochs)} epochs: "
                "remove the run's folder and run the sweep again"
            )
    curves = [name for name in record.curves if name != "epoch" and "." not in name]
    places = evenly(len(epochs), most=min(MOST_POINTS_OF_A_CURVE, MOST_POINTS // max(1, len(curves))))
    for name in curves:
        key = _clipped(f"curve/{metric_name(name)}", LONGEST_NAME)
        for place in places:
            time = start + (end - start) * (place + 1) // len(epochs)
            yield Point(name=key, value=float(record.curves[name][place]), timestamp=time, step=int(epochs[place]))


def evenly(number: int, *, most: int) -> list[int]:
    """At most this many of the places 0 to number - 1, evenly spread, both ends among them."""
    if number <= max(2, most):
        return list(range(number))
    return [round(place * (number - 1) / (max(2, most) - 1)) for place in range(max(2, most))]


def _leaves(made: Any, outer: str = "", *, task: bool = True) -> Iterator[tuple[str, str]]:
    """Names and values of the fields that are not at their default, through nested specs.

    Neither of parent runs and networks, nor of rows of the data, which the result row's columns count; of tasks only
    if `task`.
    """
    for field in fields(made):
        value = getattr(made, field.name)
        several = value if isinstance(value, tuple) else (value,)
        if value == field.default or any(isinstance(each, Run | Network | AnyPart) for each in several):
            continue
        name = outer + field.name
        if is_dataclass(value):
            yield name, _name(value)
            if task or field.name != "task":
                yield from _leaves(value, "" if name in FLAT else f"{name}_")
        elif not any(map(is_dataclass, several)):
            yield name, _worded(value)


def _name(spec: Any) -> str:
    """What a nested spec calls itself: its label or name, else its class."""
    label = getattr(spec, "label", None)
    own = label() if callable(label) else getattr(type(spec), "name", None) and spec.name
    return own if isinstance(own, str) else type(spec).__name__


def _worded(value: Any) -> str:
    if callable(value):
        return f"{value.__module__}:{value.__qualname__}"
    return (", ".join(map(_worded, value)) or "none") if isinstance(value, tuple | list) else str(value)


def _clipped(text: str, longest: int) -> str:
    """The text, its end replaced by a fingerprint of the whole where it is too long."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 11].rstrip()} - {hashlib.sha256(text.encode()).hexdigest()[:8]}"
