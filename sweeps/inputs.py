"""What runs need from outside: photographs and imported weights. They are looked for before a sweep begins."""

from subind.specs.tasks import Task
from subind.specs.training import PublishedWeights
from subind.store.store import Store
from sweeps.plan import Plan
from sweeps.published import told_absent


def check_inputs(found: Plan, store: Store, images: str) -> None:
    """Refuse a sweep for which something from outside is not there. Raises ValueError with the remedy."""
    check_weights(found, store)
    check_images(found, images)


def check_weights(found: Plan, store: Store) -> None:
    """Refuse a sweep whose runs start from published weights that were not imported."""
    for run in found.missing:
        weights = found.runs[run].imported()
        if isinstance(weights, PublishedWeights) and store.named_weights(weights.file) is None:
            raise ValueError(told_absent(weights.file, store))


def check_images(found: Plan, images: str) -> None:
    """Refuse a sweep whose photographs are not in the folder `images`, not made for its tasks, or too few.

    Raises ValueError naming field, value and remedy. A sweep without runs on photographs needs no folder.
    """
    needed: dict[Task, dict[tuple[str, int], None]] = {}
    for run in found.missing:
        spec = found.runs[run]
        for part in spec.files_needed():
            needed.setdefault(spec.task, {})[part] = None
    for task, parts in needed.items():
        task.check_files(parts, images)
