"""How long a plan takes: the simulated schedule of its packs, and the seconds before the first and after the last."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from subind.spec import STAGES, Stage
from sweeps.cost import Basis, CostModel
from sweeps.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class StageForecast:
    """The packs of a stage: runs, packs, the fewest and the most replicas of one, and seconds of all workers in all."""

    runs: int
    packs: int
    least_replicas: int
    most_replicas: int
    worker_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The seconds of a sweep from the command to its report.

    `at_most` says that some donors may stop early and nothing is known of how early; `basis` what the forecast rests
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
        stages={stage: _stage(found, stage, slowness) for stage in STAGES},
    )


def _stage(found: Plan, stage: Stage, slowness: float) -> StageForecast:
    places = [place for place, pack in enumerate(found.packs) if pack.stage == stage]
    sizes = [len(found.packs[place].specs) for place in places]
    times = found.schedule
    return StageForecast(
        runs=sum(sizes),
        packs=len(sizes),
        least_replicas=min(sizes, default=0),
        most_replicas=max(sizes, default=0),
        worker_seconds=slowness * sum(times.ends[place] - times.starts[place] for place in places),
    )
