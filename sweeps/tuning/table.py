"""The trials of studies as a table; TRIAL_SCHEMA of subind.store.results describes it."""

import json
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from subind.identity.run_ids import run_id
from subind.specs.quoting import shortened
from subind.specs.runs import Discover
from subind.specs.tuning import TuningValidation
from subind.store.results import RunRecord
from subind.store.schemas import TRIAL_SCHEMA
from subind.store.store import Store
from sweeps.grids.studies import values_of
from sweeps.tuning.choice import Point, front
from sweeps.tuning.trials import STATES, Trials

Row = dict[str, Any]

CURVES = ("epoch", "tuning_accuracy", "soft_accuracy", "density")
MEASURES = ("tuning_accuracy", "soft_accuracy", "soft_hard_gap", "density", "subtask_accuracy", "best_epoch")

FEWEST_FOR_IMPORTANCE = 10
"""PED-ANOVA compares the best tenth of the trials with all."""


def points(trials: Trials) -> list[Point]:
    """The finished trials by their objectives."""
    found = trials.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [
        Point(number=each.number, accuracy=each.user_attrs["tuning_accuracy"], density=each.user_attrs["density"])
        for each in found
    ]


def importances(study: optuna.Study) -> dict[str, float] | str:
    """The importance of each parameter for reaching the best tenth of the trials, or why there is none."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < FEWEST_FOR_IMPORTANCE:
        return f"{len(finished)} trials are finished, and PED-ANOVA needs {FEWEST_FOR_IMPORTANCE}"
    if len({tuple(each.values) for each in finished}) == 1:
        return "all finished trials have the same result"
    evaluator = PedAnovaImportanceEvaluator(target_quantile=0.1, region_quantile=1.0, evaluate_on_local=True)
    try:
        found = get_param_importances(study, evaluator=evaluator, normalize=False)
    except (ValueError, RuntimeError) as error:
        return f"Optuna says: {shortened(str(error))}"
    total = sum(found.values())
    if not (isfinite(total) and total > 0):
        return "no setting tells the best tenth of the trials from all"
    return {name: value / total for name, value in found.items()}


def write_trials(several: tuple[Trials, ...], store: Store, path: Path, *, chosen: frozenset[str]) -> Path:
    """Write all trials and the published settings; `chosen` are the runs that were chosen."""
    rows = [row for trials in several for row in _rows(trials, store)]
    for row in rows:
        row["is_chosen"] = row["run_id"] in chosen
    found = {trials.name: importances(trials.study) for trials in several}
    metadata = {**(TRIAL_SCHEMA.metadata or {}), b"importances": json.dumps(found).encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=TRIAL_SCHEMA.with_metadata(metadata)), path)
    return path


def _rows(trials: Trials, store: Store) -> Iterator[Row]:
    members = {point.number for point in front(points(trials))}
    for found in trials.study.get_trials(deepcopy=False):
        yield _trial_row(trials, found, store) | {"is_on_front": found.number in members}
    published = trials.definition.published
    if measured := _stored(published, store):
        yield _planned(trials, published) | measured | {"state": "published", "is_on_front": False}


def _trial_row(trials: Trials, found: FrozenTrial, store: Store) -> Row:
    row: Row = {"trial": found.number, "state": STATES[found.state], "message": found.user_attrs.get("message")}
    if set(found.params) != set(values_of(trials.definition.base)):
        return _planned(trials, None) | row
    mask = trials.definition.mask(found.params)
    row |= _planned(trials, mask)
    if found.state == TrialState.COMPLETE:
        row |= {name: found.user_attrs[name] for name in MEASURES}
        row |= _stored(mask, store)
    return row


def _stored(mask: Discover, store: Store) -> Row:
    """The mask's measurements in the store; empty if it is not finished or its record is damaged."""
    try:
        return _measured(store.record(mask))
    except (FileNotFoundError, ValueError, KeyError):
        return {}


def _planned(trials: Trials, mask: Discover | None) -> Row:
    base = trials.definition.base
    task = base.task
    assert isinstance(base.validation, TuningValidation)
    row: Row = {
        "study": trials.name,
        "subtask": task.label(),
        "chance_accuracy": task.chance_accuracy(),
        "num_tuning_samples": base.validation.num_samples,
        **base.network.columns(),
    }
    return row if mask is None else row | values_of(mask) | {"run_id": run_id(mask)}


def _measured(record: RunRecord) -> Row:
    row: Row = {name: record.measurements[name] for name in MEASURES}
    row |= {f"curve_{name}": record.curves[name] for name in CURVES}
    return row | {"seconds": record.provenance.seconds, "pack_size": record.provenance.pack_size}
