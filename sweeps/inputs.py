"""What runs need from outside: photographs and published weights. They are looked for before a sweep begins."""

from subind.specs.runs import (
    DataMixture,
    ImageDonor,
    ImageMask,
    ImageNet16Task,
    ImageSpec,
    ImageTransfer,
    PublishedWeights,
    image_task,
)
from subind.store.store import Store
from sweeps.plan import Plan
from sweeps.published import told_absent


def check_inputs(found: Plan, store: Store, images: str) -> None:
    """Refuse a sweep for which something from outside is not there. Raises ValueError with the remedy."""
    check_weights(found, store)
    check_images(found, images)


def check_weights(found: Plan, store: Store) -> None:
    """Refuse a sweep whose donors start from published weights that were not imported."""
    for run in found.missing:
        match found.runs[run]:
            case ImageDonor(weights=PublishedWeights(file=file)) if store.named_weights(file) is None:
                raise ValueError(told_absent(file, store))


def check_images(found: Plan, images: str) -> None:
    """Refuse a sweep whose photographs are not in the folder `images`, not made for its tasks, or too few.

    Raises ValueError naming field, value and remedy. A sweep without runs on photographs needs no folder.
    """
    runs = [found.runs[run] for run in found.missing]
    several = [spec for spec in runs if isinstance(spec, ImageDonor | ImageMask | ImageTransfer)]
    asked = {part: None for spec in several for part in _asked(spec)}
    if not asked:
        return
    from subind.tasks import photographs

    photographs.check_folder(images)
    for task in {task: None for task, _, _ in asked}:
        photographs.check_pixels(task, images)
    for task, part, number in asked:
        match part:
            case "train original" | "train mean_pooled":
                kind: photographs.Kind = "original" if part == "train original" else "mean_pooled"
                photographs.training_places(task, kind, number, folder=images)
            case "evaluation":
                photographs.evaluation_places(task, "test", "original", number, folder=images)
            case _:
                photographs.check_conflict(task, number, images)


def _asked(spec: ImageSpec) -> list[tuple[ImageNet16Task, str, int]]:
    """The parts of a task's photographs that a run takes images from, and how many; none of drawn images."""
    task = image_task(spec)
    if not isinstance(task, ImageNet16Task):
        return []
    found = [(task, "evaluation", spec.num_evaluation_samples)]
    if isinstance(spec, ImageMask):
        return [*found, (task, "train mean_pooled", spec.num_samples)]
    found.append((task, "cue conflict", spec.num_cue_conflict))
    if isinstance(spec, ImageDonor) or spec.num_original:
        found.append((task, "train original", spec.num_samples))
    if isinstance(spec, ImageTransfer) and isinstance(spec.control, DataMixture) and spec.num_pooled:
        found.append((task, "train mean_pooled", spec.control.num_mean_pooled))
    return found
