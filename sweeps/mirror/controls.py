"""What the experiment `GRID.controls` shows: a run per control and seed, and one per control of means.

It follows from the recipients that MLflow has. The axis is the number of samples, a metric's step. What else a control
and a seed have several values of is held: each combination has runs of its own, and a recipient that lacks a setting
(a control without a mask has no penalty) stands in every combination that it agrees with.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean

from subind.store.controls import REFERENCE, colors
from sweeps.mirror.content import RUN_ID_TAG, Point
from sweeps.mirror.experiment import Content

MEASURES = {"test_accuracy": 1, "shape_bias": 1, "accuracy_original": 1, "test_loss": -1}
"""What controls are compared by, the first that they have; -1 where less is better."""

AXES = ("num_disambiguation", "num_training_images")
"""Columns that are the axis before others named num_."""

NO_AXES = ("num_layers", "num_heads", "num_epochs", "num_integers")
HELD = ("num_layers", "model", "d_model", "rule", "modulus", "num_integers", "subtask", "penalty", "final_temperature")
"""Columns that are held before others: what follows from one that is held is not named again."""

NO_SETTINGS = {"stage", "control", "seed", "mask_seed", "donor_seed"}
DIGITS = 9
"""Of a gap: MLflow shows all digits of a float."""

KIND_TAG = "kind"
COLOR_TAG = "mlflow.runColor"

Interval = Callable[[Sequence[float]], tuple[float, float] | None]
"""The ends of the interval of a mean of values over seeds; None where there is none."""

Values = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A recipient as MLflow has it; `ended` in milliseconds since 1970."""

    run_id: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    ended: int


