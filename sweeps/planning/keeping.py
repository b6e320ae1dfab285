"""Recipients that leave their weights: those that another run reads, and those that a grid or the command asks for."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from subind.identity.run_ids import run_id
from subind.specs.network_sizes import FLOAT
from subind.specs.quoting import quoted
from subind.specs.run import WEIGHTS_FILE, Run
from subind.store.results import RunRecord
from subind.store.store import Store
from sweeps.costs.memory import num_parameters
from sweeps.grids import EVERY, Keep
from sweeps.planning.plan import Plan, without_finished


def with_kept(plan: Plan, store: Store, keep: Keep) -> Plan:
    """The plan with the recipients that it keeps.

    Those of them that are finished without weights are missing, if they are asked for or a missing run reads them.
    Raises ValueError for a name that no recipient of the plan has.
    """
    asked = _asked(plan.runs, keep)
    wanted = asked | _read(plan.runs[run] for run in plan.missing)
    unkept = frozenset[str]()
    while new := _without_weights((wanted & plan.finished) - unkept, plan.runs, store):
        unkept |= new
        wanted = _read(plan.runs[run] for run in new)
    kept = asked | _read(plan.runs.values())
    plan = replace(plan, kept=kept, unkept=unkept)
    return without_finished(plan, unkept) if unkept else plan


def kept_bytes(plan: Plan) -> int:
    """What the weights of the kept recipients take, of those that are finished and those that are not."""
    return sum(FLOAT * num_parameters(plan.runs[run]) for run in plan.kept)


def is_done(run: Run, store: Store, *, is_kept: bool) -> bool:
    """Whether the run is committed, and if it is kept with its weights. Damaged records count.

    Raises OSError if the store does not answer.
    """
    if not store.is_finished(run):
        return False
    try:
        return not is_kept or WEIGHTS_FILE in store.record(run).artifacts
    except FileNotFoundError:
        return False
    except ValueError:
        return True


def _asked(runs: Mapping[str, Run], keep: Keep) -> frozenset[str]:
    """The recipients whose weights a grid or the command asks for."""
    names = {run: spec.kept_name for run, spec in runs.items() if spec.kept_name} if keep else {}
    known = sorted(set(names.values()))
    for name in keep:
        if name != EVERY and name not in known:
            raise ValueError(f"--keep is {quoted(name)}: give {EVERY}, or a start of the grid, {', '.join(known)}")
    return frozenset(run for run, name in names.items() if EVERY in keep or name in keep)


def _read(several: Iterable[Run]) -> frozenset[str]:
    """The recipients that the runs read."""
    parents = {id(parent): parent for run in several for parent in run.parents()}
    return frozenset(run_id(parent) for parent in parents.values() if parent.kept_name)


def _without_weights(several: Collection[str], runs: Mapping[str, Run], store: Store) -> frozenset[str]:
    """Those of the finished runs whose record has no weights; damaged records are reported elsewhere."""
    order = sorted(several)
    records = store.records_or_errors([(store.folder(runs[run]), run) for run in order])
    return frozenset(
        run
        for run, record in zip(order, records, strict=True)
        if isinstance(record, RunRecord) and WEIGHTS_FILE not in record.artifacts
    )
