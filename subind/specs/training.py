"""Which epoch a run keeps, when it stops early, from which law fresh weights are drawn, and what training holds."""

from dataclasses import dataclass
from typing import Literal

from subind.specs.base import Checked, at_most, positive, require

MOST_EPOCHS = 100_000
"""A record has curves with a value for each epoch, and a limit to its size."""


LARGEST_STD = 1e6
"""Of fresh weights; the paper's is 0.02."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEpoch(Checked):
    """The last epoch is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BestEpoch(Checked):
    """The epoch with the best value of a curve is kept; `ties` says which of several equally good ones."""

    curve: str
    best: Literal["highest", "lowest"]
    ties: Literal["first", "last"]

    def _check(self) -> None:
        require(0 < len(self.curve) <= 100, self, "curve", "give the name of a curve, such as validation_accuracy")

    def score(self, value: float) -> float:
        """The value as one of which more is better."""
        return value if self.best == "highest" else -value


KeptEpoch = LastEpoch | BestEpoch


def lowest(curve: str) -> BestEpoch:
    """The first epoch of the lowest value of a curve."""
    return BestEpoch(curve=curve, best="lowest", ties="first")


def highest(curve: str, *, ties: Literal["first", "last"]) -> BestEpoch:
    """The first or last epoch of the highest value of a curve."""
    return BestEpoch(curve=curve, best="highest", ties=ties)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoEarlyStop(Checked):
    """All epochs are trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStop(Checked):
    """Training ends after `patience` epochs without a better value of the curve by which the kept epoch is chosen."""

    patience: int

    def _check(self) -> None:
        positive(self, "patience")
        at_most(self, MOST_EPOCHS, "patience")


Stopping = NoEarlyStop | EarlyStop


@dataclass(frozen=True, slots=True, kw_only=True)
class AsInitialised(Checked):
    """Fresh weights are drawn as the network's own initialisation draws them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Normal(Checked):
    """Fresh weights are N(0, std)."""

    std: float

    def _check(self) -> None:
        positive(self, "std")
        at_most(self, LARGEST_STD, "std")


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformFanIn(Checked):
    """Fresh weights are U(±1/√fan_in)."""


FreshLaw = AsInitialised | Normal | UniformFanIn

Held = Literal["nothing", "norms", "norms_and_head", "all_but_head"]
"""What training holds besides the weights that a start freezes: BatchNorm or LayerNorm, the head too, or everything but
the head. Unless it is "nothing", running statistics are held as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenAlways(Checked):
    """What a start freezes stays frozen."""

    @property
    def ending(self) -> str:
        """What is added to the start's name: nothing."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenFor(Checked):
    """What a start freezes is trained like everything else after this many epochs."""

    num_epochs: int

    def _check(self) -> None:
        positive(self, "num_epochs")
        at_most(self, MOST_EPOCHS, "num_epochs")

    @property
    def ending(self) -> str:
        """What is added to the start's name, for such recipients are compared with those that stay frozen."""
        return f"_unfrozen_after_{self.num_epochs}"


Frozen = FrozenAlways | FrozenFor


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshWeights(Checked):
    """Training starts from weights drawn with the run's seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedWeights(Checked):
    """Training starts from a safetensors file, in the layout of transformers or torchvision, named by its SHA-256.

    `subind import FILE` puts it into the store and prints the checksum.
    """

    sha256: str

    def _check(self) -> None:
        right = len(self.sha256) == 64 and set(self.sha256) <= set("0123456789abcdef")
        require(right, self, "sha256", "give the 64 hexadecimal digits that `subind import FILE` prints")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedWeights(Checked):
    """Training starts from a file of torchvision's, by its name without the ending, such as resnet18-f37072fd.

    The name ends in the first eight hexadecimal digits of the file's SHA-256. `subind import FILE.pth` checks these and
    puts the weights into the store.
    """

    file: str

    def _check(self) -> None:
        name, dash, digits = self.file.rpartition("-")
        right = dash and name.replace("_", "").isalnum() and len(digits) == 8 and set(digits) <= set("0123456789abcdef")
        remedy = "give the name of a file of torchvision without its ending, such as resnet18-f37072fd"
        require(bool(right) and self.file.isascii(), self, "file", remedy)


Weights = FreshWeights | ImportedWeights | PublishedWeights
