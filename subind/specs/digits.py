"""scikit-learn's 8×8 handwritten digits, with the digit or a function of it as the label."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from subind.specs.base import require
from subind.specs.quoting import quoted
from subind.specs.rows import AnyPart
from subind.specs.tasks import Features, Signature, Task

NUM_IMAGES = 1797
NUM_PIXELS = 64


NUM_CLASSES: dict[str, int] = {"digit": 10, "parity": 2, "half": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsTask(Task):
    """The 1,797 images of UCI's test set of handwritten digits that scikit-learn holds; classes are `label`'s.

    Outputs are always `num_outputs`, so that one network serves several labels; classes beyond the label's are never
    right. `evaluation_share` of the images, by `data_seed`, is halved into validation and test.
    """

    behaviour: ClassVar[str] = "subind.tasks.digits:Digits"

    label_of: Literal["digit", "parity", "half"]
    num_outputs: int
    evaluation_share: float
    data_seed: int

    def _check(self) -> None:
        num_classes = NUM_CLASSES[self.label_of]
        require(num_classes <= self.num_outputs <= 1000, self, "num_outputs", f"give {num_classes} to 1000")
        require(0 < self.evaluation_share < 1, self, "evaluation_share", "give a share between 0 and 1")
        require(0 <= self.data_seed < 2**31, self, "data_seed", "give 0 to 2**31 - 1")

    @property
    def num_evaluation(self) -> int:
        """Images for validation, and as many for the test."""
        return int(NUM_IMAGES * self.evaluation_share) // 2

    def signature(self) -> Signature:
        return Signature(inputs=Features(num_features=NUM_PIXELS), num_outputs=self.num_outputs)

    def check_parts(self, parts: tuple[AnyPart, ...]) -> None:
        most = NUM_IMAGES - 2 * self.num_evaluation
        for part in parts:
            if part.name != "digits":
                raise ValueError(f"rows has the part {quoted(part.name)}: the task has 'digits' alone")
            if part.num_distinct > most:
                raise ValueError(f"rows has {part.num_distinct} digits: {most} are for training; give at most as many")

    def check_evaluation(self, num_samples: int) -> None:
        if num_samples > self.num_evaluation:
            raise ValueError(
                f"num_evaluation_samples is {num_samples}: {self.num_evaluation} images are for validation and as many "
                "for the test; give at most as many"
            )

    def columns(self) -> Mapping[str, Any]:
        return {"rule": self.label_of}

    def label(self) -> str:
        return self.label_of

    def pack_shape(self) -> tuple[object, ...]:
        return type(self), self.num_outputs
