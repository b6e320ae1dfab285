"""What a study searches over and what it keeps fixed: plain data, which a grid's module states beside its grid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from subind.specs.base import Checked, not_negative, positive, require
from subind.specs.runs import Mask, Transfer
from subind.specs.temperature import TemperatureSchedule
from subind.specs.tuning import OwnValidation, TuningValidation

NUM_SEEDS = 10
"""Seeds whose reported samples the default studies avoid."""

Values = Mapping[str, float | int]
"""What a trial sets, by the names of PARAMETERS."""

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

    A trial is `base` with the searched fields replaced; its validation is apart from all that is reported. `published`
    is the setting that the front is compared with. The first `num_startup_trials` are drawn uniformly.
    """

    base: Mask
    published: Mask
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
            mask: Mask = getattr(self, name)
            remedy = "give a TuningValidation, so that nothing reported is tuned on"
            require(not isinstance(mask.validation, OwnValidation), self, f"{name}.validation", remedy)
        remedy = "the temperature begins at 1"
        require(self.final_temperature.low >= 1, self, "final_temperature.low", remedy)
        remedy = "both masks are of one subtask in one donor"
        same = (self.base.subtask, self.base.donor) == (self.published.subtask, self.published.donor)
        require(same, self, "published.subtask", remedy)

    @property
    def name(self) -> str:
        """Task and architecture, in words that are fit for files."""
        rule = self.base.subtask.rule.replace(" ", "").replace("*", "x")
        return f"{rule}-layers{self.base.donor.model.num_layers}-seed{self.base.seed}"

    def mask(self, values: Values) -> Mask:
        """The mask of a trial."""
        return with_values(self.base, values)


def with_values(mask: Mask, values: Values) -> Mask:
    """The mask with the searched fields replaced. Raises ValueError unless all of PARAMETERS are given."""
    if set(values) != set(PARAMETERS):
        raise ValueError(f"the parameters of a trial are {sorted(values)}: give {', '.join(PARAMETERS)}")
    return replace(
        mask,
        penalty=float(values["penalty"]),
        temperature=TemperatureSchedule(name=mask.temperature.name, final=float(values["final_temperature"])),
        initial_logit=float(values["initial_logit"]),
        optimizer=replace(mask.optimizer, learning_rate=float(values["learning_rate"])),
        num_epochs=int(values["num_epochs"]),
    )


def values_of(mask: Mask) -> dict[str, float | int]:
    """The searched fields of a mask."""
    return {
        "penalty": mask.penalty,
        "final_temperature": mask.temperature.final,
        "initial_logit": mask.initial_logit,
        "learning_rate": mask.optimizer.learning_rate,
        "num_epochs": mask.num_epochs,
    }


def default_studies(cells: Iterable[Transfer]) -> tuple[Study, ...]:
    """A study around the first mask of each task and architecture of a grid, with the grid's data.

    Raises ValueError if the grid has no mask, or evaluates transfers on several numbers of samples.
    """
    given = tuple(cells)
    masks = [mask for cell in given if (mask := getattr(cell.control, "mask", None)) is not None]
    first = {(mask.subtask, mask.donor.task, mask.donor.model): mask for mask in reversed(masks)}
    if not first:
        raise ValueError("the grid has no mask to tune: give it a control that is made from one")
    numbers = sorted({cell.num_evaluation_samples for cell in given})
    if len(numbers) > 1:
        raise ValueError(f"Transfer.num_evaluation_samples are {numbers}: state studies() beside grid()")
    num_seeds = max(NUM_SEEDS, 1 + max(cell.seed for cell in given))
    return tuple(study_around(mask, num_seeds=num_seeds, num_transfer_samples=numbers[0]) for mask in first.values())


def study_around(mask: Mask, *, num_seeds: int, num_transfer_samples: int) -> Study:
    """A study that searches two orders of magnitude or so around a mask's setting, with its data."""
    validation = TuningValidation(
        num_samples=mask.num_evaluation_samples, num_seeds=num_seeds, num_transfer_samples=num_transfer_samples
    )
    published, rate = replace(mask, validation=validation), mask.optimizer.learning_rate
    penalty = mask.penalty or 1e-7
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
