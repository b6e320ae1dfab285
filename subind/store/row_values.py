"""The values of a result row: those known from the plan, and those from the record."""

from collections.abc import Mapping
from typing import Any

from subind.specs.base import LARGEST_INTEGER, is_text
from subind.specs.quoting import quoted
from subind.store.results import RunRecord
from subind.store.row_columns import COLUMNS, COUNT, LIST, TEXT, Column

WEIGHTS = "weights.safetensors"
"""The artifact of a run whose network is kept."""

_PLANNED = {each.name: each for each in COLUMNS if each.source == "plan"}
_NAMES = frozenset(each.name for each in COLUMNS)
_WITH_CURVE = frozenset(each.name.removeprefix("curve_") for each in COLUMNS if each.source == "curve") | {"epoch"}


def planned_values(columns: Mapping[str, Any]) -> dict[str, Any]:
    """What tasks, networks, starts and the plan say of a run, by column; what has no column stands in `fields`.

    Raises ValueError for a name that is a column of the record's, and a value that the column does not hold.
    """
    values: dict[str, Any] = {}
    others: list[tuple[str, str]] = []
    for name, value in columns.items():
        if column := _PLANNED.get(name):
            if not _holds(column.type, value):
                raise ValueError(f"columns() gives {name} = {quoted(value)}: the column is of type {column.type}")
            values[name] = value
        elif name in _NAMES:
            raise ValueError(f"columns() gives {quoted(name)}, which is measured: choose another name")
        elif not is_text(name) or not is_text(text := _text(value)):
            raise ValueError(f"columns() gives {quoted(name)} = {quoted(value)}, which cannot be spelled")
        else:
            others.append((name, text))
    return {**values, "fields": sorted(others)} if others else values


def _holds(declared: str, value: Any) -> bool:
    """Whether a column of the type holds the value; None is an absent one."""
    if value is None:
        return True
    if declared.startswith(LIST):
        return isinstance(value, list | tuple) and all(_holds(declared.removeprefix(LIST), each) for each in value)
    if declared == TEXT:
        return is_text(value)
    kinds = (int,) if declared == COUNT else (int, float)
    return type(value) in kinds and abs(value) <= LARGEST_INTEGER


def measured_values(record: RunRecord) -> dict[str, Any]:
    """The values of RECORD_COLUMNS that the record has.

    Raises ValueError if it lacks its epochs, or the agreement with a rival of its task where it has any.
    """
    row = {each.name: value for each in COLUMNS if (value := _measured(each, record)) is not None}
    provenance = record.provenance
    return row | {
        "curve_epoch": _epochs(record),
        "measurements": sorted(record.measurements.items()),
        "curves": sorted((name, each) for name, each in record.curves.items() if not _has_column(name)),
        "is_kept": WEIGHTS in record.artifacts,
        "commit": provenance.commit,
        "dirty": provenance.dirty,
        "device": provenance.device,
        "seconds": provenance.seconds,
        "pack_size": provenance.pack_size,
    }


def _measured(column: Column, record: RunRecord) -> Any:
    """The value of one column; None where the record has none."""
    of_curve = column.name.startswith("curve_")
    values: Mapping[str, Any] = record.curves if of_curve else record.measurements
    match column.source:
        case "measurement":
            value = values.get(column.name)
            return _whole(value, column.name, record) if value is not None and column.type == COUNT else value
        case "curve":
            return values.get(column.name.removeprefix("curve_"))
        case "measurement by name":
            start = f"{column.prefix}."
            return sorted((name.removeprefix(start), values[name]) for name in values if name.startswith(start)) or None
        case "measurement by rival":
            return _by_rival(column.prefix, values, record)
        case _:
            return None


def _by_rival(prefix: str, values: Mapping[str, Any], record: RunRecord) -> list[Any] | None:
    """The values named `prefix.RIVAL` in the order of the task's rivals; None where there is none of them."""
    names = [f"{prefix}.{rival}" for rival in _rivals(record)]
    return [_held(values, name, record) for name in names] if any(name in values for name in names) else None


def _rivals(record: RunRecord) -> list[str]:
    """The rivals that the spec's task names, which nothing has checked."""
    task = record.spec.get("task", {})
    rivals = task.get("rivals", []) if isinstance(task, Mapping) else []
    if not isinstance(rivals, list):
        raise _refused(record, f"has rivals = {str(rivals)[:80]}")
    return rivals


def _has_column(name: str) -> bool:
    prefix, dot, _ = name.partition(".")
    return name in _WITH_CURVE or (bool(dot) and prefix == "rival_agreement")


def _epochs(record: RunRecord) -> list[int] | None:
    """The epochs of the curves; None for a run that has no curves."""
    if not record.curves:
        return None
    return [_whole(epoch, "epoch", record) for epoch in _held(record.curves, "epoch", record)]


def _whole(value: float, name: str, record: RunRecord) -> int:
    if not abs(value) < 2**31:
        raise _refused(record, f"has {name} = {value}")
    return int(value)


def _held(parts: Mapping[str, Any], name: str, record: RunRecord) -> Any:
    if name not in parts:
        raise _refused(record, f"lacks {quoted(name)}")
    return parts[name]


def _refused(record: RunRecord, why: str) -> ValueError:
    file = f"runs/*/*-{record.run_id}/record.json"
    return ValueError(f"the record of run {record.run_id} ({file}) {why}: remove the run's folder and run it again")


def _text(value: Any) -> str:
    """A value that no column holds, as text; several are joined by commas."""
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)
