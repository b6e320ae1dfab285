"""The cost model's coefficients from packs that were finished: a fit that leans on the defaults as far as it must."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean, median

import numpy as np

from subind.specs.run import Run
from subind.store.results import RunRecord
from sweeps.costs.cost_model import CPU, Coefficients, CostModel, Kind, Patience, Shares, kind, patience
from sweeps.costs.work import Work, work

FIRST_PULL, SECOND_PULL = 0.003, 0.03
"""What a deviation of a coefficient from its default weighs beside one of a pack from its forecast, both relative."""

SECONDS_OF_DOUBT = 2.0
"""So much work must be seen before a machine counts as faster or slower than by default."""

LEAST_FACTOR = 0.01
"""No coefficient falls below this part of its default: work never counts as free."""

OUTLIER = 3.0
"""A pack that took this many times more or less than its fit was disturbed, and is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A finished pack: what it asked for in all, and how long it took."""

    kind: Kind
    asked: Work
    seconds: float


def fitted(model: CostModel, records: Iterable[tuple[Run, RunRecord]], *, device: str) -> CostModel:
    """The model, with coefficients that follow the packs that were finished on the named device, if there are any.

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
    fits = {key: fitted_coefficients(model.of(key), several) for key, several in seen.items()}
    slower = geometric_mean(_work_ratio(fits[key], model.of(key), each) for key, each in seen.items())
    return replace(
        shared.scaled(slower) if device == CPU else shared,
        basis="measured",
        num_packs={key: len(each) for key, each in seen.items()},
        coefficients={**{key: each.scaled(slower) for key, each in model.coefficients.items()}, **fits},
    )


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


def fitted_coefficients(default: Coefficients, packs: Sequence[Observation]) -> Coefficients:
    """The bounded least-squares fit to the packs' times, drawn a little towards the default.

    So what the packs do not tell apart is shared out as the default has it: a pack of a moment tells of the start and
    hardly of the work. A first fit tells how slow the machine is and which packs were disturbed; the second is drawn to
    the default of such a machine.
    """
    first = _fit(default, packs, pull=FIRST_PULL)
    ratios = [each.seconds / max(_seconds(first, each.asked), 1e-9) for each in packs]
    kept = [each for each, ratio in zip(packs, ratios, strict=True) if 1 / OUTLIER < ratio < OUTLIER]
    if len(kept) < len(packs) / 2:
        return first
    centre = replace(default.scaled(_work_ratio(first, default, kept)), start=first.start)
    return _fit(centre, kept, pull=SECOND_PULL)


def _fit(default: Coefficients, packs: Sequence[Observation], *, pull: float) -> Coefficients:
    """The fit, with deviations relative to what the default, made as slow as the median pack, says of each pack."""
    from scipy.optimize import lsq_linear

    typical = median(each.seconds / _seconds(default, each.asked) for each in packs)
    weights = np.array([[1 / (typical * _seconds(default, each.asked))] for each in packs])
    terms = np.array([_terms(default, each.asked) for each in packs]) * weights
    seconds = np.array([each.seconds for each in packs]) * weights[:, 0]
    pulls = pull * np.eye(terms.shape[1])
    fit = lsq_linear(np.vstack([terms, pulls]), np.concatenate([seconds, pulls.sum(1)]), bounds=(LEAST_FACTOR, np.inf))
    start, overhead, operation, element = map(float, fit.x)
    return Coefficients(
        start=default.start * start,
        overhead=default.overhead * overhead,
        operation=default.operation * operation,
        element=default.element * element,
    )


def _work_ratio(fit: Coefficients, default: Coefficients, packs: Sequence[Observation]) -> float:
    """How many times longer the work of the packs takes than by default, their starts apart.

    Work of SECONDS_OF_DOUBT as by default is added, so that packs of a moment do not tell it.
    """
    now, then = (sum(_seconds(of, each.asked) - of.start for each in packs) for of in (fit, default))
    return (now + SECONDS_OF_DOUBT) / (then + SECONDS_OF_DOUBT)


def _seconds(coefficients: Coefficients, asked: Work) -> float:
    return sum(_terms(coefficients, asked))


def _terms(of: Coefficients, asked: Work) -> tuple[float, ...]:
    return (of.start, of.overhead * asked.passes, of.operation * asked.operations, of.element * asked.elements)
