"""The columns of a planned cell, and the selection of cells by them (`--where num_layers=2`)."""

import operator
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from subind.identity.run_ids import run_id
from subind.specs import rules
from subind.specs.quoting import quoted, shortened
from subind.specs.run import Run, lineage

MOST_VALUES = 12
"""A message lists this many values of a column, and of more only the ends."""

OF_RULES = ("rule", "subtask")
"""Columns with rules, if the run's task is arithmetic."""

Columns = dict[str, Any]


def planned_columns(run: Run) -> Columns:
    """The columns of a result row that depend on the run's spec only; a column that does not apply is absent.

    If a run and its ancestors have the same column, its own value counts, then that of the nearest ancestor.
    """
    return next(planned_rows([run]))


def planned_rows(several: Iterable[Run]) -> Iterator[Columns]:
    """The planned columns of each run; columns inherited from shared parents are computed once."""
    inherited: dict[tuple[str, ...], Columns] = {}
    for run in several:
        parents = tuple(map(run_id, run.parents()))
        if parents not in inherited:
            inherited[parents] = _inherited(run)
        yield inherited[parents] | _own(run)


def _own(run: Run) -> Columns:
    network = run.network
    model = {"model": network.label(run.task.signature()), "task": run.task.label()}
    return {"run_id": run_id(run), "stage": run.stage, "seed": run.seed, **network.columns(), **model, **run.columns()}


def _inherited(run: Run) -> Columns:
    parents = tuple(map(run_id, run.parents()))
    ancestors = [each for each in lineage(run) if each is not run]
    columns: Columns = {}
    for each in reversed(ancestors):
        columns |= each.inherited_columns()
    return columns | ({"parent_id": parents[0], "parent_ids": list(parents)} if parents else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A comparison of a cell's column with a value."""

    column: str
    sign: str
    value: str

    def holds(self, columns: Columns) -> bool:
        """Whether a cell with these columns is selected; a cell without the column is not.

        Raises ValueError if the value is not of the column's type.
        """
        found = columns.get(self.column)
        return found is not None and _COMPARISONS[self.sign](found, self._like(found))

    def _like(self, found: Any) -> Any:
        """The value as one of the column that holds `found`."""
        if self.column in OF_RULES and _is_rule(found):
            try:
                return rules.canonical(self.value, operands=rules.OPERANDS)
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


def _is_rule(found: Any) -> bool:
    """Whether the value of a column is a rule of arithmetic, and not a name that another task has there."""
    try:
        return bool(rules.canonical(found, operands=rules.OPERANDS) == found)
    except ValueError:
        return False


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def condition(text: str) -> Condition:
    """The condition in a text such as `num_layers=2` or `seed<3`. Raises ValueError with the remedy."""
    match = re.fullmatch(r"(\w+)\s*(!=|<=|>=|==|=|<|>)\s*(\S.*)", text.strip())
    if match is None:
        remedy = "write a column, one of = != < <= > >=, and a value, such as seed<3"
        raise ValueError(f"--where {quoted(text)} is no condition: {remedy}")
    column, sign, value = match.groups()
    return Condition(column=column, sign="=" if sign == "==" else sign, value=value)


def chosen(cells: Sequence[Run], conditions: Iterable[Condition]) -> tuple[Run, ...]:
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
