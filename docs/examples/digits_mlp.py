"""An MLP that gives handwritten digits two labels, and a mask that finds the part of it that gives one of them.

    uv run subind run docs/examples/digits_mlp.py

The donor is trained on scikit-learn's 8×8 images to say which digit it sees and whether that is odd. A mask is
discovered for parity alone. Recipients learn parity from few images: with that part of the donor, with a random part of
the same size, with the whole donor, and with nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from subind import (
    MLP,
    AdamW,
    ContinuousSparsification,
    Discover,
    Features,
    FullTransfer,
    Key,
    NoClip,
    NoEarlyStop,
    Part,
    RandomInit,
    RandomSubnetwork,
    Signature,
    Subnetwork,
    Task,
    TemperatureSchedule,
    Train,
    Transfer,
    UniformFanIn,
    highest,
    lowest,
)

SEEDS = range(5)
NUM_EVALUATION = 300
"""Images for validation, and as many for the test, which no run is trained on."""


@dataclass(frozen=True, kw_only=True)
class DigitAndParity(Task):
    """Twelve outputs: scores of the ten digits, then of even and odd. `asked` says which of both labels counts."""

    version = 1

    asked: Literal["both", "parity"]

    def signature(self) -> Signature:
        return Signature(inputs=Features(num_features=64), num_outputs=12)

    def rows(self, part: str, *, num_rows: int, key: Key) -> dict[str, Tensor]:
        images = load_digits()
        shuffled = torch.randperm(len(images.target), generator=torch.Generator().manual_seed(0))
        first = {"validation": 0, "test": NUM_EVALUATION}.get(part, 2 * NUM_EVALUATION)
        rest = shuffled[first:]
        drawn = rest if part in ("validation", "test") else rest[torch.randperm(len(rest), generator=key.generator())]
        chosen = drawn[:num_rows]
        pixels = torch.from_numpy(images.data).float()[chosen] / 16
        return {"inputs": pixels, "targets": torch.from_numpy(images.target)[chosen]}

    def loss(self, outputs: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
        digits = rows["targets"]
        parity = F.cross_entropy(outputs[:, 10:], digits % 2, reduction="none")
        if self.asked == "parity":
            return parity
        return parity + F.cross_entropy(outputs[:, :10], digits, reduction="none")

    def measure(self, outputs: Tensor, rows: Mapping[str, Tensor]) -> dict[str, float]:
        digits = rows["targets"]
        of_digit = (outputs[:, :10].argmax(1) == digits).double().mean().item()
        of_parity = (outputs[:, 10:].argmax(1) == digits % 2).double().mean().item()
        return {"accuracy": of_parity, "digit_accuracy": of_digit}

    def chance_accuracy(self) -> float:
        return 0.5

    def label(self) -> str:
        return "digit and parity" if self.asked == "both" else "parity"


def grid() -> Iterator[Transfer]:
    """Four starts at three numbers of images and five seeds."""
    network = MLP(widths=(64, 64))
    for seed in SEEDS:
        donor = Train(
            task=DigitAndParity(asked="both"),
            model=network,
            rows=(Part(name="images", num_samples=1000),),
            num_evaluation_samples=NUM_EVALUATION,
            optimizer=AdamW(learning_rate=2e-3, weight_decay=0.01, schedule="constant", clip=NoClip()),
            batch_size=50,
            num_epochs=30,
            kept_epoch=lowest("validation_loss"),
            stopping=NoEarlyStop(),
            seed=seed,
            precision="float32",
        )
        mask = Discover(
            donor=donor,
            task=DigitAndParity(asked="parity"),
            rows=(Part(name="images", num_samples=1000),),
            num_evaluation_samples=NUM_EVALUATION,
            method=ContinuousSparsification(
                initial_logit=-0.1, penalty=1e-4, temperature=TemperatureSchedule(name="exponential", final=100.0)
            ),
            optimizer=AdamW(learning_rate=2e-2, weight_decay=0.0, schedule="constant", clip=NoClip()),
            batch_size=50,
            num_epochs=30,
            kept_epoch=highest("subtask_accuracy", ties="last"),
            seed=seed,
            precision="float32",
        )
        starts = (
            Subnetwork(mask=mask),
            RandomSubnetwork(mask=mask),
            FullTransfer(donor=donor),
            RandomInit(model=network),
        )
        for num_samples in (20, 50, 200):
            for start in starts:
                yield Transfer(
                    start=start,
                    task=DigitAndParity(asked="parity"),
                    rows=(Part(name="images", num_samples=num_samples),),
                    num_evaluation_samples=NUM_EVALUATION,
                    fresh_weights=UniformFanIn(),
                    optimizer=AdamW(learning_rate=2e-3, weight_decay=0.01, schedule="constant", clip=NoClip()),
                    batch_size=20,
                    num_epochs=50,
                    kept_epoch=highest("validation_accuracy", ties="first"),
                    stopping=NoEarlyStop(),
                    seed=seed,
                    precision="float32",
                )
