"""The command that a tuning ends with: the one that chooses, or the one that sweeps what was chosen."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from subind.specs.run import Run, lineage
from subind.specs.runs import Discover
from sweeps.grids import Grid
from sweeps.grids.overrides import overridden
from sweeps.grids.tuned import Choice
from sweeps.hosts.secrets import redacted

NOT_SET = ("validation", "kept_epoch")
"""Fields in which a trial differs from the grid's masks because it is judged on samples of its own."""


def command(verb: str, grid: str, arguments: Sequence[str], options: Mapping[str, str | None]) -> str:
    """The command line, with the options that have a value; a password in one of them is hidden."""
    given = [part for name, value in options.items() if value is not None for part in (name, redacted(value, value))]
    return shlex.join(["subind", verb, grid, *arguments, *given])


def set_texts(grid: Grid, choices: Sequence[Choice], published: Discover) -> list[str]:
    """The texts of `--set` that give the grid's masks the chosen setting instead of the published one.

    None where that cannot be: with several choices, or if the choice differs in more than fields with a value each.
    """
    if len(choices) != 1:
        return []
    chosen = choices[0].spec()
    old, new = dict(_values(published)), dict(_values(chosen))
    lasts = Counter(path[-1] for path in new)
    found = [
        f"mask.{path[-1] if lasts[path[-1]] == 1 else '.'.join(path)}={value}"
        for path, value in new.items()
        if old.get(path) != value
    ]
    try:
        cells = overridden(grid, found).cells
    except ValueError:
        return []
    masks = {run for cell in cells for run in lineage(cell) if isinstance(run, Discover)}
    wanted = list(_values(chosen))
    return found if any(list(_values(mask)) == wanted for mask in masks) else []


def _values(spec: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The values of a mask's fields by their paths, as `--set` names them; those of its parents are left out."""
    for field in fields(spec):
        value, place = getattr(spec, field.name), (*path, field.name)
        if place[0] in NOT_SET or isinstance(value, Run):
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if is_dataclass(item):
                yield from _values(item, place)
            else:
                yield place, item
