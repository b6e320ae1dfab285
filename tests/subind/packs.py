"""Packs computed in memory, without store or scheduler, over parents that are made by hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load, save
from torch import Tensor

from subind.masks import hard as masks
from subind.masks.hard import HardMask
from subind.networks import gpt2
from subind.specs import runs as specs
from subind.specs.runs import Donor, Mask, Spec
from subind.stages.run import MASK_FILE, WEIGHTS_FILE, MaskMethod, Resumed, TransferMethod, method_of, run
from subind.tasks.arithmetic import vocabulary_size
from subind.training.loop import Finished, Progress, Runtime, Saved, Trainer
from subind.training.tensors import Parameters

ONE_THREAD = Runtime(device="cpu", num_threads=1, checkpoint_seconds=float("inf"))
EVERY_STEP = Runtime(device="cpu", num_threads=1, checkpoint_seconds=-1.0)


def perturbed(donor: Donor, *, seed: int = 0) -> Parameters:
    """Parameters of the donor's shapes of which none is 0 or 1: LayerNorm and biases matter."""
    draws = torch.Generator().manual_seed(seed)
    found = gpt2.initial(donor.model, vocabulary_size(donor.task), draws)
    return {name: tensor + 0.05 * torch.randn(tensor.shape, generator=draws) for name, tensor in found.items()}


def hand_mask(mask: Mask, *, seed: int = 0) -> HardMask:
    """Random bits of which every matrix has another share: 10%, 11%, 12% and so on."""
    draws = torch.Generator().manual_seed(seed)
    shapes = gpt2.shapes(mask.donor.model, vocabulary_size(mask.donor.task))
    return {
        name: torch.rand(shapes[name], generator=draws) < 0.1 + 0.01 * place
        for place, name in enumerate(gpt2.matrices(mask.donor.model))
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class HandMade:
    """The parents' files: `perturbed` donors and `hand_mask` masks, or those that are given."""

    donors: Mapping[Donor, Parameters]
    masks: Mapping[Mask, HardMask]

    def __call__(self, parent: Donor | Mask, file: str) -> bytes:
        match parent, file:
            case Donor(), _ if file == WEIGHTS_FILE:
                return save(gpt2.to_transformers(self.donors.get(parent, perturbed(parent, seed=parent.seed))))
            case Mask(), _ if file == MASK_FILE:
                return masks.packed_bits(self.masks.get(parent, hand_mask(parent, seed=parent.seed)))
        raise AssertionError(f"{file} is no file of {parent}")


PARENTS = HandMade(donors={}, masks={})


def finished(
    pack: Sequence[Spec],
    *,
    read: HandMade = PARENTS,
    runtime: Runtime = ONE_THREAD,
    checkpoints: list[Saved] | None = None,
    resumed: Resumed | None = None,
) -> dict[Spec, Finished]:
    """What every run of the pack leaves; checkpoints are copied to the given list as they come."""
    kept: list[Saved] = [] if checkpoints is None else checkpoints
    done = run(
        pack,
        read=read,
        runtime=runtime,
        save=lambda each: kept.append(copied(each)),
        report=ignored,
        resumed=resumed,
    )
    return {each.replica.spec: each for each in done}


def copied(saved: Saved) -> Saved:
    """The checkpoint as it comes back from a file."""
    content = save({name: tensor.contiguous() for name, tensor in saved.tensors.items()})
    return Saved(specs=saved.specs, tensors=load(content), state=saved.state)


def ignored(progress: Progress) -> None:
    """A report of progress that nobody reads."""


def resumed_at(saved: Saved, pack: Iterable[Spec]) -> Resumed:
    """How the given replicas go on from the checkpoint."""
    return Resumed(tensors=saved.tensors, state=saved.state, places=[saved.specs.index(spec) for spec in pack])


def trainer_of(pack: Sequence[Spec], *, read: HandMade = PARENTS, runtime: Runtime = ONE_THREAD) -> Trainer:
    """A pack that is about to begin."""
    torch.set_num_threads(runtime.num_threads)
    method, failed = method_of(pack, read, runtime)
    assert method is not None
    assert not failed
    return Trainer(method, runtime)


def mask_method(pack: Sequence[Mask], *, read: HandMade = PARENTS) -> MaskMethod:
    """The method of a pack of masks."""
    method, _ = method_of(pack, read, ONE_THREAD)
    assert isinstance(method, MaskMethod)
    return method


def transfer_method(pack: Sequence[specs.Transfer], *, read: HandMade = PARENTS) -> TransferMethod:
    """The method of a pack of transfers."""
    method, _ = method_of(pack, read, ONE_THREAD)
    assert isinstance(method, TransferMethod)
    return method


def trained(pack: Sequence[Spec], *, read: HandMade = PARENTS) -> Trainer:
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
