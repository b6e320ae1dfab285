"""The columns of a planned cell, and the choice of a part of a grid by them (`--where num_layers=2`)."""

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from subind import rules
from subind import spec as specs
from subind.fingerprint import run_id
from subind.spec import Donor, Mask, Spec, Transfer

Columns = dict[str, Any]


def planned_columns(spec: Spec) -> Columns:
    """The columns of a result row that the spec alone decides; a column that does not apply is absent."""
    task = specs.task(spec)
    model = specs.model(spec)
    columns: Columns = {
        "run_id": run_id(spec),
        "stage": specs.stage(spec),
        "num_layers": model.num_layers,
        "d_model": model.d_model,
        "rule": task.rule,
        "modulus": task.modulus,
        "num_integers": task.num_integers,
        "seed": spec.seed,
    }
    if isinstance(spec, Transfer):
        columns |= {
            "control": specs.control_name(spec.control),
            "num_ambiguous": spec.num_ambiguous,
            "num_disambiguation": spec.num_disambiguation,
            "rivals": list(spec.rivals),
        }
    for parent in specs.parents(spec):
        columns["parent_id"] = run_id(parent)
    for ancestor in specs.lineage(spec):
        columns |= _ancestor_columns(ancestor)
    return columns


def _ancestor_columns(ancestor: Spec) -> Columns:
    match ancestor:
        case Mask():
            return {
                "mask_seed": ancestor.seed,
                "subtask": ancestor.subtask.rule,
                "penalty": ancestor.penalty,
                "temperature_schedule": ancestor.temperature.name,
                "final_temperature": ancestor.temperature.final,
            }
        case Donor():
            return {"donor_seed": ancestor.seed}
        case Transfer():
            return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A comparison of a cell's column with a value."""

    column: str
    sign: str
    value: str

    def holds(self, columns: Columns) -> bool:
        """Whether a cell with these columns is meant; a cell without the column is not.

        Raises ValueError if the value is not of the column's type.
        """
        found = columns.get(self.column)
        return found is not None and _COMPARISONS[self.sign](found, self._like(found))

    def _like(self, found: Any) -> Any:
        """The value as one of the column that holds `found`."""
        if self.column in {"rule", "subtask"}:
            try:
                return rules.canonical(self.value)
            except ValueError as error:
                raise ValueError(f"--where {self}: {error}") from None
        try:
            return type(found)(self.value)
        except (TypeError, ValueError):
            kind = type(found).__name__
            remedy = f"{self.column} is of type {kind}, such as {found!r}"
            raise ValueError(f"--where {self}: {self.value!r} is no {kind}: {remedy}") from None

    def __str__(self) -> str:
        return f"{self.column}{self.sign}{self.value}"


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def condition(text: str) -> Condition:
    """The condition that a text such as `num_layers=2` or `seed<3` says. Raises ValueError with the remedy."""
    match = re.fullmatch(r"\s*(\w+)\s*(!=|<=|>=|==|=|<|>)\s*(\S.*?)\s*", text)
    if match is None:
        remedy = "write a column, one of = != < <= > >=, and a value, such as seed<3"
        raise ValueError(f"--where {text!r} is no condition: {remedy}")
    column, sign, value = match.groups()
    return Condition(column=column, sign="=" if sign == "==" else sign, value=value)


def chosen(cells: Sequence[Transfer], conditions: Iterable[Condition]) -> tuple[Transfer, ...]:
    """The cells for which all conditions hold. Raises ValueError for an unknown column and if no cell is left."""
    wanted = tuple(conditions)
    if not wanted:
        return tuple(cells)
    columns = [planned_columns(cell) for cell in cells]
    known = sorted({name for each in columns for name, value in each.items() if isinstance(value, int | float | str)})
    for each in wanted:
        if each.column not in known:
            raise ValueError(f"--where {each}: {each.column!r} is no column of this grid; it has {', '.join(known)}")
    left = tuple(cell for cell, of in zip(cells, columns, strict=True) if all(each.holds(of) for each in wanted))
    if not left:
        raise ValueError(f"no cell of the grid has {' and '.join(map(str, wanted))}: widen the conditions")
    return left
