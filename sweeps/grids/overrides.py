"""`--set mask.penalty=1e-6`: a grid with other values in the fields of its runs.

A name is the end of a path of fields, such as `penalty` or `method.penalty`. A stage may come first: `mask.penalty`.
The value replaces the field in all runs that have it, parents included, so cells that share a donor still share it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any

from subind.specs.quoting import quoted, shortened
from subind.specs.run import STAGES, Run
from sweeps.grids import Grid, read_grid

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A value, as text, for the fields that a path names; `stage` is empty where runs of all stages are meant."""

    stage: str
    path: tuple[str, ...]
    text: str

    def names(self, stage: str, path: tuple[str, ...]) -> bool:
        """Whether it names the field at the path in runs of the stage."""
        return self.stage in ("", stage) and path[-len(self.path) :] == self.path

    def __str__(self) -> str:
        return f"{'.'.join(filter(None, (self.stage, *self.path)))}={self.text}"


def override(text: str) -> Override:
    """The override that a text such as `mask.penalty=1e-6` says. Raises ValueError with the remedy."""
    name, sign, value = (part.strip() for part in text.partition("="))
    first, *rest = name.split(".")
    path = tuple(rest) if first in STAGES and rest else (first, *rest)
    if not sign or not value or not all(part.isidentifier() for part in path):
        raise ValueError(f"--set {quoted(text)} sets nothing: write FIELD=VALUE, such as mask.penalty=1e-6")
    return Override(stage=first if len(path) == len(rest) else "", path=path, text=value)


def given_grid(name: str, texts: Iterable[str] | None) -> Grid:
    """The grid of that name or file with the values that a command was given. Raises ValueError as its parts do."""
    return overridden(read_grid(name), texts or ())


def overridden(grid: Grid, texts: Iterable[str]) -> Grid:
    """The grid with other values in its runs' fields; the grid itself if there are no texts.

    Raises ValueError if a name is no field of its runs, a value cannot be that field's, or cells become equal.
    """
    overrides = tuple(override(text) for text in texts)
    if not overrides:
        return grid
    change = _Change(overrides)
    cells = tuple(change.of_run(cell) for cell in grid.cells)
    for each in overrides:
        if each not in change.applied:
            raise ValueError(f"--set {shortened(str(each))}: {_unknown(each, change.known)}")
    if len(set(cells)) < len(set(grid.cells)):
        raise ValueError(
            f"--set {' '.join(map(str, overrides))}: {len(set(grid.cells))} cells become {len(set(cells))}, because "
            "they differ in this field: choose the ones that you want with --where"
        )
    return replace(grid, cells=cells, overrides=tuple(sorted(str(change.applied[each]) for each in overrides)))


class _Change:
    """The change of runs by overrides: which were applied, and the names of all fields that were seen."""

    def __init__(self, overrides: tuple[Override, ...]) -> None:
        self._overrides = overrides
        self._runs: dict[int, tuple[Run, Run]] = {}
        self.applied: dict[Override, Override] = {}
        self.known: dict[str, None] = {}

    def of_run(self, run: Run) -> Run:
        """The run with the new values, those of its parents included; the same object for the same object."""
        if id(run) not in self._runs:
            self._runs[id(run)] = run, self._of_spec(run, run.stage, ())
        return self._runs[id(run)][1]

    def _of_spec(self, spec: Any, stage: str, path: tuple[str, ...]) -> Any:
        new = {}
        for field in fields(spec):
            old, place = getattr(spec, field.name), (*path, field.name)
            self.known[".".join((stage, *place))] = None
            overrides = [each for each in self._overrides if each.names(stage, place)]
            if len(overrides) > 1:
                raise ValueError(f"--set {overrides[0]} and {overrides[1]} name the same field: leave one out")
            value = self._set(overrides[0], old) if overrides else self._of_value(old, stage, place)
            if value is not old:
                new[field.name] = value
        if not new:
            return spec
        try:
            return replace(spec, **new)
        except ValueError as error:
            raise ValueError(f"--set {' '.join(sorted(map(str, self.applied)))}: {error}") from None

    def _set(self, given: Override, old: Any) -> Any:
        """The new value; the override with the value in one spelling is what the grid is called by."""
        value = _value(given, old)
        self.applied.setdefault(given, replace(given, text=str(value)))
        return value

    def _of_value(self, value: Any, stage: str, path: tuple[str, ...]) -> Any:
        if isinstance(value, Run):
            return self.of_run(value)
        if is_dataclass(value) and not isinstance(value, type):
            return self._of_spec(value, stage, path)
        if isinstance(value, tuple):
            several = tuple(self._of_value(each, stage, path) for each in value)
            return value if all(new is old for new, old in zip(several, value, strict=True)) else several
        return value


def _value(given: Override, old: Any) -> Any:
    """The text as a value of the type that the field has now."""
    kind = type(old)
    if kind not in _KINDS:
        inner = ", ".join(each.name for each in fields(old)) if is_dataclass(old) else ""
        remedy = f"set one of its fields: {inner}" if inner else "change it in a grid file"
        raise ValueError(f"--set {shortened(str(given))}: the field holds a {kind.__name__}: {remedy}")
    try:
        return {"true": True, "false": False}[given.text.lower()] if kind is bool else kind(given.text)
    except (ValueError, KeyError):
        raise ValueError(
            f"--set {shortened(str(given))}: {quoted(given.text)} is not {_KINDS[kind]}: the field is {quoted(old)} now"
        ) from None


def _unknown(given: Override, known: Iterable[str]) -> str:
    """That no run has such a field, with the names that are near."""
    near = ", ".join(_near(given, tuple(known))) or "fields of mask, such as mask.penalty"
    return f"no run of this grid has such a field; near are {near}"


def _near(given: Override, known: tuple[str, ...], most: int = 5) -> Iterator[str]:
    """Names with an equal or a similar last field, those of the stage that is meant first."""
    lasts = {name.rpartition(".")[2] for name in known}
    similar = get_close_matches(given.path[-1], lasts, n=2, cutoff=0.6)
    named = [name for last in similar for name in known if name.rpartition(".")[2] == last]
    yield from sorted(named, key=lambda name: not name.startswith(f"{given.stage}."))[:most]
