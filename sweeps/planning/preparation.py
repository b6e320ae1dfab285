"""What `plan` and `run` prepare: the packs of a grid for the workers of this machine, and how long they take."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from subind.identity.json_files import MOST_CURVE_VALUES
from subind.identity.run_ids import decode
from subind.specs.run import Run
from subind.store.results import RunRecord
from subind.store.store import Checkpoint, Store
from sweeps.costs.cost_model import CostModel, cpu_model, gpu_model, slowness, unknown_gpu_model
from sweeps.costs.devices import MOST_SHARING
from sweeps.costs.fit import fitted
from sweeps.costs.memory import LARGEST_DEVICE, check_fits
from sweeps.costs.work import size_of
from sweeps.hosts.workers import Workers
from sweeps.planning.forecast import Forecast, forecast
from sweeps.planning.keeping import kept_bytes
from sweeps.planning.plan import Crew, Plan, packed
from sweeps.planning.request import Request, accounted

MOST_RECORDS = 200
"""Records of finished runs that are read to learn what packs cost here."""

GAIN_OF_SHARING = 0.9
"""One more pack on a GPU must leave less than this part of the makespan, for it takes memory and a core."""


CURVES = 12
"""Curves of a run at most, without those of a mask's tensors, which has a curve of the density of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan in packs, the workers that it is packed for, and its forecast, None where there is no ground for one."""

    plan: Plan
    workers: Workers
    forecast: Forecast | None

    def data(self) -> dict[str, Any]:
        """The plan and its forecast as JSON data."""
        found, times = self.plan, self.forecast
        return {
            "grid": found.grid,
            "cells": len(found.runs),
            "finished": len(found.finished),
            "failed": len(found.failed),
            "blocked": len(found.blocked),
            "missing": len(found.missing),
            "stale": len(found.stale),
            "damaged": dict(found.damaged),
            "packs": len(found.packs),
            "stages": {stage: found.num_runs(stage) for stage in found.stages},
            "kept": len(found.kept),
            "kept_bytes": kept_bytes(found),
            "unkept": len(found.unkept),
            "forecast_seconds": None if times is None else times.seconds,
            "forecast": None if times is None else times.data(),
        }


def prepared(request: Request, store: Store, workers: Workers) -> Prepared:
    """The plan for a request, packed for the workers, with its forecast.

    Raises ValueError for a bad condition, imported weights that the store lacks, or a
    precision that the device lacks.
    """
    found = accounted(request, store)
    _check_precisions(found, workers.device)
    several = [found.runs[run] for run in found.missing]
    check_fits(several, device_bytes=LARGEST_DEVICE, device="the largest machine known has")
    check_curves(several)
    _check_built(several)
    model = cost_model(store, workers) if found.missing else cpu_model()
    plan, workers = _packed(found, store.checkpoints(), workers, model or unknown_gpu_model())
    if model is None:
        return Prepared(plan=plan, workers=workers, forecast=None)
    factor = slowness() if plan.packs and _is_to_be_calibrated(model, workers) else 1.0
    times = forecast(plan, model, num_workers=workers.num_workers, sharing=workers.sharing, slowness=factor)
    return Prepared(plan=plan, workers=workers, forecast=times)


def _check_precisions(found: Plan, device: str) -> None:
    for run in found.missing:
        if found.runs[run].precision == "tf32" and device == "cpu":
            raise ValueError(
                f"precision of run {run} is 'tf32', which only CUDA devices have, and this run is for the CPU: "
                "use --device cuda, or give 'float32' or 'bfloat16'"
            )


def _check_built(several: Sequence[Run]) -> None:
    """Try out what a user has written, where there is such a part or one that only its network can check."""
    if any(run.has_unchecked_parts() for run in several):
        from subind.stages.trial import check_built

        check_built(several)


def check_room(made: Prepared) -> None:
    """Refuse runs of which not one replica fits the memory that the workers have now. Raises ValueError."""
    of_device = "this machine has free" if made.workers.device == "cpu" else f"a {made.workers.name} has free"
    several = [made.plan.runs[run] for run in made.plan.missing]
    check_fits(several, device_bytes=made.workers.free_bytes, device=of_device)


def check_curves(several: Iterable[Run]) -> None:
    """Refuse runs whose record has no room for a value of each curve and epoch. Raises ValueError."""
    for run in several:
        num_curves, length = CURVES + (size_of(run).num_masks if run.stage == "mask" else 0), run.length()
        most = MOST_CURVE_VALUES // (max(1, length.evaluations_per_epoch) * num_curves)
        if length.num_epochs > most:
            name = type(run).__name__
            raise ValueError(
                f"{name}.num_epochs is {length.num_epochs:,}: give at most {most:,}, for its curves to fit a record"
            )


def _is_to_be_calibrated(model: CostModel, workers: Workers) -> bool:
    """Whether the forecast rests on another machine. The packing does not depend on how fast this one is just now."""
    return workers.device == "cpu" and model.basis == "assumed"


def cost_model(store: Store, workers: Workers) -> CostModel | None:
    """What packs cost on the workers' device, as far as the store's runs and the card's name tell; None if nothing."""
    default = cpu_model() if workers.device == "cpu" else gpu_model(workers.name)
    found = fitted(default or unknown_gpu_model(), measured_runs(store), device=workers.name)
    return None if default is None and found.basis != "measured" else found


def measured_runs(store: Store) -> Iterator[tuple[Run, RunRecord]]:
    """Some finished runs of the store, of whatever grid; those of a spec that is no more are left out."""
    for record in store.sampled_records(MOST_RECORDS):
        try:
            yield decode(record.spec), record
        except ValueError:
            continue


def _packed(
    found: Plan, checkpoints: tuple[Checkpoint, ...], workers: Workers, model: CostModel
) -> tuple[Plan, Workers]:
    """The plan in packs, on GPUs with as many packs on each as shorten it."""

    def option(of: Workers) -> Plan:
        crew = Crew(num_workers=of.num_workers, sharing=of.sharing, free_bytes=of.free_bytes_of_one, model=model)
        return packed(found, checkpoints=checkpoints, crew=crew)

    best, taken = option(workers), workers
    most = 1 if workers.device == "cpu" else min(MOST_SHARING, workers.num_cores // workers.num_workers)
    for number in range(2, most + 1):
        other = option(workers.shared(number))
        if other.schedule.makespan < GAIN_OF_SHARING * best.schedule.makespan:
            best, taken = other, workers.shared(number)
    return best, taken
