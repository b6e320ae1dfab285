"""The trials of a study in Optuna's storage: ask for them, adopt them from dead drivers, report their results.

The storage has a trial's parameters and run id as soon as it is asked for, so a dead driver loses none: the next
driver adopts running trials, and reports a run that the store has instead of training it again.
"""

import json
import logging
import os
import socket
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, assert_never

import optuna
import psutil
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from subind.identity.run_ids import canonical_json, run_id
from subind.specs.runs import Discover
from subind.store.results import Failure, RunRecord
from sweeps.grids.studies import PARAMETERS, Range, Study
from sweeps.hosts.secrets import redacted
from sweeps.tuning.objective import Floor, Objective, Pareto

HEARTBEAT_SECONDS = 30
GRACE_SECONDS = 150
"""After this silence of its driver a trial is adopted by the next driver."""

LOCK_SECONDS = 60
"""How long SQLite waits for another writer."""

FIXED_BY_OPTUNA = {
    "prior_weight": 1.0,
    "consider_prior": True,
    "consider_magic_clip": True,
    "consider_endpoints": False,
    "gamma": "default_gamma, with several objectives default_gamma_multiobjective",
    "weights": "default_weights",
    "warn_independent_sampling": False,
}
"""Arguments of TPESampler that Optuna 5 deprecates: it warns of any that is given, and these are its own."""


STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A trial and the mask that it trains."""

    number: int
    trial_id: int
    mask: Discover


def sampler_arguments(definition: Study) -> dict[str, Any]:
    """Every argument of the sampler but its seed, which follows from the study's and the number of the trial."""
    return {
        "n_startup_trials": definition.num_startup_trials,
        "n_ei_candidates": 24,
        "multivariate": True,
        "group": False,
        "constant_liar": True,
    }


def distributions(definition: Study) -> dict[str, BaseDistribution]:
    """The ranges of a study as Optuna has them."""
    searched = {
        "penalty": definition.penalty,
        "final_temperature": definition.final_temperature,
        "initial_logit": definition.initial_logit,
        "learning_rate": definition.learning_rate,
    }
    epochs = IntDistribution(definition.num_epochs.low, definition.num_epochs.high)
    return {**{name: _distribution(each) for name, each in searched.items()}, "num_epochs": epochs}


