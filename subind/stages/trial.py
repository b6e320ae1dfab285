"""Trying out a run before it is planned: what a user's own task and network do with a few rows.

Nothing is trained. What shows only when code runs (rows of another shape, a loss of one number, a curve that nobody
measures) is refused here, and not after an hour.
"""

import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from subind.networks.network import State, patterns_match
from subind.specs.base import behaviour
from subind.specs.measurements import OnTestRows
from subind.specs.quoting import quoted, shortened
from subind.specs.run import MaskRun, Run
from subind.specs.runs import Measure
from subind.specs.training import BestEpoch
from subind.stages.parents import network_of
from subind.tasks.task import Rows, inputs_of, key
from subind.training.draws import Draws

NUM_ROWS = 4
LONGEST_REASON = 300
"""Letters of an error's message that are shown."""

Made = TypeVar("Made")


def check_built(several: Iterable[Run]) -> None:
    """Raise ValueError for a run whose own parts do not compute, by one line with its remedy.

    Tried are runs with a class or function of a user's, once for each task and network, and patterns of parameters.
    """
    tried = set()
    for run in several:
        network, task = run.network, run.task
        own = tuple(
            getattr(run, name, None) for name in ("rows", "num_evaluation_samples", "kept_epoch", "measurement")
        )
        if (kind := (network, task, run.stage, *own)) in tried:
            continue
        tried.add(kind)
        network.check_built(task.signature())
        if getattr(run, "beside", ()):
            _check_beside(run)
        if not task.behaviour and run.num_training_samples:
            _try_task(run)
        if isinstance(run, Measure) and isinstance(run.measurement, OnTestRows):
            _try_measured(run, run.measurement)


def _check_beside(run: Any) -> None:
    network = network_of(run)
    free = [name for name in network.shapes if name not in network.maskable]
    for pattern in run.beside:
        if not any(patterns_match(name, (pattern,)) for name in free):
            raise ValueError(
                f"beside has {quoted(pattern)}, which fits no parameter outside the mask: give one of {free}"
            )


def _try_measured(run: Measure, measurement: OnTestRows) -> None:
    """Make the test rows of a measurement of a user's task."""
    task = behaviour(measurement.task)
    if not measurement.task.behaviour and getattr(type(task), "pack", None) is None:
        _rows(task, "test", run.of, measurement.num_evaluation_samples)


def _try_task(run: Any) -> None:
    """Make a few rows of every part and all that evaluations have; compute and measure outputs of a few."""
    task = behaviour(run.task)
    if getattr(type(task), "pack", None) is not None:
        return
    network = network_of(run)
    state = network.initial(torch.Generator().manual_seed(0))
    pack = State(
        parameters={name: each.unsqueeze(0) for name, each in state.parameters.items()},
        statistics={name: each.unsqueeze(0) for name, each in state.statistics.items()},
    )
    draws = Draws(f"{run.stage}/dropout", [run.seed], "cpu")
    draws.at(0)
    measured: Mapping[str, float] = {}
    sizes = {part.name: part.num_distinct for part in run.rows}
    for part in (*sizes, "test", "validation"):
        wanted = min(NUM_ROWS, sizes[part]) if part in sizes else run.num_evaluation_samples
        rows = {name: tensor[:NUM_ROWS] for name, tensor in _rows(task, part, run, wanted).items()}
        count = min(NUM_ROWS, wanted)

        def outputs(given: Rows = rows) -> Tensor:
            stacked = {name: tensor.unsqueeze(0) for name, tensor in given.items()}
            inputs = inputs_of(task, stacked)
            with torch.no_grad():
                return network.outputs(pack, inputs, draws=draws, training=False, precision="float32")[0]

        made = _guarded(f"the network's outputs on rows of {part!r}", outputs)
        loss = _guarded(f"{_name(task)}.loss", lambda made=made, rows=rows: task.loss(made, rows))  # type: ignore[misc]
        if not isinstance(loss, Tensor) or tuple(loss.shape) != (count,):
            found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"{_name(task)}.loss gives {found} for {count} rows: give one number a row")
        measured = _guarded(f"{_name(task)}.measure", lambda made=made, rows=rows: task.measure(made, rows))  # type: ignore[misc]
        _check_measured(task, measured)
    _check_curve(run, measured)


def _rows(task: Any, part: str, run: Run, count: int) -> Rows:
    rows: Any = _guarded(f"{_name(task)}.rows({part!r})", lambda: task.rows(part, num_rows=count, key=key(run, part)))
    if not isinstance(rows, dict) or not rows or not all(isinstance(each, Tensor) for each in rows.values()):
        raise ValueError(f"{_name(task)}.rows({part!r}) gives {quoted(rows)}: give a dictionary of tensors")
    for name, tensor in rows.items():
        if not tensor.dim() or len(tensor) != count:
            raise ValueError(
                f"{_name(task)}.rows({part!r}) gives {name} of shape {tuple(tensor.shape)} for num_rows={count}: "
                "let its first axis be the row"
            )
    return rows


def _check_measured(task: Any, measured: Any) -> None:
    right = isinstance(measured, Mapping) and all(
        isinstance(name, str) and type(value) in (float, int) for name, value in measured.items()
    )
    if not right:
        raise ValueError(f"{_name(task)}.measure gives {quoted(measured)}: give a dictionary of names and floats")


def _check_curve(run: Any, measured: Mapping[str, float]) -> None:
    """Raise ValueError if the kept epoch is chosen by a curve that the run does not have."""
    if not isinstance(run.kept_epoch, BestEpoch):
        return
    names = {f"validation_{name}" for name in ("loss", *measured)}
    if isinstance(run, MaskRun):
        names = {*names - {"validation_accuracy"}, "subtask_accuracy", "density", "penalty", "temperature"}
    if run.kept_epoch.curve not in {"train_loss", *names}:
        there = ", ".join(sorted({"train_loss", *names}))
        raise ValueError(f"kept_epoch.curve is {quoted(run.kept_epoch.curve)}: the run has the curves {there}")


def _guarded(what: str, compute: Callable[[], Made]) -> Made:
    """The result, or one line that says what could not be computed, why, and where in the user's file."""
    try:
        return compute()
    except Exception as error:  # noqa: BLE001  a user's code may raise anything
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = shortened(" ".join(str(error).split()), LONGEST_REASON)
        where = f"{place.filename.rpartition('/')[2]}, line {place.lineno}"
        raise ValueError(f"{what} cannot be computed: {type(error).__name__}: {reason} ({where})") from None


def _name(task: Any) -> str:
    return type(task).__name__
