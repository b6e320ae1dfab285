"""How long a plan takes: the simulated schedule of its packs, and the seconds before the first and after the last."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from subind.specs.run import Stage
from sweeps.costs.cost_model import Basis, CostModel, kind
from sweeps.planning.plan import Pack, Plan

StageBasis = Basis | Literal["scaled"]
"""What the forecast of a stage rests on; `scaled` are defaults, made as slow as measured packs of other stages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageForecast:
    """The packs of a stage: runs, packs, the fewest and the most replicas of one, and seconds of all workers in all.

    `least_worker_seconds` is what they take if runs of which nothing is known stop as early as they can; elsewhere it
    is the same. `num_measured` finished packs of the stage were seen.
    """

    runs: int
    packs: int
    least_replicas: int
    most_replicas: int
    worker_seconds: float
    least_worker_seconds: float
    basis: StageBasis
    num_measured: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The seconds of a sweep from the command to its report.

    `at_most` says that some runs may stop early and nothing is known of how early; `basis` what the forecast rests
    on. `num_workers` packs train at once, `sharing` of them on one device. `gain_of_packing` is the makespan of the
    naive rule (as few packs as memory allows, but one for each worker) over that of the packs.
    """

    seconds: float
    at_most: bool
    basis: Basis
    num_workers: int
    sharing: int
    gain_of_packing: float
    stages: Mapping[Stage, StageForecast]

    def data(self) -> dict[str, Any]:
        """The forecast as JSON data."""
        return asdict(self)


def forecast(found: Plan, model: CostModel, *, num_workers: int, sharing: int, slowness: float) -> Forecast:
    """The forecast of a plan on a machine that takes `slowness` times as long as the model says."""
    seconds = model.begin + found.schedule.makespan + model.end + model.end_of_run * len(found.runs)
    return Forecast(
        seconds=slowness * seconds if found.packs else 0.0,
        at_most=any(model.may_stop_early(spec) for pack in found.packs for spec in pack.specs),
        basis=model.basis if slowness == 1 else "calibrated",
        num_workers=num_workers,
        sharing=sharing,
        gain_of_packing=found.naive_makespan / found.schedule.makespan if found.packs else 1.0,
        stages={stage: _stage(found, model, stage, slowness=slowness, sharing=sharing) for stage in found.stages},
    )


def _stage(found: Plan, model: CostModel, stage: Stage, *, slowness: float, sharing: int) -> StageForecast:
    places = [place for place, pack in enumerate(found.packs) if pack.stage == stage]
    packs = [found.packs[place] for place in places]
    sizes, times = [len(pack.specs) for pack in packs], found.schedule
    seconds = [times.ends[place] - times.starts[place] for place in places]
    least = [_least_seconds(pack, model, most, sharing) for pack, most in zip(packs, seconds, strict=True)]
    seen = [model.num_packs.get(each, 0) for each in {kind(pack.specs[0]) for pack in packs}]
    return StageForecast(
        runs=sum(sizes),
        packs=len(sizes),
        least_replicas=min(sizes, default=0),
        most_replicas=max(sizes, default=0),
        worker_seconds=slowness * sum(seconds),
        least_worker_seconds=slowness * sum(least),
        basis=_stage_basis(model, seen, slowness),
        num_measured=sum(seen),
    )


def _least_seconds(pack: Pack, model: CostModel, most: float, sharing: int) -> float:
    """What the pack takes if it ends as early as it can, if nothing is known of that; else what it takes."""
    first = pack.specs[0]
    if not model.may_stop_early(first):
        return most
    return min(most, model.at_least(first).seconds(len(pack.specs), sharing=sharing))


def _stage_basis(model: CostModel, seen: Sequence[int], slowness: float) -> StageBasis:
    """By how many packs of each precision of the stage were seen."""
    if model.basis == "measured":
        return "measured" if all(seen) else "scaled"
    return model.basis if slowness == 1 else "calibrated"
