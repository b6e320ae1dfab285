"""A network and a task of your own: does a character LSTM pass on what it knows of counting?

    uv run subind run docs/examples/own_network.py

Strings of eight letters from `a` to `j`. The donor learns two things at once: the number of vowels modulo 4, and
whether the first letter is before `f`. A mask finds the part of it that counts. Recipients learn from few strings the
count together with something new: whether the last letter is before `f`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from subind import (
    AdamW,
    AnyModule,
    AsInitialised,
    ClipNorm,
    ContinuousSparsification,
    Discover,
    EarlyStop,
    Key,
    NoClip,
    NoEarlyStop,
    Part,
    RandomInit,
    RandomSubnetwork,
    Subnetwork,
    Task,
    TemperatureSchedule,
    Train,
    Transfer,
    highest,
    lowest,
)

LETTERS, LENGTH = 10, 8
VOWELS = torch.tensor([0, 4, 8])
"""The letters a, e and i."""

NUM_CLASSES = 8
SEEDS = range(5)


class CharacterLSTM(nn.Module):
    """Scores [string class] from the state after the last letter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(LETTERS, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, NUM_CLASSES)

    def forward(self, letters: Tensor) -> Tensor:
        states, _ = self.lstm(self.embedding(letters))
        return self.head(states[:, -1])


@dataclass(frozen=True, kw_only=True)
class Counting(Task):
    """The number of vowels modulo 4, alone or with a bit: whether the first or the last letter is before `f`."""

    version = 1

    bit: Literal["none", "first", "last"]

    def rows(self, part: str, *, num_rows: int, key: Key) -> dict[str, Tensor]:
        letters = torch.randint(0, LETTERS, (num_rows, LENGTH), generator=key.generator())
        count = torch.isin(letters, VOWELS).sum(1) % 4
        place = {"none": None, "first": 0, "last": -1}[self.bit]
        bit = 0 if place is None else (letters[:, place] < 5).long()
        return {"inputs": letters, "targets": count + 4 * bit}

    def loss(self, outputs: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
        return F.cross_entropy(outputs, rows["targets"], reduction="none")

    def measure(self, outputs: Tensor, rows: Mapping[str, Tensor]) -> dict[str, float]:
        return {"accuracy": (outputs.argmax(-1) == rows["targets"]).double().mean().item()}

    def chance_accuracy(self) -> float:
        return 0.28 if self.bit == "none" else 0.14

    def label(self) -> str:
        return "count" if self.bit == "none" else f"count and {self.bit} letter"


def grid() -> Iterator[Transfer]:
    """Three starts at three numbers of strings and five seeds."""
    network = AnyModule(
        make=CharacterLSTM,
        arguments={"width": 32},
        maskable=("lstm.weight_*", "embedding.weight", "head.weight"),
        head=("head.*",),
    )
    for seed in SEEDS:
        donor = Train(
            task=Counting(bit="first"),
            model=network,
            rows=(Part(name="strings", num_samples=4000),),
            num_evaluation_samples=500,
            optimizer=AdamW(learning_rate=5e-3, weight_decay=0.0, schedule="linear_decay", clip=ClipNorm(max_norm=1.0)),
            batch_size=100,
            num_epochs=40,
            kept_epoch=lowest("validation_loss"),
            stopping=EarlyStop(patience=10),
            seed=seed,
            precision="float32",
        )
        mask = Discover(
            donor=donor,
            task=Counting(bit="none"),
            rows=(Part(name="strings", num_samples=4000),),
            num_evaluation_samples=500,
            method=ContinuousSparsification(
                initial_logit=0.1, penalty=2e-5, temperature=TemperatureSchedule(name="exponential", final=100.0)
            ),
            optimizer=AdamW(learning_rate=2e-2, weight_decay=0.0, schedule="constant", clip=NoClip()),
            batch_size=100,
            num_epochs=20,
            kept_epoch=highest("subtask_accuracy", ties="last"),
            seed=seed,
            precision="float32",
        )
        for num_samples in (100, 200, 400):
            for start in (Subnetwork(mask=mask), RandomSubnetwork(mask=mask), RandomInit(model=network)):
                yield Transfer(
                    start=start,
                    task=Counting(bit="last"),
                    rows=(Part(name="strings", num_samples=num_samples),),
                    num_evaluation_samples=500,
                    fresh_weights=AsInitialised(),
                    optimizer=AdamW(learning_rate=5e-3, weight_decay=0.01, schedule="constant", clip=NoClip()),
                    batch_size=50,
                    num_epochs=60,
                    kept_epoch=highest("validation_accuracy", ties="first"),
                    stopping=NoEarlyStop(),
                    seed=seed,
                    precision="float32",
                )
