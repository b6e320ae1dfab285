"""How a mask is discovered. What computes with these stands in `subind.masks`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from subind.specs.base import Open, at_most, not_negative, positive, require
from subind.specs.temperature import TemperatureSchedule

STRONGEST = 1e6
"""Of penalties and logits; the paper's are 1e-7 and -0.1."""

MOST_MASKS = 64


class MaskMethod(Open):
    """A base of mask methods: each trains one logit for every maskable weight; the hard mask is logit > 0."""

    __slots__ = ()

    def columns(self) -> Mapping[str, Any]:
        """Columns of a result row from the fields of the method."""
        return {}

    def shape(self) -> tuple[object, ...]:
        """What the replicas of one pack share."""
        return (self,)

    def searched(self) -> Mapping[str, float]:
        """The fields that a study searches: penalty, final_temperature and initial_logit.

        Raises ValueError for a method that lacks one of them.
        """
        raise ValueError(f"method is a {type(self).__name__}: a study searches masks of ContinuousSparsification")

    def with_searched(self, values: Mapping[str, float]) -> "MaskMethod":
        """The method with other values of these fields. Raises ValueError as `searched`."""
        raise ValueError(f"method is a {type(self).__name__}: a study searches masks of ContinuousSparsification")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuousSparsification(MaskMethod):
    """The soft mask σ(τ·s) of logits s, whose temperature τ grows from epoch to epoch (Savarese et al. 2020).

    Loss = that of the task + penalty · Σσ(τ·s).
    """

    behaviour: ClassVar[str] = "subind.masks.continuous_sparsification:Behaviour"

    initial_logit: float
    penalty: float
    temperature: TemperatureSchedule

    def _check(self) -> None:
        _check_strength(self)

    def columns(self) -> Mapping[str, Any]:
        return {
            "penalty": self.penalty,
            "temperature_schedule": self.temperature.name,
            "final_temperature": self.temperature.final,
        }

    def shape(self) -> tuple[object, ...]:
        return (type(self),)

    def searched(self) -> Mapping[str, float]:
        return {
            "penalty": self.penalty,
            "final_temperature": self.temperature.final,
            "initial_logit": self.initial_logit,
        }

    def with_searched(self, values: Mapping[str, float]) -> MaskMethod:
        return replace(
            self,
            penalty=values["penalty"],
            temperature=replace(self.temperature, final=values["final_temperature"]),
            initial_logit=values["initial_logit"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StraightThrough(MaskMethod):
    """Sampled binary masks 1[σ(l + g) > ½] with logistic noise g, whose gradient is that of σ(l + g).

    A step samples `num_masks` masks, each for an equal part of the batch. Loss = that of the task +
    penalty / batch size · Σl, on the logits themselves (Csordás, van Steenkiste and Schmidhuber 2021).
    """

    behaviour: ClassVar[str] = "subind.masks.straight_through:Behaviour"

    initial_logit: float
    penalty: float
    num_masks: int

    def _check(self) -> None:
        _check_strength(self)
        positive(self, "num_masks")
        at_most(self, MOST_MASKS, "num_masks")

    def columns(self) -> Mapping[str, Any]:
        return {"penalty": self.penalty}

    def shape(self) -> tuple[object, ...]:
        return type(self), self.num_masks


def _check_strength(method: ContinuousSparsification | StraightThrough) -> None:
    """Raise ValueError for a penalty or a logit with which no gradient is left."""
    not_negative(method, "penalty")
    at_most(method, STRONGEST, "penalty", "initial_logit")
    require(method.initial_logit >= -STRONGEST, method, "initial_logit", f"give at least {-STRONGEST:,}")