def opened_storage(url: str) -> optuna.storages.RDBStorage:
    """The storage at a URL, such as sqlite:///FILE or postgresql://HOST/NAME. Raises ValueError if it has no such."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # heartbeats, names of metrics and PED-ANOVA are called experimental, and heartbeats are the feed's own
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used with Study.optimize")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    connection = {"timeout": LOCK_SECONDS} if url.startswith("sqlite") else {}
    # without a driver's name SQLAlchemy would take psycopg2
    url = url.replace("postgresql://", "postgresql+psycopg://", 1) if url.startswith("postgresql://") else url
    try:
        return optuna.storages.RDBStorage(
            url,
            engine_kwargs={"connect_args": connection, "pool_pre_ping": not url.startswith("sqlite")},
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
        )
    except ImportError as error:
        raise ValueError(f"--storage needs {error.name}, a driver of its database: install it") from None
    except (SQLAlchemyError, StorageInternalError) as error:
        shown = redacted(url, url)
        told = redacted(str(error).splitlines()[0], url)
        raise ValueError(f"--storage {shown} cannot be opened: {type(error).__name__}: {told}") from None


class Trials:
    """The trials of one study, made unless there is one of that name.

    Raises ValueError if the study of that name searches something else.
    """

    def __init__(self, storage: optuna.storages.RDBStorage, name: str, definition: Study, objective: Objective) -> None:
        self.definition = definition
        self.objective = objective
        self.storage = storage
        self.study = optuna.create_study(
            storage=storage, study_name=name, directions=objective.directions, load_if_exists=True
        )
        self._check_definition(name)
        self.study.set_metric_names(list(objective.metrics))

    @property
    def name(self) -> str:
        """The study's name in the storage."""
        return self.study.study_name

    @property
    def study_id(self) -> int:
        """The study's number in the storage."""
        return int(self.study._study_id)

    def attributes(self, trial: Trial) -> dict[str, Any]:
        """What was reported of a trial besides its objectives."""
        return dict(self.storage.get_trial(trial.trial_id).user_attrs)

    def _check_definition(self, name: str) -> None:
        said = {
            "definition": json.loads(canonical_json(self.definition)),
            "objective": self.objective.in_words,
            "sampler": {
                "class": "TPESampler",
                **sampler_arguments(self.definition),
                **FIXED_BY_OPTUNA,
                "optuna": optuna.__version__,
            },
        }
        known = self.study.user_attrs
        for key, value in said.items():
            if key not in known:
                self.study.set_user_attr(key, value)
            elif known[key] != value and key != "sampler":
                raise ValueError(
                    f"the study {name!r} of this storage has another {key}: give another --name, or remove it with "
                    "`optuna delete-study`"
                )

    def counts(self) -> dict[str, int]:
        """How many trials are in each state."""
        found = Counter(STATES[each.state] for each in self.study.get_trials(deepcopy=False))
        return {state: found[state] for state in STATES.values()}

    # ---- asking

    def ask(self) -> Trial:
        """A new trial. It depends on the trials and results before it, and not on how often the study was resumed."""
        number = len(self.study.get_trials(deepcopy=False))
        self.study.sampler = self._sampler(number)
        asked = self.study.ask(fixed_distributions=distributions(self.definition))
        mask = self.definition.mask(asked.params)
        asked.set_user_attr("run_id", run_id(mask))
        asked.set_user_attr("sampler_seed", self._seed(number))
        self._own(asked._trial_id)
        return Trial(number=asked.number, trial_id=asked._trial_id, mask=mask)

    def _sampler(self, number: int) -> optuna.samplers.TPESampler:
        return optuna.samplers.TPESampler(**sampler_arguments(self.definition), seed=self._seed(number))

    def _seed(self, number: int) -> int:
        digest = sha256(f"{self.definition.seed}/{number}".encode()).digest()
        return int.from_bytes(digest[:4], "big")

    def num_asked(self) -> int:
        """The number of the study's trials in any state."""
        return len(self.study.get_trials(deepcopy=False))

    # ---- adopting

    def adopt(self) -> list[Trial]:
        """Adopt and return the running trials whose driver is dead."""
        stale = set(self.storage._get_stale_trial_ids(self.study._study_id))
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        found = [each for each in running if each._trial_id in stale or _is_left(each)]
        for each in found:
            self._own(each._trial_id)
        # a driver that died while it asked has not left all of the parameters
        whole = [each for each in found if len(each.params) == len(PARAMETERS)]
        for each in found:
            if each not in whole:
                self.fail(each._trial_id, "the driver died while it asked for this trial")
        return [self._trial(each) for each in whole]

    def _trial(self, found: FrozenTrial) -> Trial:
        mask = self.definition.mask(found.params)
        self.storage.set_trial_user_attr(found._trial_id, "run_id", run_id(mask))
        return Trial(number=found.number, trial_id=found._trial_id, mask=mask)

    def _own(self, trial_id: int) -> None:
        self.storage.set_trial_user_attr(trial_id, "driver", driver_name())
        self.storage.record_heartbeat(trial_id)

    def completed(self) -> list[Trial]:
        """The trials that have results."""
        found = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [
            Trial(number=each.number, trial_id=each._trial_id, mask=self.definition.mask(each.params)) for each in found
        ]

    # ---- telling

    def tell(self, trial: Trial, record: RunRecord) -> None:
        """Tell the study what the run measured; a value that is not a number fails the trial."""
        measured = record.measurements
        kept = ("tuning_accuracy", "density", "soft_accuracy", "soft_hard_gap", "subtask_accuracy", "best_epoch")
        for name in kept:
            self.storage.set_trial_user_attr(trial.trial_id, name, measured[name])
        match self.objective:
            case Pareto():
                values = [measured["tuning_accuracy"], measured["density"]]
            case Floor(accuracy=floor):
                values = [measured["density"]]
                constrained = optuna.trial.Trial(self.study, trial.trial_id)
                constrained.set_constraint("accuracy_below_floor", floor - measured["tuning_accuracy"])
            case _:
                assert_never(self.objective)
        self.study.tell(trial.number, values, state=TrialState.COMPLETE, skip_if_finished=True)

    def tell_stopped(self, trial: Trial, failure: Failure) -> None:
        """Tell the study that the trial was stopped before its end."""
        self.storage.set_trial_user_attr(trial.trial_id, "message", failure.message)
        self.study.tell(trial.number, state=TrialState.PRUNED, skip_if_finished=True)

    def tell_failed(self, trial: Trial, failure: Failure) -> None:
        """Tell the study that the trial has no result, and why."""
        self.fail(trial.trial_id, f"{failure.error}: {failure.message}")

    def fail(self, trial_id: int, message: str) -> None:
        """Fail a trial with a message."""
        self.storage.set_trial_user_attr(trial_id, "message", message)
        number = self.storage.get_trial(trial_id).number
        self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def beat(self, trial: Trial) -> None:
        """Write a heartbeat of the trial's driver."""
        self.storage.record_heartbeat(trial.trial_id)


def _distribution(given: Range) -> FloatDistribution:
    return FloatDistribution(given.low, given.high, log=given.scale == "log")


def driver_name() -> dict[str, str | int | float]:
    """What this process is called, told apart from a later one of the same number."""
    return {"host": socket.gethostname(), "process": os.getpid(), "started": psutil.Process().create_time()}


def _is_left(trial: FrozenTrial) -> bool:
    """Whether the trial's driver has ended or was silent for too long."""
    if "driver" not in trial.user_attrs:
        assert trial.datetime_start is not None
        return (datetime.now() - trial.datetime_start).total_seconds() > GRACE_SECONDS  # noqa: DTZ005  as Optuna has it
    return _is_gone(trial.user_attrs["driver"])


def _is_gone(driver: Mapping[str, Any]) -> bool:
    """Whether the driver ran on this host and has ended."""
    if driver["host"] != socket.gethostname():
        return False
    try:
        return bool(psutil.Process(driver["process"]).create_time() != driver["started"])
    except psutil.NoSuchProcess:
        return True
