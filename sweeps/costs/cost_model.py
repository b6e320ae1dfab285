"""What a pack costs: a model of its seconds that is linear in its replicas.

    seconds = start + passes · overhead + replicas · (operations · second/operation + elements · second/element)

A pass is one layer run forward and backward in one step, whatever the number of replicas; operations are those of
products with parameters, elements those of activations, which stand for all that memory rather than arithmetic limits.
An evaluation costs a third of a training step on the same rows, for it runs forward only. The coefficients belong to a
stage, a family of networks, a precision and a device. sweeps.costs.fit scales them by the speed of finished packs.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from statistics import median
from typing import Literal, get_args

from subind.specs.optimizers import Precision
from subind.specs.run import STAGES, Run, Stage
from sweeps.costs.devices import card_of
from sweeps.costs.work import work

SEQUENCES, IMAGES, OTHERS = "sequences", "images", ""
"""Families of networks whose times were measured; any other family is taken for OTHERS until packs of it are finished.
"""

PRODUCT_SPEED = 70e9
"""Operations a second of one core in small float32 matrix products, on the machine of the CPU's coefficients."""

SATURATED = 0.01
"""A pack whose passes take less than this share of its time gains nothing from further replicas."""

Basis = Literal["assumed", "calibrated", "measured"]


Kind = tuple[Stage, str, str]
"""What the coefficients belong to: the stage, the family of networks, and the precision."""


