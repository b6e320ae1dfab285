"""A study as `subind tune` trains it, in packs over the service, against plain OptunaSearch with a process per trial.

Both ask for as many trials of one small study from the same ranges and sampler, drawn uniformly, so that neither
profits from what it has learned; both use all cores of the machine, and each arm is a process of its own. The packed
arm also writes checkpoints, records, MLflow's mirror, the published setting's mask, the pictures and the report.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import optuna

import sweeps

from sweeps.hosts.local_ray import local_ray  # isort: skip  sets what Ray reads when it is imported
from ray import tune
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from benchmarks import grid as small
from subind.identity.run_ids import decode, encoded
from subind.specs.run import NetworkRun, Run, lineage
from subind.specs.runs import Discover, Train, Transfer
from subind.specs.starts import Subnetwork
from subind.specs.tuning import TuningValidation
from subind.stages import run as stages
from subind.stages.parents import WEIGHTS_FILE, ReadFile
from subind.training.loop import Finished, Runtime
from sweeps.grids.studies import Epochs, Range, Study, tuned_on
from sweeps.hosts.scratch import scratch_folder
from sweeps.hosts.workers import num_cores
from sweeps.tuning.trials import distributions, sampler_arguments

NUM_TRIALS = 16
BATCH = 8


def studies() -> tuple[Study, ...]:
    """One search over masks in an untrained donor: what they cost is not told by what they find."""
    cell = small.cells(seeds=(0,))[0]
    given = next(each for each in lineage(cell) if isinstance(each, Discover))
    assert isinstance(given.donor, Train)
    donor = replace(given.donor, num_epochs=0)
    validation = TuningValidation(num_samples=200, num_seeds=1, num_transfer_samples=cell.num_evaluation_samples)
    mask = tuned_on(replace(given, donor=donor, num_epochs=20), validation)
    return (
        Study(
            base=mask,
            published=mask,
            penalty=Range(low=1e-7, high=1e-5, scale="log"),
            final_temperature=Range(low=10.0, high=1000.0, scale="log"),
            initial_logit=Range(low=-0.3, high=0.3, scale="linear"),
            learning_rate=Range(low=1e-3, high=1e-1, scale="log"),
            num_epochs=Epochs(low=20, high=21),
            num_startup_trials=NUM_TRIALS,
            seed=0,
        ),
    )


def grid() -> tuple[Transfer, ...]:
    """A transfer of the study's mask, for the report of the packed arm."""
    cell = small.cells(seeds=(0,))[0]
    return (replace(cell, start=Subnetwork(mask=studies()[0].published)),)


def tuning_benchmark(*, progress: Callable[[str], None], num_rounds: int = 2) -> dict[str, Any]:
    """Wall seconds of both arms, alternating, and the ratio of their medians. Raises OSError if one fails."""
    seconds: dict[str, list[float]] = {"packs": [], "one_trial_per_process": []}
    for number in range(num_rounds):
        for arm, run in (("packs", _packed), ("one_trial_per_process", _plain)):
            seconds[arm].append(run())
            progress(f"round {number + 1}: {arm} {seconds[arm][-1]:.1f} s")
    medians = {arm: median(each) for arm, each in seconds.items()}
    return {
        "trials": NUM_TRIALS,
        "cores": num_cores(),
        **{f"{arm}_seconds": each for arm, each in seconds.items()},
        "ratio": medians["one_trial_per_process"] / medians["packs"],
    }


def _packed() -> float:
    with tempfile.TemporaryDirectory(prefix="subind-bench-") as folder:
        module = Path(folder, "study.py")
        module.write_text("from benchmarks.tuning import grid, studies\n\n__all__ = ['grid', 'studies']\n")
        trials = ["--trials", str(NUM_TRIALS), "--batch", str(BATCH), "--no-stop", "--device", "cpu"]
        return _seconds(["-m", "sweeps.cli", "tune", str(module), *trials], folder)


def _plain() -> float:
    with tempfile.TemporaryDirectory(prefix="subind-bench-") as folder:
        return _seconds(["-m", "benchmarks.tuning"], folder)


def _seconds(command: list[str], folder: str) -> float:
    """The seconds of a Python process from its start to its end."""
    found = str(Path(sweeps.__file__).parent.parent)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RAY_"))}
    environment["PYTHONPATH"] = os.pathsep.join([found, os.environ.get("PYTHONPATH", "")])
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        raise OSError(f"{' '.join(command)} ended with status {ended.returncode}: {ended.stderr or ended.stdout}")
    return time.perf_counter() - start


# ---- the plain arm


def plain_study(storage: str) -> None:
    """OptunaSearch as Ray's documentation has it: a trial is a process that trains one mask."""
    (definition,) = studies()
    search = OptunaSearch(
        space=_space,
        metric=["accuracy", "density"],
        mode=["max", "min"],
        sampler=optuna.samplers.TPESampler(**sampler_arguments(definition), seed=definition.seed),
        storage=optuna.storages.RDBStorage(storage),
        study_name="plain",
    )
    weights = _weights(definition.base.donor)
    with local_ray(num_cpus=num_cores()), scratch_folder() as scratch:
        found = tune.Tuner(
            tune.with_resources(tune.with_parameters(_train_one, weights=weights), {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=ConcurrencyLimiter(search, max_concurrent=num_cores()), num_samples=NUM_TRIALS
            ),
            run_config=tune.RunConfig(name="plain", storage_path=str(scratch), verbose=0),
        ).fit()
    assert found.num_errors == 0
    assert len(found) == NUM_TRIALS


def _space(trial: optuna.Trial) -> dict[str, Any]:
    (definition,) = studies()
    values = {name: trial._suggest(name, each) for name, each in distributions(definition).items()}
    return {"mask": encoded(definition.mask(values))}


def _train_one(config: Mapping[str, Any], *, weights: bytes) -> None:
    mask = decode(config["mask"])
    assert isinstance(mask, Discover)
    (done,) = _trained(mask, lambda _parent, _file: weights)
    tune.report({"accuracy": done.measurements["tuning_accuracy"], "density": done.measurements["density"]})


def _weights(donor: NetworkRun) -> bytes:
    (done,) = _trained(donor, lambda _parent, _file: b"")
    return done.files[WEIGHTS_FILE]


def _trained(spec: Run, read: ReadFile) -> list[Finished]:
    runtime = Runtime(checkpoint_seconds=float("inf"))
    return list(stages.run([spec], read=read, runtime=runtime, save=lambda _: None, report=lambda _: None))


if __name__ == "__main__":
    plain_study(f"sqlite:///{Path.cwd()}/optuna.db")
