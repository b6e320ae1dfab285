"""Forgiving failures, so that their runs are tried again."""

from collections import Counter
from collections.abc import Collection

from subind.specs.quoting import quoted
from subind.store.store import Store
from sweeps.planning.damaged_runs import failure_of
from sweeps.planning.plan import Plan


def retry_failed(found: Plan, store: Store) -> int:
    """Forgive the failures of a plan's runs; return their number.

    Runs with a damaged record or artifact are left as they are.
    """
    return _forgiven(found.failed - found.damaged.keys(), found, store)


def retry_failed_of_class(found: Plan, store: Store, error: str) -> int:
    """Forgive the failures of this error class, ignoring case; return their number. Raises ValueError if there is
    none.
    """
    failures = {run: failure_of(run, found, store) for run in found.failed}
    classes = {run: failure.error for run, failure in failures.items() if failure is not None}
    chosen_runs = {run for run, name in classes.items() if name.lower() == error.lower()}
    if not chosen_runs:
        told = ", ".join(f"{name} ({number})" for name, number in sorted(Counter(classes.values()).items()))
        raise ValueError(
            f"--class is {quoted(error)}: {f'the failed runs have {told}' if told else 'no run has failed'}"
        )
    return _forgiven(chosen_runs - found.damaged.keys(), found, store)


def _forgiven(runs: Collection[str], found: Plan, store: Store) -> int:
    """Forgive the failures of the runs; return their number. If one cannot be removed, raises OSError after the
    others.
    """
    troubles = []
    for run in runs:
        try:
            store.forgive(found.runs[run])
        except OSError as error:
            troubles.append(error)
    if troubles:
        raise troubles[0]
    return len(runs)
