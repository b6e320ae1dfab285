"""One call of `subind tune`: open the studies, train until they have their trials, and choose."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from subind.identity.run_ids import run_id
from subind.specs.runs import Discover
from subind.store.store import Store
from sweeps.costs.cost_model import unknown_gpu_model
from sweeps.costs.memory import most_replicas
from sweeps.grids import Grid, tuned
from sweeps.grids.studies import PARAMETERS, Study
from sweeps.hosts.workers import Workers
from sweeps.mirror import views
from sweeps.mirror.content import RUN_ID_TAG
from sweeps.mirror.controls import COLOR_TAG
from sweeps.mirror.experiment import Content
from sweeps.mirror.mirror import Mirror
from sweeps.mirror.tracker import store_root
from sweeps.planning.damaged_runs import with_damaged_parents
from sweeps.planning.plan import Crew, Plan, accounts, packed
from sweeps.planning.preparation import cost_model
from sweeps.tuning import choice
from sweeps.tuning.choice import Rule
from sweeps.tuning.objective import Objective
from sweeps.tuning.table import points
from sweeps.tuning.trial_feed import Name, TrialFeed, labelled
from sweeps.tuning.trials import Trials, opened_storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The studies of a grid in their storage, beside the store of runs."""

    grid: Grid
    store: Store
    studies: tuple[Trials, ...]

    @property
    def name(self) -> str:
        """The name of the grid's tuning, where a grid's name is needed."""
        return f"{self.grid.label}.tuning"

    def published(self) -> list[Discover]:
        """The settings that the fronts are compared with."""
        return [each.definition.published for each in self.studies]


def default_storage(store: Store) -> str:
    """The SQLite database in the store's folder. Raises ValueError if the store is no local folder."""
    if not store.is_local:
        raise ValueError("--storage is unset and the store is no local folder: give the URL of a PostgreSQL database")
    Path(store_root(store)).mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{store_root(store)}/optuna.db"


def opened(grid: Grid, store: Store, *, storage: str | None, name: str | None, objective: Objective) -> Session:
    """The studies of a grid, made where there are none; `name` instead of the grid's begins their names.

    Raises ValueError for studies that cannot be made or opened, and other studies of these names.
    """
    definitions = grid.studies()
    database = opened_storage(storage or default_storage(store))
    first = name or grid.label
    studies = tuple(
        Trials(database, study_name(first, definition, objective), definition, objective) for definition in definitions
    )
    return Session(grid=grid, store=store, studies=studies)


def study_name(first: str, definition: Study, objective: Objective) -> str:
    """Under which a study is resumed."""
    return f"{first}/{definition.name}/{objective.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How many trials each study is to have, how many train in a pack at most, whether hopeless ones are stopped."""

    num_trials: int
    batch: int
    stops: bool


def train(
    session: Session,
    effort: Effort,
    workers: Workers,
    *,
    tracking_uri: str | None,
    checkpoint_seconds: float,
    console: Console,
) -> Plan:
    """Train until every study has its trials, or until Ctrl-C; the plan of donors and published settings."""
    from sweeps.running.driver import drive

    plan = planned(session, workers)
    feed = TrialFeed(
        session.studies,
        session.store,
        num_trials=effort.num_trials,
        batch=effort.batch,
        most_replicas=lambda mask: most_replicas(mask, free_bytes=workers.free_bytes_of_one),
        stops=effort.stops,
    )
    if plan.missing or any(each.num_asked() < effort.num_trials for each in session.studies) or feed.is_busy():
        with feed.alive():
            drive(
                plan,
                session.store,
                workers,
                tracking_uri=tracking_uri,
                checkpoint_seconds=checkpoint_seconds,
                console=console,
                feed=feed,
                label=feed.labelled,
            )
    return plan


def planned(session: Session, workers: Workers) -> Plan:
    """Runs that are trained along with the trials: donors, and published settings on the trials' validation."""
    store = session.store
    listing = store.listing()
    found = accounts(
        session.name,
        session.published(),
        finished=listing.finished,
        failed=listing.failed,
        damaged=listing.damaged,
    )
    found = with_damaged_parents(found, store)
    if not found.missing:
        return found
    model = cost_model(store, workers) or unknown_gpu_model()
    crew = Crew(num_workers=workers.num_workers, free_bytes=workers.free_bytes_of_one, model=model)
    return packed(found, checkpoints=store.checkpoints(), crew=crew)


def choose(session: Session, rule: Rule, output: Path) -> Sequence[tuned.Choice]:
    """Write the trial of each study that the rule chooses. Raises ValueError if there is none."""
    choices = [_choice(each, rule) for each in session.studies]
    tuned.write(output, session.grid.label, choices)
    return choices


def _choice(trials: Trials, rule: Rule) -> tuned.Choice:
    taken = choice.chosen(points(trials), rule)
    found = next(each for each in trials.completed() if each.number == taken.number)
    attributes = trials.attributes(found)
    objectives = {name: attributes[name] for name in ("tuning_accuracy", "density", "soft_hard_gap")}
    assert all(math.isfinite(value) for value in objectives.values())
    return tuned.made(
        study=trials.name,
        study_id=trials.study_id,
        trial=taken.number,
        rule=choice.in_words(rule),
        objectives=objectives,
        spec=found.mask,
    )


TRIAL_COLOR, CHOSEN_COLOR, PUBLISHED_COLOR = "#56B4E9", "#D55E00", "#000000"


def mirror(
    session: Session, pictures: Mapping[str, bytes], *, chosen: Collection[str], tracking_uri: str | None
) -> str:
    """Bring the tuning's experiment in MLflow up to date; what delays that, empty if nothing does.

    Every trial with a result is a run there, those of the runs `chosen` marked, and `study` is one that holds the
    pictures.
    """
    store, finished = session.store, session.store.finished()
    found = {run_id(trial.mask): (each.name, trial) for each in session.studies for trial in each.completed()}
    names = {run: Name(study=study, number=trial.number) for run, (study, trial) in found.items()}
    mirrored = Mirror(
        store, grid=session.name, tracking_uri=tracking_uri, label=lambda content: labelled(content, names)
    )
    masks = [*(trial.mask for _, trial in found.values()), *session.published()]
    outcome = mirrored.mirror_finished([mask for mask in masks if run_id(mask) in finished])
    labels = {run_id(mask): ("published setting", {COLOR_TAG: PUBLISHED_COLOR}) for mask in session.published()}
    for run, name in names.items():
        is_chosen = run in chosen
        color = CHOSEN_COLOR if is_chosen else TRIAL_COLOR
        labels[run] = (f"trial-{name.number:03d}{' (chosen)' * is_chosen}", {COLOR_TAG: color})
    return (
        outcome.error
        or mirrored.attach(_study_content(session, pictures))
        or mirrored.present(labels, views.of_trials(PARAMETERS))
    )


def _study_content(session: Session, pictures: Mapping[str, bytes]) -> Content:
    studies = ", ".join(each.name for each in session.studies)
    return Content(
        run_id=f"study {studies}",
        name="study",
        started=0,
        ended=0,
        params={"studies": studies},
        tags={RUN_ID_TAG: f"study {studies}", "optuna.study": studies},
        points=(),
        artifacts=pictures,
    )
