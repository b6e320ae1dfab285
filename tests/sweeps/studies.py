"""A small study whose masks no test trains: records of them are made up from their settings."""

from dataclasses import replace
from pathlib import Path

from subind.identity.run_ids import run_id
from subind.specs.runs import Discover
from subind.specs.tuning import TuningValidation
from subind.store.results import Failure, RunRecord
from subind.store.store import Store
from sweeps.grids.studies import Study, study_around
from sweeps.tuning.objective import Objective, Pareto
from sweeps.tuning.trials import Trials, opened_storage
from tests.specs import tiny_mask
from tests.subind.records import small_failure
from tests.sweeps.fabricated import MASK_BITS, fabricated_record

VALIDATION = TuningValidation(num_samples=20, num_seeds=1, num_transfer_samples=12)


def small_study(**changes: object) -> Study:
    """A search around `tiny_mask`, uniform in the first four trials."""
    around = study_around(tiny_mask(num_epochs=6), num_seeds=1, num_transfer_samples=12)
    mask = tiny_mask(num_epochs=6, validation=VALIDATION)
    return replace(around, **{"base": mask, "published": mask, "num_startup_trials": 4, **changes})


def small_trials(folder: Path, *, objective: Objective | None = None, study: Study | None = None) -> Trials:
    """The study in a SQLite database of the folder."""
    storage = opened_storage(f"sqlite:///{folder}/optuna.db")
    return Trials(storage, "small", study or small_study(), objective or Pareto())


def made_up_record(mask: Discover, *, accuracy: float | None = None, density: float | None = None) -> RunRecord:
    """What the mask might have measured: the higher its penalty, the smaller and the worse it is."""
    penalty = mask.method.searched()["penalty"]
    thin = penalty / (penalty + 1e-6)
    density = 0.5 * (1 - thin) + 0.01 if density is None else density
    accuracy = 1 - thin**4 if accuracy is None else accuracy
    measured = {
        "tuning_accuracy": accuracy,
        "density": density,
        "soft_accuracy": 1.0,
        "soft_hard_gap": 1.0 - accuracy,
        "subtask_accuracy": accuracy / 2,
        "best_epoch": float(mask.num_epochs),
    }
    epochs = range(1, mask.num_epochs + 1)
    curves = {
        "epoch": [float(epoch) for epoch in epochs],
        "tuning_accuracy": [accuracy * epoch / mask.num_epochs for epoch in epochs],
        "soft_accuracy": [1.0 for _ in epochs],
        "density": [density * mask.num_epochs / epoch for epoch in epochs],
        "train_loss": [2.0 + density + 1 / epoch for epoch in epochs],
    }
    return replace(fabricated_record(mask, measurements=measured), curves=curves)


def commit_made_up(store: Store, masks: list[Discover]) -> None:
    """Commit what the masks might have measured."""
    for mask in masks:
        store.commit(mask, made_up_record(mask), {"mask.safetensors": MASK_BITS})


def stopped(mask: Discover) -> Failure:
    """What a worker writes of a trial that a rung has stopped."""
    return small_failure(mask, error="Stopped", message=f"stopped after epoch 3: {run_id(mask)} is worse")