def cell(run_id: str, params: Mapping[str, str], metrics: Mapping[str, float], ended: int) -> Cell | None:
    """What is compared of a run; None if it is no recipient with a measure."""
    measured = {name: metrics[name] for name in MEASURES if name in metrics}
    if "control" not in params or params.get("stage") != "transfer" or not measured:
        return None
    return Cell(run_id=run_id, params=dict(params), metrics=measured, ended=ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The runs of the experiment, and what its views are made of: `held` values by name, of each combination."""

    measure: str
    axis: str
    steps: tuple[int, ...]
    combinations: tuple[Mapping[str, str], ...]
    runs: tuple[Content, ...]


def comparison(cells: Iterable[Cell], planned: Collection[str], interval: Interval | None) -> Comparison | None:
    """The comparison of all cells; of two cells that nothing tells apart, the planned one. None without cells.

    Without `interval` there are no runs of means.
    """
    several = list(cells)
    measure = next((name for name in MEASURES if any(name in each.metrics for each in several)), "")
    several = [each for each in several if measure in each.metrics]
    if not several:
        return None
    axis, held = _settings(several)
    found = _combinations(several, held)
    groups = [
        _Group(values=dict(zip(held, values, strict=True)), measure=measure, axis=axis, cells=tuple(some))
        for values, some in found.items()
    ]
    runs = chain.from_iterable(group.runs(frozenset(planned), interval) for group in groups)
    return Comparison(
        measure=measure,
        axis=axis,
        steps=tuple(sorted({_step(each, axis) for each in several})),
        combinations=tuple(group.values for group in groups),
        runs=tuple(runs),
    )


def _settings(cells: Sequence[Cell]) -> tuple[str, tuple[str, ...]]:
    """The axis, empty if there is none, and the other settings that tell the cells of a control and seed apart."""
    names = sorted({name for each in cells for name in each.params} - NO_SETTINGS, key=lambda name: (_rank(name), name))
    candidates = [name for name in names if _varies(cells, name, ())]
    axes = [name for name in candidates if name.startswith("num_") and name not in NO_AXES]
    axis = next((name for name in axes if all(each.params.get(name, "").isdecimal() for each in cells)), "")
    kept = [axis] if axis else []
    for name in candidates:
        if name not in kept and _varies(cells, name, kept):
            kept.append(name)
    return axis, tuple(name for name in kept if name != axis)


def _rank(name: str) -> int:
    order = (*AXES, *HELD)
    return order.index(name) if name in order else len(order)


def _varies(cells: Sequence[Cell], name: str, within: Sequence[str]) -> bool:
    """Whether cells of a control and seed that agree in the settings `within` have several values."""
    found: dict[Values, str] = {}
    for each in cells:
        key = tuple(each.params.get(given, "") for given in ("control", "seed", *within))
        if found.setdefault(key, each.params.get(name, "")) != each.params.get(name, ""):
            return True
    return False


def _combinations(cells: Sequence[Cell], held: Sequence[str]) -> dict[Values, list[Cell]]:
    """The cells of each combination of held values, those that lack a value in each that they agree with."""
    of_cells: dict[Values, list[Cell]] = defaultdict(list)
    for each in cells:
        of_cells[tuple(each.params.get(name, "") for name in held)].append(each)

    def agrees(values: Values, other: Values) -> bool:
        return all(mine in {"", theirs} for mine, theirs in zip(values, other, strict=True))

    whole = [values for values in of_cells if not any(values != other and agrees(values, other) for other in of_cells)]
    return {
        values: [each for other, some in of_cells.items() if agrees(other, values) for each in some]
        for values in sorted(whole, key=_numeric)
    }


def _numeric(values: Values) -> list[tuple[float, str]]:
    """Sorts numbers as such."""
    return [(float(value), "") if value.replace(".", "", 1).isdecimal() else (0.0, value) for value in values]


def _step(each: Cell, axis: str) -> int:
    return int(each.params[axis]) if axis else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """The cells of one combination."""

    values: Mapping[str, str]
    measure: str
    axis: str
    cells: tuple[Cell, ...]

    def runs(self, planned: frozenset[str], interval: Interval | None) -> list[Content]:
        of_seeds: dict[tuple[str, str], dict[int, list[Cell]]] = defaultdict(lambda: defaultdict(list))
        for each in self.cells:
            of_seeds[each.params["control"], each.params["seed"]][_step(each, self.axis)].append(each)
        measured = {
            key: {step: _one(some, planned, self.measure) for step, some in sorted(steps.items())}
            for key, steps in of_seeds.items()
        }
        looks = colors(control for control, _ in measured)
        seeds = sorted({seed for _, seed in measured}, key=lambda seed: (len(seed), seed))
        found = [
            self._of_seed(control, seed, measured, looks[control])
            for control in looks
            for seed in seeds
            if (control, seed) in measured
        ]
        if interval is not None:
            found += [self._of_means(control, measured, interval, looks[control]) for control in looks]
        return found

    def _of_seed(self, control: str, seed: str, measured: "_Measured", color: str) -> Content:
        own = measured[control, seed]
        points = []
        for step, (value, ended) in own.items():
            numbers = {self.measure: value} | ({self.axis: float(step)} if self.axis else {})
            if (gap := self._gap(control, seed, step, measured)) is not None:
                numbers["gap"] = gap
            points += [Point(name=name, value=number, timestamp=ended, step=step) for name, number in numbers.items()]
        params = {"control": control, "seed": seed, **self.values}
        return self._content("seed", params, points, name=f"{_worded(control)}, seed {seed}", tags={COLOR_TAG: color})

    def _gap(self, control: str, seed: str, step: int, measured: "_Measured") -> float | None:
        """By how much the subnetwork is better under the same seed and number of samples."""
        reference = measured.get((REFERENCE, seed), {}).get(step)
        if control == REFERENCE or reference is None:
            return None
        return round(MEASURES[self.measure] * (reference[0] - measured[control, seed][step][0]), DIGITS)

    def _of_means(self, control: str, measured: "_Measured", interval: Interval, color: str) -> Content:
        seeds = [seed for name, seed in measured if name == control]
        points, texts = [], {}
        for step in sorted({step for seed in seeds for step in measured[control, seed]}):
            having = [seed for seed in seeds if step in measured[control, seed]]
            values = [measured[control, seed][step][0] for seed in having]
            ended = max(measured[control, seed][step][1] for seed in having)
            gaps = [gap for seed in having if (gap := self._gap(control, seed, step, measured)) is not None]
            ends = interval(values)
            numbers = {self.measure: fmean(values), "num_seeds": float(len(values))}
            numbers |= {} if ends is None else {f"{self.measure}_low": ends[0], f"{self.measure}_high": ends[1]}
            numbers |= {"gap": round(fmean(gaps), DIGITS)} if gaps else {}
            numbers |= {self.axis: float(step)} if self.axis else {}
            points += [Point(name=name, value=number, timestamp=ended, step=step) for name, number in numbers.items()]
            around = "" if ends is None else f" [{ends[0]:.2f}, {ends[1]:.2f}]"
            texts[column(self.axis, step)] = f"{fmean(values):.2f}{around}"
        params = {"control": control, **self.values}
        return self._content("mean", params, points, name=_worded(control), tags={COLOR_TAG: color, **texts})

    def _content(
        self, kind: str, params: Mapping[str, str], points: Sequence[Point], *, name: str, tags: Mapping[str, str]
    ) -> Content:
        key = " ".join((kind, *(f"{name}={value}" for name, value in params.items())))
        held = "".join(f", {_worded(name)} {value}" for name, value in self.values.items() if value)
        return Content(
            run_id=key[:500],
            name=name + held,
            started=min(each.timestamp for each in points),
            ended=max(each.timestamp for each in points),
            params={name: value for name, value in params.items() if value},
            tags={RUN_ID_TAG: key[:500], KIND_TAG: kind, "mlflow.source.name": "subind", **tags},
            points=points,
            artifacts={},
        )


_Measured = Mapping[tuple[str, str], Mapping[int, tuple[float, int]]]
"""By control and seed, then by step: the measure and when it was there."""


def _one(cells: Sequence[Cell], planned: frozenset[str], measure: str) -> tuple[float, int]:
    """The mean of what only nested seeds tell apart, of the planned cells if there are any."""
    some = [each for each in cells if each.run_id in planned] or cells
    return fmean(each.metrics[measure] for each in some), max(each.ended for each in some)


def column(axis: str, step: int) -> str:
    """The tag of a run of means with mean and interval at a step."""
    return f"at {step}" if axis else "mean"


def _worded(name: str) -> str:
    return name.replace("_", " ")
