"""How well a network does under a mask, without what the mask keeps, and under random masks of the same densities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from subind.specs.measurements import OnTestRows
from subind.specs.run import MaskRun, NetworkRun
from subind.specs.tasks import Task

if TYPE_CHECKING:  # planning needs no torch
    from subind.masks.hard import HardMask
    from subind.stages.measure import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedAccuracy(OnTestRows):
    """What a task measures of a network under the mask of the run that is asked, and under its controls.

    The values are those of the task's tests, such as `accuracy` and `loss`, each as `unmasked_NAME`, `mask_NAME`,
    `inverse_NAME` (the weights that the mask leaves out), `random_NAME` (a random mask that keeps as many weights of
    every tensor) and `random_inverse_NAME` (the inverse of that). Weights that trained along with the mask are in all
    of them. With outer = "whole" the first and the last masked tensor are left whole in all: what inputs and outputs
    pass through says little about where a function is computed (Csordás et al. 2021).
    """

    task: Task
    num_evaluation_samples: int
    outer: Literal["masked", "whole"]

    def check(self, of: NetworkRun | MaskRun) -> None:
        if not isinstance(of, MaskRun):
            raise ValueError(f"Measure.of is a {of.stage}, which has no mask: give a Discover")
        OnTestRows.check(self, of)

    def columns(self) -> Mapping[str, str]:
        return {**OnTestRows.columns(self), "outer": self.outer}

    def measure(self, asked: "Asked") -> Mapping[str, float]:
        """The values under each of the masks, and the density of the mask in what is masked."""
        from subind.masks.hard import density

        tests = asked.tests(self.task, self.num_evaluation_samples)
        masks = self.masks(asked)
        measured = {"mask_density": density(masks["mask"])}
        for variant, mask in masks.items():
            values = tests.test(asked.ask_under(mask), 0)
            measured |= {f"{variant}_{name.removeprefix('test_')}": value for name, value in values.items()}
        return measured

    def masks(self, asked: "Asked") -> dict[str, "HardMask"]:
        """The masks by name; tensors that one lacks are whole."""
        from subind.masks.hard import inverted, random_mask
        from subind.training.draws import generator

        names = asked.network.maskable
        outer = {names[0], names[-1]} if self.outer == "whole" else set()
        mask = {name: asked.mask[name] for name in names if name not in outer}
        if not mask:
            raise ValueError(f"outer is 'whole', and {len(names)} tensors are masked: give 'masked'")
        random = random_mask(mask, generator("measurement/start", asked.run.seed))
        own = {"mask": mask, "inverse": inverted(mask)}
        return {"unmasked": {}, **own, "random": random, "random_inverse": inverted(random)}
