"""Shape against texture of an image network, on images of any task of the same size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from subind.specs.base import behaviour, positive
from subind.specs.images import ImageTask
from subind.specs.measurements import Measurement
from subind.specs.run import MaskRun, NetworkRun

if TYPE_CHECKING:  # planning needs no torch
    from subind.stages.measure import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class CueConflict(Measurement):
    """Shape bias on `num_images` images of a task whose shape is of one class and texture of another.

    The task may be another than the network's own, such as one of other textures or contrasts. Of photographs,
    `num_images` is the number that the folder has. The values are those of `subind.tasks.cue_conflict`: rates, both
    averages of the bias with its interval over images, and the decisions by class.
    """

    task: ImageTask
    num_images: int

    def _check(self) -> None:
        positive(self, "num_images")
        self.task.check_evaluation(self.num_images)

    def check(self, of: NetworkRun | MaskRun) -> None:
        self.task.check_compatible(of.task)

    def columns(self) -> Mapping[str, Any]:
        return {"measured_task": self.task.label()}

    def measure(self, asked: "Asked") -> Mapping[str, float]:
        """The rates, the bias and the decisions by class."""
        import torch

        from subind.tasks.cue_conflict import cue_measurements
        from subind.tasks.image_pack import of_sixteen

        task = behaviour(self.task)
        conflict = task.conflict_images(self.num_images, folder=asked.runtime.images)
        outputs = asked.outputs({"pixels": conflict.pixels}, lambda rows: task.normalised(rows["pixels"]))
        decisions = torch.cat([of_sixteen(each).argmax(1).cpu() for each in outputs]).numpy()
        names, seed = task.class_names, asked.run.seed
        return cue_measurements(conflict.shapes, conflict.textures, decisions, names=names, seed=seed)
