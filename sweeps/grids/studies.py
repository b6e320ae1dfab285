"""Studies: what a search varies and what it keeps fixed, as plain data that a grid's module defines along with its
grid.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from subind.specs.base import Checked, not_negative, positive, require
from subind.specs.runs import Discover, Run, Transfer, lineage
from subind.specs.training import BestEpoch
from subind.specs.tuning import OwnValidation, TuningValidation

NUM_SEEDS = 10
"""Seeds whose reported samples the default studies avoid."""

Values = Mapping[str, float | int]
"""The values that a trial sets, by the names of PARAMETERS."""

PARAMETERS = ("penalty", "final_temperature", "initial_logit", "learning_rate", "num_epochs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range(Checked):
    """The numbers from `low` to `high`, searched evenly on the scale."""

    low: float
    high: float
    scale: Literal["log", "linear"]

    def _check(self) -> None:
        require(self.low < self.high, self, "low", f"give less than high = {self.high}")
        require(self.scale == "linear" or self.low > 0, self, "low", "a log scale begins above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Epochs(Checked):
    """The numbers of epochs from `low` to `high`, searched evenly."""

    low: int
    high: int

    def _check(self) -> None:
        positive(self, "low")
        require(self.low < self.high, self, "low", f"give less than high = {self.high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Study(Checked):
    """One search for the mask of a task and an architecture.

    A trial is `base` with the searched fields replaced; its validation uses no reported sample. `published` is the
    setting that the front is compared with. The first `num_startup_trials` are drawn uniformly. The masks are found
    by continuous sparsification, whose fields are searched.
    """

    base: Discover
    published: Discover
    penalty: Range
    final_temperature: Range
    initial_logit: Range
    learning_rate: Range
    num_epochs: Epochs
    num_startup_trials: int
    seed: int

    def _check(self) -> None:
        positive(self, "num_startup_trials")
        not_negative(self, "seed")
        for name in ("base", "published"):
            mask: Discover = getattr(self, name)
            mask.method.searched()
            remedy = "give a TuningValidation, so that nothing reported is tuned on"
            require(not isinstance(mask.validation, OwnValidation), self, f"{name}.validation", remedy)
        remedy = "the temperature begins at 1"
        require(self.final_temperature.low >= 1, self, "final_temperature.low", remedy)
        remedy = "both masks are of one subtask in one donor"
        same = (self.base.task, self.base.donor) == (self.published.task, self.published.donor)
        require(same, self, "published.task", remedy)

    @property
    def name(self) -> str:
        """Task and architecture, as a file name."""
        task = self.base.task.label().replace(" ", "").replace("*", "x")
        return f"{task}-{self.base.network.name}-seed{self.base.seed}"

    def mask(self, values: Values) -> Discover:
        """The mask of a trial."""
        return with_values(self.base, values)


def with_values(mask: Discover, values: Values) -> Discover:
    """The mask with the searched fields replaced. Raises ValueError unless all of PARAMETERS are given."""
    if set(values) != set(PARAMETERS):
        raise ValueError(f"the parameters of a trial are {sorted(values)}: give {', '.join(PARAMETERS)}")
    return replace(
        mask,
        method=mask.method.with_searched({name: float(values[name]) for name in mask.method.searched()}),
        optimizer=replace(mask.optimizer, learning_rate=float(values["learning_rate"])),
        num_epochs=int(values["num_epochs"]),
    )


def values_of(mask: Discover) -> dict[str, float | int]:
    """The searched fields of a mask."""
    training = {"learning_rate": mask.optimizer.learning_rate, "num_epochs": mask.num_epochs}
    return {**mask.method.searched(), **training}


def default_studies(cells: Iterable[Run]) -> tuple[Study, ...]:
    """A study around the first mask of each task and network of a grid that can be tuned, with the grid's data.

    Raises ValueError if there is none, or if the grid evaluates transfers on several numbers of samples.
    """
    given = tuple(cells)
    masks = {run: None for cell in given for run in lineage(cell) if isinstance(run, Discover)}
    first = {(mask.task, mask.donor.task, mask.network): mask for mask in reversed(masks)}
    if not first:
        raise ValueError("the grid has no mask to tune: give it a start that is made from one")
    recipients = [run for run in given if isinstance(run, Transfer) and _descends(run, masks)]
    numbers = sorted({run.num_evaluation_samples for run in recipients or masks})
    if len(numbers) > 1:
        raise ValueError(f"Transfer.num_evaluation_samples are {numbers}: state studies() beside grid()")
    num_seeds = max(NUM_SEEDS, 1 + max(cell.seed for cell in given))
    return _possible(reversed(first.values()), num_seeds=num_seeds, num_transfer_samples=numbers[0])


def _possible(masks: Iterable[Discover], *, num_seeds: int, num_transfer_samples: int) -> tuple[Study, ...]:
    """The studies around those of the masks that can be tuned. Raises the first mask's ValueError if none can."""
    found, refused = [], []
    for mask in masks:
        try:
            found.append(study_around(mask, num_seeds=num_seeds, num_transfer_samples=num_transfer_samples))
        except ValueError as error:
            refused.append(error)
    if not found:
        raise ValueError(f"no study searches the grid's masks: {refused[0]}")
    return tuple(found)


def tuned_on(mask: Discover, validation: TuningValidation) -> Discover:
    """The mask, with its epochs judged on rows that nothing reported has."""
    kept = mask.kept_epoch
    if isinstance(kept, BestEpoch) and kept.curve == "subtask_accuracy":
        kept = replace(kept, curve="tuning_accuracy")
    return replace(mask, validation=validation, kept_epoch=kept)


def study_around(mask: Discover, *, num_seeds: int, num_transfer_samples: int) -> Study:
    """A study that searches two orders of magnitude or so around a mask's setting, with its data.

    Raises ValueError if its task has no rows to tune on, or its method no values to search.
    """
    penalty = mask.method.searched()["penalty"] or 1e-7
    validation = TuningValidation(
        num_samples=mask.num_evaluation_samples, num_seeds=num_seeds, num_transfer_samples=num_transfer_samples
    )
    published, rate = tuned_on(mask, validation), mask.optimizer.learning_rate
    return Study(
        base=published,
        published=published,
        penalty=Range(low=penalty / 10, high=penalty * 1000, scale="log"),
        final_temperature=Range(low=10.0, high=1000.0, scale="log"),
        initial_logit=Range(low=-0.3, high=0.3, scale="linear"),
        learning_rate=Range(low=rate / 3, high=rate * 30, scale="log"),
        num_epochs=Epochs(low=max(1, mask.num_epochs // 3), high=mask.num_epochs + 1),
        num_startup_trials=10,
        seed=0,
    )


def _descends(run: Run, masks: Collection[Run]) -> bool:
    return any(each in masks for each in lineage(run))
