"""The measured speed of a device: how many times longer its finished packs took than by default."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean, median

from subind.specs.run import Run
from subind.store.results import RunRecord
from sweeps.costs.cost_model import Coefficients, CostModel, Kind, Patience, Shares, kind, patience
from sweeps.costs.devices import CPU
from sweeps.costs.work import Work, work

SECONDS_OF_A_MOMENT = 2.0
"""A pack with less work than this tells of a worker's start, and not of a device's speed."""

LEAST_SECONDS = 1e-3
"""No work counts as free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A finished pack: what it asked for in all, and how long it took."""

    kind: Kind
    asked: Work
    seconds: float


def fitted(model: CostModel, records: Iterable[tuple[Run, RunRecord]], *, device: str) -> CostModel:
    """The model at the speed of the packs that were finished on the named device, if there are any.

    A stage without packs of its own, and on a CPU what is around the packs, takes as many times longer as the work of
    the stages that have some. How early runs stop is learnt from any device.
    """
    found = list(records)
    shared = replace(model, shares=shares(found))
    seen: dict[Kind, list[Observation]] = defaultdict(list)
    for each in observations(found, device=device):
        seen[each.kind].append(each)
    if not seen:
        return shared
    speeds = _speeds(model, seen)
    slower = geometric_mean(speeds.values()) if speeds else 1.0
    scaled = replace(
        shared.scaled(slower) if device == CPU else shared,
        coefficients={key: each.scaled(speeds.get(key, slower)) for key, each in _all(model, seen).items()},
    )
    started = {key: _started(scaled, key, packs) for key, packs in seen.items()}
    return replace(
        scaled,
        basis="measured",
        num_packs={key: len(each) for key, each in seen.items()},
        coefficients={**scaled.coefficients, **started},
    )


def _all(model: CostModel, seen: Iterable[Kind]) -> dict[Kind, Coefficients]:
    """The coefficients of the model, with those of the kinds that were seen."""
    return {**model.coefficients, **{key: model.of(key) for key in seen}}


def observations(records: Iterable[tuple[Run, RunRecord]], *, device: str) -> list[Observation]:
    """The packs on the named device to which the records belong.

    Runs of a pack share its start, host and size. Those whose record is not given are as those whose is, on average.
    """
    packs: dict[tuple[object, ...], list[tuple[Run, RunRecord]]] = defaultdict(list)
    for spec, record in records:
        made = record.provenance
        if made.device == device and made.seconds > 0 and record.curves.get("epoch"):
            packs[made.started, made.host, made.pack_size, spec.pack_shape()].append((spec, record))
    return [_observation(members) for members in packs.values()]


def _observation(members: Sequence[tuple[Run, RunRecord]]) -> Observation:
    first, made = max(members, key=lambda each: each[0].length().num_epochs)[0], members[0][1].provenance
    asked, parts = work(first), [_share(record, of=first.length().num_epochs) for _, record in members]
    replicas = made.pack_size * sum(parts) / len(parts)
    return Observation(
        kind=kind(first),
        asked=Work(
            passes=(max(parts) if asked.is_packed else replicas) * asked.passes,
            operations=replicas * asked.operations,
            elements=replicas * asked.elements,
        ),
        seconds=max(record.provenance.seconds for _, record in members),
    )


def _share(record: RunRecord, *, of: int) -> float:
    """The part of so many epochs that the run has trained."""
    return min(1.0, max(1.0, record.curves["epoch"][-1]) / max(1, of))


def shares(records: Iterable[tuple[Run, RunRecord]]) -> dict[Patience, Shares]:
    """How much of their epochs the finished runs that may stop early have trained, by what makes these stop alike."""
    parts: dict[Patience, list[float]] = defaultdict(list)
    for run, record in records:
        num_epochs, fewest = patience(run)
        if fewest < num_epochs and record.curves.get("epoch"):
            parts[patience(run)].append(_share(record, of=num_epochs))
    return {key: Shares(mean=sum(each) / len(each), longest=max(each)) for key, each in parts.items()}


def _speeds(model: CostModel, seen: Mapping[Kind, Sequence[Observation]]) -> dict[Kind, float]:
    """How many times longer than by default the median pack of each kind took; packs of a moment do not tell it."""
    ratios = {
        key: [_ratio(model.of(key), each) for each in packs if _is_long(model, each)] for key, packs in seen.items()
    }
    return {key: median(several) for key, several in ratios.items() if several}


def _ratio(default: Coefficients, pack: Observation) -> float:
    return max(pack.seconds - default.start, LEAST_SECONDS) / _work_seconds(default, pack.asked)


def _is_long(model: CostModel, pack: Observation) -> bool:
    return _work_seconds(model.of(pack.kind), pack.asked) >= SECONDS_OF_A_MOMENT


def _started(model: CostModel, key: Kind, packs: Sequence[Observation]) -> Coefficients:
    """The coefficients of a kind, with the start that its packs of a moment had on top of their work."""
    now = model.of(key)
    starts = [each.seconds - _work_seconds(now, each.asked) for each in packs if not _is_long(model, each)]
    return replace(now, start=max(now.start, median(starts))) if starts else now


def _work_seconds(of: Coefficients, asked: Work) -> float:
    return of.overhead * asked.passes + of.operation * asked.operations + of.element * asked.elements
