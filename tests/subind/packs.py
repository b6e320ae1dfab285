"""Packs computed in memory, without store or scheduler, over parents that are made by hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from subind.masks import hard as masks
from subind.masks.hard import HardMask
from subind.networks.network import State, patterns_match
from subind.specs.run import MaskRun, NetworkRun, Run
from subind.specs.runs import Discover
from subind.stages.discover import MaskDiscovery
from subind.stages.parents import BESIDE_FILE, MASK_FILE, WEIGHTS_FILE, network_of
from subind.stages.run import Resumed, method_of, run
from subind.stages.train import NetworkTraining
from subind.training.loop import Finished, Progress, Runtime, Saved, Trainer

ONE_THREAD = Runtime(device="cpu", num_threads=1, checkpoint_seconds=float("inf"))
EVERY_STEP = Runtime(device="cpu", num_threads=1, checkpoint_seconds=-1.0)


def perturbed(donor: NetworkRun) -> State:
    """A network of the donor's shapes of which no parameter or statistic is 0 or 1: norms and biases matter."""
    draws = torch.Generator().manual_seed(donor.seed)
    fresh = network_of(donor).initial(draws)
    noise = {name: 0.05 * torch.randn(tensor.shape, generator=draws) for name, tensor in fresh.parameters.items()}
    moved = {name: tensor + noise[name] for name, tensor in fresh.parameters.items()}
    running = {
        name: tensor + torch.rand(tensor.shape, generator=draws) if tensor.is_floating_point() else tensor
        for name, tensor in fresh.statistics.items()
    }
    return State(parameters=moved, statistics=running)


def hand_mask(mask: MaskRun) -> HardMask:
    """Random bits of which every tensor has another share: 10%, 11%, 12% and so on."""
    draws, network = torch.Generator().manual_seed(mask.seed), network_of(mask)
    return {
        name: torch.rand(network.shapes[name], generator=draws) < 0.1 + 0.01 * place
        for place, name in enumerate(network.maskable)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class HandMade:
    """The parents' files: `perturbed` donors and `hand_mask` masks, or those that are given."""

    donors: Mapping[Run, State] = field(default_factory=dict)
    masks: Mapping[Run, HardMask] = field(default_factory=dict)

    def __call__(self, parent: Any, file: str) -> bytes:
        if isinstance(parent, NetworkRun) and file == WEIGHTS_FILE:
            return save(network_of(parent).to_library(self.donors.get(parent, perturbed(parent))))
        if isinstance(parent, MaskRun) and file == MASK_FILE:
            return masks.packed_bits(self.masks.get(parent, hand_mask(parent)))
        if isinstance(parent, MaskRun) and file == BESIDE_FILE:
            state = self.donors.get(parent.donor, perturbed(parent.donor))
            assert isinstance(parent, Discover)
            own = {name: each for name, each in state.parameters.items() if patterns_match(name, parent.beside)}
            running = state.statistics if parent.statistics == "batch" else {}
            return save({name: 2 * tensor for name, tensor in {**own, **running}.items()})
        raise AssertionError(f"{file} is no file of {parent}")


PARENTS = HandMade()


def finished(
    pack: Sequence[Any],
    *,
    read: Any = PARENTS,
    runtime: Runtime = ONE_THREAD,
    checkpoints: list[Saved] | None = None,
    resumed: Resumed | None = None,
    kept: frozenset[Any] = frozenset(),
) -> dict[Any, Finished]:
    """What every run of the pack leaves; checkpoints are copied to the given list as they come."""
    seen: list[Saved] = [] if checkpoints is None else checkpoints
    done = run(
        pack,
        read=read,
        runtime=runtime,
        save=lambda each: seen.append(copied(each)),
        report=ignored,
        kept=kept,
        resumed=resumed,
    )
    return {each.replica.spec: each for each in done}


def copied(saved: Saved) -> Saved:
    """The checkpoint as it comes back from a file."""
    content = save({name: tensor.contiguous() for name, tensor in saved.tensors.items()})
    return Saved(specs=saved.specs, tensors=load(content), state=saved.state)


def ignored(progress: Progress) -> None:
    """A report of progress that nobody reads."""


def resumed_at(saved: Saved, pack: Iterable[Any]) -> Resumed:
    """How the given replicas go on from the checkpoint."""
    return Resumed(tensors=saved.tensors, state=saved.state, places=[saved.specs.index(spec) for spec in pack])


def trainer_of(pack: Sequence[Any], *, read: Any = PARENTS, runtime: Runtime = ONE_THREAD) -> Trainer:
    """A pack that is about to begin."""
    torch.set_num_threads(runtime.num_threads)
    method, failed = method_of(pack, read, runtime)
    assert method is not None, failed
    assert not failed
    return Trainer(method, runtime)


def discovery(pack: Sequence[Any], *, read: Any = PARENTS) -> MaskDiscovery:
    """The method of a pack of masks."""
    method, _ = method_of(pack, read, ONE_THREAD)
    assert isinstance(method, MaskDiscovery)
    return method


def training(pack: Sequence[Any], *, read: Any = PARENTS) -> NetworkTraining:
    """The method of a pack of donors or recipients."""
    method, _ = method_of(pack, read, ONE_THREAD)
    assert isinstance(method, NetworkTraining)
    return method


def trained(pack: Sequence[Any], *, read: Any = PARENTS) -> Trainer:
    """The pack as it stands after its last step, every replica still in it."""
    checkpoints: list[Saved] = []
    finished(pack, read=read, runtime=EVERY_STEP, checkpoints=checkpoints)
    trainer = trainer_of(pack, read=read)
    last = checkpoints[-1]
    trainer.resume(last.tensors, last.state, [last.specs.index(spec) for spec in pack])
    return trainer


def same_bits(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether both hold the same names and the same bits."""
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
