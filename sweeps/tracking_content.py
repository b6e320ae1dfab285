"""What a run of the mirror holds: params, tags and metrics, from a spec and its record.

Params are flat. A run's own fields keep their names; a field of the mask or donor that it descends from has the prefix
`mask_` or `donor_`, except for what rows are commonly grouped by. Metrics: `curve/…` over epochs; single values without
that prefix. A name of the record such as `density.h.0.attn.c_attn.weight` becomes `density/h.0.attn.c_attn.weight`, for
the UI makes a section of each prefix. Everything here is a function of the record, timestamps included: logging it a
second time changes nothing.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime

from subind.specs import runs as specs
from subind.specs.runs import Spec
from subind.store.results import RunRecord
from subind.store.store import slug

RUN_ID_TAG = "subind.run_id"
"""The tag that keys a run of the mirror."""

LONGEST_NAME = 250
LONGEST_VALUE = 6000
"""Characters that MLflow takes in the name of a metric and in the value of a param."""

PLOTTED_PARAMS = ("num_disambiguation", "num_layers")
"""Params that are logged as metrics too: a param is a text, and a chart puts texts on no numeric axis."""

_RENAMED = {
    ("TemperatureSchedule", "name"): "temperature_schedule",
    ("TemperatureSchedule", "final"): "final_temperature",
    ("AdamW", "schedule"): "learning_rate_schedule",
}
_UNPREFIXED = {"penalty", "temperature_schedule", "final_temperature", "num_layers", "d_model", "num_heads", "dropout"}
"""Fields of an ancestor that no run has a different one of."""

_WORDS = {"**": " pow ", "*": " times ", "+": " plus ", "(": " open ", ")": " close "}
"""Operators of a rule that MLflow allows in no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of a metric; `timestamp` in milliseconds since 1970."""

    name: str
    value: float
    timestamp: int
    step: int


def params(spec: Spec) -> dict[str, str]:
    """The spec and all that it descends from as flat texts of at most 6,000 characters."""
    found = {"stage": str(specs.stage(spec)), "num_layers": str(specs.architecture(spec).num_layers)}
    for ancestor in specs.lineage(spec):
        stage = specs.stage(ancestor)
        prefix = "" if ancestor is spec else f"{stage}_"
        for name, value in _leaves(ancestor):
            found[name if name in _UNPREFIXED else prefix + name] = value
        if stage != "transfer":
            found[f"{stage}_seed"] = str(ancestor.seed)
        if isinstance(ancestor, specs.Mask):
            found["subtask"] = ancestor.subtask.rule
        if isinstance(ancestor, specs.ImageMask):
            found["subtask"] = "mean_pooled"
    return {name: _clipped(value, LONGEST_VALUE) for name, value in found.items()}


def name(spec: Spec) -> str:
    """What the UI calls the run; the tag of its id tells it from another of the same name."""
    return slug(spec) if specs.stage(spec) == "transfer" else f"{specs.stage(spec)}-{slug(spec)}"


def tags(spec: Spec, record: RunRecord) -> dict[str, str]:
    """The key of the run and where its numbers come from."""
    provenance = record.provenance
    found = {
        RUN_ID_TAG: record.run_id,
        "subind.folder": f"{slug(spec)}-{record.run_id}",
        "subind.parents": " ".join(record.parents),
        "subind.device": provenance.device,
        "subind.host": provenance.host,
        "subind.dirty": "unknown" if provenance.dirty is None else str(provenance.dirty).lower(),
        "subind.pack_size": str(provenance.pack_size),
        "mlflow.source.name": "subind",
        "mlflow.source.git.commit": provenance.commit,
    }
    return {name: value for name, value in found.items() if value}


def points(spec: Spec, record: RunRecord) -> list[Point]:
    """Curves with step = epoch, then the measurements and the numeric axes at step 0.

    Raises ValueError if a curve has another length than the curve `epoch` or the start is no time.
    """
    start, end = started(record), ended(record)
    singles = {**record.measurements, "seconds": record.provenance.seconds}
    known = params(spec)
    singles.update({axis: float(known[axis]) for axis in PLOTTED_PARAMS if axis in known})
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
        if name == "epoch":
            continue
        key = _clipped(f"curve/{metric_name(name)}", LONGEST_NAME)
        for index, (epoch, value) in enumerate(zip(epochs, values, strict=True), start=1):
            time = start + (end - start) * index // len(epochs)
            yield Point(name=key, value=float(value), timestamp=time, step=int(epoch))


def _leaves(value: object) -> Iterator[tuple[str, str]]:
    """Names and values of all fields, through nested specs, but not into a parent run."""
    for field in fields(value):  # type: ignore[arg-type]
        found = getattr(value, field.name)
        match found:
            case specs.Donor() | specs.Mask() | specs.ImageDonor() | specs.ImageMask():
                continue
            case specs.NoClip() | specs.ClipNorm():
                yield field.name, type(found).__name__
                yield from _leaves(found)
            case _ if field.name == "control":
                yield "control", specs.control_name(found)
                yield from _leaves(found)
            case _ if is_dataclass(found):
                yield from _leaves(found)
            case tuple():
                yield field.name, ", ".join(map(str, found)) or "none"
            case _:
                yield _RENAMED.get((type(value).__name__, field.name), field.name), str(found)


def _clipped(text: str, longest: int) -> str:
    """The text, its end replaced by a fingerprint of the whole where it is too long."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 11].rstrip()} - {hashlib.sha256(text.encode()).hexdigest()[:8]}"