def kind(run: Run) -> Kind:
    """The kind of a run."""
    return run.stage, run.network.family, run.precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """Seconds per pack, per pass, per operation and per element."""

    start: float
    overhead: float
    operation: float
    element: float

    def scaled(self, factor: float) -> "Coefficients":
        """All of them times a factor."""
        return Coefficients(
            start=self.start * factor,
            overhead=self.overhead * factor,
            operation=self.operation * factor,
            element=self.element * factor,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Seconds of a pack of one shape: `start` once, `passes` whatever its replicas, `each` for every one of them."""

    start: float
    passes: float
    each: float

    def seconds(self, replicas: int, *, sharing: int = 1) -> float:
        """The time of a pack on a device that `sharing` such packs share.

        The passes of one pack are waiting rather than work, in which the others' replicas train.
        """
        work = replicas * self.each
        return self.start + max(self.passes + work, sharing * work)

    def saturating(self) -> int:
        """The replicas from which on a pack's time grows with each further one as if it trained alone.

        Where replicas train one after another, the start of the worker alone is shared.
        """
        shared = self.passes or self.start
        return max(1, math.ceil(shared / (SATURATED * self.each))) if self.each > 0 else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The part of the planned epochs that finished runs have trained: the mean, and the longest."""

    mean: float
    longest: float


Patience = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """The coefficients of a device by the kind of runs, and the seconds around the packs.

    `basis` says what they rest on: finished packs (measured), a matrix product timed now (calibrated), or a table
    (assumed); `num_packs` is how many finished packs of a kind were seen. `shares` are by what runs that stop early
    alike have in common (`patience`). `begin` are the seconds until the first pack trains, `end` those after the last
    one and `end_of_run` its share for each run, `hand_over` those between two packs of a worker.
    """

    basis: Basis
    coefficients: Mapping[Kind, Coefficients]
    num_packs: Mapping[Kind, int] = field(default_factory=dict)
    shares: Mapping[Patience, Shares] = field(default_factory=dict)
    begin: float
    end: float
    end_of_run: float
    hand_over: float

    def of(self, key: Kind) -> Coefficients:
        """The coefficients of a kind of runs."""
        stage, _, precision = key
        return self.coefficients.get(key) or self.coefficients[stage, OTHERS, precision]

    def price(self, run: Run) -> Price:
        """What packs of the run's shape cost."""
        known, asked, shares = self.of(kind(run)), work(run), self._shares(run)
        waiting = asked.passes * known.overhead
        own = asked.operations * known.operation + asked.elements * known.element
        start = self.hand_over + known.start
        if asked.is_packed:
            return Price(start=start, passes=shares.longest * waiting, each=shares.mean * own)
        return Price(start=start, passes=0.0, each=shares.mean * (waiting + own))

    def may_stop_early(self, run: Run) -> bool:
        """Whether a run may be done before its last epoch and nothing is known of how early."""
        num_epochs, fewest = patience(run)
        return fewest < num_epochs and patience(run) not in self.shares

    def at_least(self, run: Run) -> Price:
        """What packs of the run's shape cost if it stops as early as it can, where nothing is known of how early."""
        if not self.may_stop_early(run):
            return self.price(run)
        num_epochs, fewest = patience(run)
        earliest = {patience(run): Shares(mean=fewest / num_epochs, longest=fewest / num_epochs)}
        return replace(self, shares={**self.shares, **earliest}).price(run)

    def _shares(self, run: Run) -> Shares:
        return self.shares.get(patience(run)) or Shares(mean=1.0, longest=1.0)

    def scaled(self, factor: float) -> "CostModel":
        """The model of a machine that takes `factor` times as long for everything."""
        return replace(
            self,
            coefficients={key: each.scaled(factor) for key, each in self.coefficients.items()},
            begin=self.begin * factor,
            end=self.end * factor,
            end_of_run=self.end_of_run * factor,
            hand_over=self.hand_over * factor,
        )


def patience(run: Run) -> Patience:
    """What runs must have in common to stop early alike: their epochs, and the fewest after which they may stop."""
    length = run.length()
    return length.num_epochs, length.fewest_epochs


# ---- defaults


def cpu_model() -> CostModel:
    """The model of one core of the machine where it was measured, at PRODUCT_SPEED.

    The coefficients are the non-negative least-squares fit to the CPU time of training steps on one thread while other
    work kept both cores busy: lower quartiles over the steps of the packed trainer for each stage, with 1 to 10
    replicas, at depths 2, 6 and 12 of the paper's protocol at batch 50 and in the shape of `quickstart`. The fit is
    within 16% of each of them. What is around the packs was measured there with `quickstart` and the grid
    of `python -m benchmarks grid`; `begin` has the five seconds that the first pack of a worker takes longer, for
    PyTorch's
    own imports. Other precisions are taken for as fast as float32 until packs of them have been finished.
    """
    sequences: Mapping[Stage, Coefficients] = {
        "donor": Coefficients(start=0.2, overhead=6.0e-4, operation=1.74e-11, element=5.3e-8),
        "mask": Coefficients(start=0.2, overhead=7.6e-4, operation=2.2e-11, element=5e-9),
        "transfer": Coefficients(start=0.2, overhead=1.16e-3, operation=1.8e-11, element=6.2e-8),
        "measurement": Coefficients(start=0.2, overhead=6.0e-4, operation=1.74e-11, element=5.3e-8),
    }
    return CostModel(
        basis="assumed",
        coefficients={
            (stage, family, precision): sequences[stage] if family == SEQUENCES else several
            for family, several in ((SEQUENCES, OF_OTHERS), (IMAGES, OF_IMAGES), (OTHERS, OF_OTHERS))
            for stage, precision in product(STAGES, get_args(Precision))
        },
        begin=35.0,
        end=8.0,
        end_of_run=0.02,
        hand_over=0.3,
    )


OF_IMAGES = Coefficients(start=0.2, overhead=4e-4, operation=2.0e-11, element=1.5e-8)
"""Of networks for images on a core of that machine, in every stage; `overhead` stands for drawing the pictures, which a
pack does once, for its replicas train one after another."""

OF_OTHERS = Coefficients(start=0.2, overhead=1e-4, operation=5.0e-11, element=5e-8)
"""Of any other network on such a core; `overhead` is that of a parameter's operations in a step: forward, backward, and
those of the optimiser."""

SHARE_OF_PEAK = 0.4
"""Assumed of batched products and of memory alike."""

SPEED_OF_PRECISION: Mapping[Precision, float] = {
    "float32": 1.0,
    "tf32": 4.0,
    "bfloat16": 8.0,
    "float32_channels_last": 1.0,
    "bfloat16_channels_last": 8.0,
}
"""Assumed of products on a GPU's tensor cores, whose peaks are higher still, beside float32 without them."""

BYTES_OF_AN_ELEMENT = 600.0
"""Assumed traffic per activation element of a layer, forward and backward: what the CPU's fit is at 7 GB/s a core."""

BYTES_OF_AN_ELEMENT_OF_IMAGES = 40.0
"""Assumed of networks for images, whose layers are a few large kernels: what a step keeps of an element, several times
written and read."""

SECONDS_OF_A_PASS = 1.5e-4
"""Assumed: some sixty kernels of a layer, forward, backward and optimiser, at 2.5 µs each."""


def gpu_model(name: str) -> CostModel | None:
    """The model of a card by its name, assumed until packs have been computed on one; None if it is not in CARDS."""
    card = card_of(name)
    return None if card is None else _gpu_model(card.operations, card.memory_speed)


def unknown_gpu_model() -> CostModel:
    """The model of a card of which nothing is known, good enough to cut packs by."""
    return _gpu_model(30e12, 1e12)


def _gpu_model(operations_a_second: float, bytes_a_second: float) -> CostModel:
    def of(family: str, precision: Precision) -> Coefficients:
        bytes_of_one = BYTES_OF_AN_ELEMENT_OF_IMAGES if family == IMAGES else BYTES_OF_AN_ELEMENT
        speed = SPEED_OF_PRECISION[precision]
        return Coefficients(
            start=3.0,
            overhead=SECONDS_OF_A_PASS,
            operation=1 / (SHARE_OF_PEAK * speed * operations_a_second),
            element=bytes_of_one / (SHARE_OF_PEAK * bytes_a_second),
        )

    kinds = product(STAGES, (SEQUENCES, IMAGES, OTHERS), SPEED_OF_PRECISION)
    return replace(cpu_model(), coefficients={(stage, family, each): of(family, each) for stage, family, each in kinds})


@cache
def slowness() -> float:
    """How many times longer a core of this machine takes for matrix products than at PRODUCT_SPEED, timed once.

    The products are so small that each runs on one thread, and their CPU time is taken: so the forecast is for cores
    that the sweep has to itself, whatever else keeps them busy just now.
    """
    import numpy as np

    number, size = 200, 64
    left = np.ones((number, size, size), dtype=np.float32)
    times = []
    for _ in range(9):
        start = time.thread_time()
        left @ left
        times.append(time.thread_time() - start)
    return PRODUCT_SPEED * median(times) / (2 * number * size**3)
