"""Check the inputs of runs, photographs and imported weights, before a sweep begins."""

from collections.abc import Sequence

from subind.specs.run import Run
from subind.specs.tasks import Task
from subind.specs.training import PublishedWeights
from subind.store.store import Store
from sweeps.inputs.published_weights import told_absent


def check_inputs(runs: Sequence[Run], store: Store, images: str) -> None:
    """Refuse runs whose inputs are missing. Raises ValueError with the remedy."""
    check_weights(runs, store)
    check_images(runs, images)


def check_weights(runs: Sequence[Run], store: Store) -> None:
    """Refuse a sweep whose runs start from published weights that were not imported."""
    for run in runs:
        weights = run.imported()
        if isinstance(weights, PublishedWeights) and store.named_weights(weights.file) is None:
            raise ValueError(told_absent(weights.file, store))


def check_images(runs: Sequence[Run], images: str) -> None:
    """Refuse a sweep whose photographs are not in the folder `images`, not made for its tasks, or too few.

    Raises ValueError naming field, value and remedy. A sweep without runs on photographs needs no folder.
    """
    needed: dict[Task, dict[tuple[str, int], None]] = {}
    for run in runs:
        for part in run.files_needed():
            needed.setdefault(run.task, {})[part] = None
    for task, parts in needed.items():
        task.check_files(parts, images)
