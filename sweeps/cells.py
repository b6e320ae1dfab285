"""The columns of a planned cell, and the choice of a part of a grid by them (`--where num_layers=2`)."""

import operator
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from subind.identity.run_ids import run_id
from subind.specs import rules
from subind.specs import runs as specs
from subind.specs.quoting import quoted, shortened
from subind.specs.runs import Donor, ImageDonor, ImageMask, ImageTransfer, Mask, Spec, Transfer
from sweeps.image_cells import image_columns

MOST_VALUES = 12
"""A message lists this many values of a column, and of more only the ends."""

Columns = dict[str, Any]
Cell = Transfer | ImageTransfer | ImageDonor
"""What a grid is made of: recipients, and donors for images that are only evaluated."""


def planned_columns(spec: Spec) -> Columns:
    """The columns of a result row that the spec alone decides; a column that does not apply is absent."""
    return next(planned_rows([spec]))


def planned_rows(several: Iterable[Spec]) -> Iterator[Columns]:
    """The planned columns of each spec; what many of them have from the same parent is found once."""
    of_start: dict[tuple[object, ...], Columns] = {}
    for spec in several:
        start = _start(spec)
        if start not in of_start:
            of_start[start] = _start_columns(spec)
        yield _own_columns(spec) | of_start[start]


def _start(spec: Spec) -> tuple[object, ...]:
    """What a run starts from: its class or its control's, and its parent's id or its architecture."""
    kind = type(spec.control if isinstance(spec, Transfer | ImageTransfer) else spec)
    of = specs.parents(spec)
    return kind, run_id(of[0]) if of else specs.architecture(spec)


def _own_columns(spec: Spec) -> Columns:
    columns: Columns = {"run_id": run_id(spec), "stage": specs.stage(spec), "seed": spec.seed}
    if not isinstance(spec, ImageTransfer):
        columns["kept_epoch"] = spec.kept_epoch
    match spec:
        case Transfer():
            columns |= _task_columns(spec.task) | {"chance_agreement": _chance_agreement(spec)}
            columns["num_ambiguous"] = spec.num_ambiguous
            columns["num_disambiguation"] = spec.num_disambiguation
            columns["rivals"] = list(spec.rivals)
        case Mask() | Donor():
            columns |= _task_columns(specs.task(spec)) | _ancestor_columns(spec)
        case ImageTransfer():
            columns |= image_columns(spec)
        case ImageMask() | ImageDonor():
            columns |= image_columns(spec) | _ancestor_columns(spec)
        case _:
            assert_never(spec)
    return columns


def _task_columns(task: specs.ArithmeticTask) -> Columns:
    chance = rules.constant_accuracy(task.rule, modulus=task.modulus, num_integers=task.num_integers)
    columns: Columns = {"rule": task.rule, "modulus": task.modulus, "num_integers": task.num_integers}
    return columns if chance is None else columns | {"chance_accuracy": chance}


def _chance_agreement(spec: Transfer) -> list[float | None]:
    task = spec.task
    return [
        rules.agreement(task.rule, rival, modulus=task.modulus, num_integers=task.num_integers) for rival in spec.rivals
    ]


def _start_columns(spec: Spec) -> Columns:
    model = specs.architecture(spec)
    columns: Columns = {"num_layers": model.num_layers, "d_model": model.d_model}
    if isinstance(spec, Transfer | ImageTransfer):
        columns["control"] = specs.control_name(spec.control)
    for parent in specs.parents(spec):
        columns["parent_id"] = run_id(parent)
        for ancestor in specs.lineage(parent):
            assert not isinstance(ancestor, Transfer | ImageTransfer)
            columns |= _ancestor_columns(ancestor)
    return columns


def _ancestor_columns(ancestor: specs.Parent) -> Columns:
    match ancestor:
        case Mask() | ImageMask():
            return {
                "mask_seed": ancestor.seed,
                "subtask": ancestor.subtask.rule if isinstance(ancestor, Mask) else "mean_pooled",
                "penalty": ancestor.penalty,
                "temperature_schedule": ancestor.temperature.name,
                "final_temperature": ancestor.temperature.final,
            }
        case Donor() | ImageDonor():
            return {"donor_seed": ancestor.seed, "donor_kind": _donor_kind(ancestor)}
        case _:
            assert_never(ancestor)


def _donor_kind(donor: Donor | ImageDonor) -> str:
    match donor.weights:
        case specs.ImportedWeights() | specs.PublishedWeights():
            return "imported"
        case specs.FreshWeights():
            return "trained" if donor.num_epochs else "untrained"
        case _:
            assert_never(donor.weights)


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
        if self.column == "rule" or (self.column == "subtask" and found != "mean_pooled"):
            try:
                return rules.canonical(self.value)
            except ValueError as error:
                raise ValueError(f"--where {shortened(str(self))}: {error}") from None
        try:
            return type(found)(self.value)
        except (TypeError, ValueError):
            kind = type(found).__name__
            remedy = f"{self.column} is of type {kind}, such as {quoted(found)}"
            raise ValueError(f"--where {shortened(str(self))}: {quoted(self.value)} is no {kind}: {remedy}") from None

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
    match = re.fullmatch(r"(\w+)\s*(!=|<=|>=|==|=|<|>)\s*(\S.*)", text.strip())
    if match is None:
        remedy = "write a column, one of = != < <= > >=, and a value, such as seed<3"
        raise ValueError(f"--where {quoted(text)} is no condition: {remedy}")
    column, sign, value = match.groups()
    return Condition(column=column, sign="=" if sign == "==" else sign, value=value)


def chosen(cells: Sequence[Cell], conditions: Iterable[Condition]) -> tuple[Cell, ...]:
    """The cells for which all conditions hold. Raises ValueError for an unknown column and if no cell is left."""
    wanted = tuple(conditions)
    if not wanted:
        return tuple(cells)
    columns = list(planned_rows(cells))
    known = sorted({name for each in columns for name, value in each.items() if isinstance(value, int | float | str)})
    for each in wanted:
        if each.column not in known:
            unknown = f"{quoted(each.column)} is no column of this grid"
            raise ValueError(f"--where {shortened(str(each))}: {unknown}; it has {', '.join(known)}")
    left = tuple(cell for cell, of in zip(cells, columns, strict=True) if all(each.holds(of) for each in wanted))
    if not left:
        together = " and ".join(shortened(str(each)) for each in wanted)
        raise ValueError(f"no cell of the grid has {together}: {_what_there_is(columns, wanted)}")
    return left


def _what_there_is(columns: Sequence[Columns], wanted: Iterable[Condition]) -> str:
    """The values of each column whose condition no cell meets; where every one is met alone, that they are not."""
    unmet = {each.column: None for each in wanted if not any(each.holds(of) for of in columns)}
    if not unmet:
        return "each holds for some cell and all of them for none; leave one out"
    return "; ".join(_values_told(name, {of[name] for of in columns if of.get(name) is not None}) for name in unmet)


def _values_told(name: str, values: Collection[Any]) -> str:
    """The values of a column in order, of many the first and the last."""
    several = [str(value) for value in sorted(values)]
    if len(several) > MOST_VALUES:
        several = [*several[: MOST_VALUES - 2], "…", several[-1]]
    return f"its {name} is {', '.join(several)}"
