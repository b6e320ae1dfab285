"""Any torch.nn.Module as a network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from subind.specs.base import behaviour, positive, require
from subind.specs.network import Network
from subind.specs.quoting import name_of_parts
from subind.specs.tasks import Signature

Argument = str | bool | int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyModule(Network):
    """Any `torch.nn.Module`, made by a function of a module and its keyword arguments.

    `maskable` are patterns, such as "*.weight", of the parameters that masks cover; `head` those of the last layer.
    `packing` says how the replicas of a pack run: one after another, each bit for bit as it is alone, or "vmap", as
    one by torch.func.vmap, equal to that up to rounding, which not every module allows: `check_built` says so. The
    module meets the task's inputs as they are, and gives a tensor or an object with `.logits`. Give `arguments` as a
    dictionary or as pairs. The author of the module raises `revision` when it computes other numbers.
    """

    behaviour: ClassVar[str] = "subind.networks.any_module:Behaviour"

    make: Callable[..., Any]
    arguments: tuple[tuple[str, Argument], ...]
    maskable: tuple[str, ...]
    head: tuple[str, ...] = ()
    packing: Literal["one_by_one", "vmap"] = "one_by_one"
    revision: int = 1

    def __post_init__(self) -> None:
        given = self.arguments
        pairs = tuple(given.items()) if isinstance(given, Mapping) else given
        if isinstance(pairs, tuple):
            object.__setattr__(self, "arguments", tuple(sorted(pairs, key=_name_of)))
        Network.__post_init__(self)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._told_apart() == other._told_apart()

    def __hash__(self) -> int:
        return hash(self._told_apart())

    def _told_apart(self) -> tuple[object, ...]:
        """The fields and the types of the arguments: to Python 1, 1.0 and True are equal, to a module they are not."""
        kinds = tuple(type(value) for _, value in self.arguments)
        return (*(getattr(self, field.name) for field in fields(self)), kinds)

    def _check(self) -> None:
        positive(self, "revision")
        require(
            bool(self.maskable),
            self,
            "maskable",
            'give patterns of parameters that a mask covers, such as ("*.weight",)',
        )
        names = [name for name, _ in self.arguments]
        right = len(set(names)) == len(names) and all(name.isidentifier() for name in names)
        require(right, self, "arguments", "give a dictionary of keyword arguments of the function in `make`")

    def check_built(self, signature: Signature) -> None:
        behaviour(self).check_built(signature)

    @property
    def name(self) -> str:
        """The function's name and the arguments, such as lstm_hidden64; a long one ends in a checksum."""
        return name_of_parts([self.make.__name__, *(f"{name}{value}" for name, value in self.arguments)])

    @property
    def family(self) -> str:
        return self.make.__name__

    def precisions(self) -> tuple[str, ...]:
        return ("float32", "tf32")


def _name_of(pair: Any) -> str:
    """The name of an argument; empty of what is none, which the checks of types refuse."""
    return pair[0] if isinstance(pair, tuple) and pair and isinstance(pair[0], str) else ""
