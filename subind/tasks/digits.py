"""scikit-learn's handwritten digits: 1,797 images of 8×8 pixels with the integers 0 … 16, divided by 16.

The task's data seed shuffles the images once: the first are for validation, as many for the test, and the rest for
training. Which of these a run is trained on is drawn by its own seed.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from sklearn.datasets import load_digits
from torch import Tensor

from subind.specs.digits import NUM_IMAGES, DigitsTask
from subind.specs.quoting import quoted
from subind.tasks.photographs.hashing import uniform
from subind.tasks.task import Key, Rows


class Digits:
    """Rows have the tensors `inputs` [row 64] and `labels` [row]."""

    def __init__(self, spec: DigitsTask) -> None:
        self.spec = spec

    def rows(self, part: str, *, num_rows: int, key: Key) -> Rows:
        """Training rows of the part "digits", or those of "validation" or "test", which are the same for all runs."""
        inputs, digits = _digits()
        chosen = self._chosen(part, key)[:num_rows]
        return {"inputs": inputs[chosen], "labels": labels(digits[chosen], self.spec.label_of)}

    def _chosen(self, part: str, key: Key) -> Tensor:
        drawn = uniform(np.array([self.spec.data_seed], np.uint64), np.arange(NUM_IMAGES, dtype=np.uint64))
        order, number = torch.from_numpy(np.argsort(drawn, kind="stable")), self.spec.num_evaluation
        match part:
            case "validation":
                return order[:number]
            case "test":
                return order[number : 2 * number]
            case "digits":
                train = order[2 * number :]
                return train[torch.randperm(len(train), generator=key.generator())]
            case _:
                raise ValueError(f"the digits have no rows {quoted(part)}: give digits")

    def loss(self, outputs: Float[Tensor, "row class"], rows: Rows) -> Float[Tensor, " row"]:
        """The cross-entropy."""
        return F.cross_entropy(outputs, rows["labels"], reduction="none")

    def measure(self, outputs: Float[Tensor, "row class"], rows: Rows) -> Mapping[str, float]:
        """The accuracy."""
        return {"accuracy": int((outputs.argmax(1) == rows["labels"]).sum()) / len(outputs)}


def labels(digits: Tensor, label_of: str) -> Tensor:
    """The classes of digits: themselves, whether they are odd, or whether they are 5 or more."""
    match label_of:
        case "parity":
            return digits % 2
        case "half":
            return (digits >= 5).long()
        case _:
            return digits


@cache
def _digits() -> tuple[Float[Tensor, "image 64"], Tensor]:
    """All pixels and digits."""
    pixels, digits = load_digits(return_X_y=True)
    return torch.from_numpy(pixels).float() / 16, torch.from_numpy(digits).long()
