"""What a recipient starts from: one formula for every control.

For every masked matrix `effective = where(kept, donor, own)`: `kept` is frozen, `own` is trained. A control decides
which weights are kept, and what the others and the rest (embeddings, positions, LayerNorm, biases) start from.
"""

from dataclasses import dataclass
from typing import assert_never

import torch

from subind.masks import hard as masks
from subind.masks.hard import HardMask
from subind.networks import gpt2
from subind.specs import runs as specs
from subind.specs.runs import Control
from subind.training.draws import generator
from subind.training.tensors import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One network before training.

    `kept` says per matrix which weights are frozen at `donor`; `own` holds every parameter of the network, matrices
    included; `inherited` says per matrix which weights start at the donor's value, frozen or not.
    """

    kept: HardMask
    donor: Parameters
    own: Parameters
    inherited: HardMask


def recipient(
    control: Control, *, donor: Parameters | None, mask: HardMask | None, vocabulary_size: int, seed: int
) -> Recipient:
    """The recipient of a control; `donor` and `mask` are what its parents found, None where it has no such parent.

    Fresh projections beside inherited parameters are N(0, 0.02); a network that inherits nothing is initialised as any
    GPT-2 is. Raises ValueError if the control's random mask does not exist at the mask's density.
    """
    model = specs.control_model(control)
    if isinstance(control, specs.RandomInit):
        fresh = gpt2.initial(model, vocabulary_size, generator("transfer/initial", seed))
        nothing = _nothing({name: fresh[name] for name in gpt2.matrices(model)})
        return Recipient(kept=nothing, donor={name: fresh[name] for name in nothing}, own=fresh, inherited=nothing)
    assert donor is not None
    matrices = {name: donor[name] for name in gpt2.matrices(model)}
    frozen, inherited = _inheritance(control, matrices, mask, generator("transfer/control", seed))
    own, draws = dict(donor), generator("transfer/initial", seed)
    for name, weights in matrices.items():
        fresh_weights = torch.randn(weights.shape, generator=draws) * gpt2.INITIAL_STD
        own[name] = torch.where(inherited[name], weights, fresh_weights)
    kept = inherited if frozen else _nothing(matrices)
    return Recipient(kept=kept, donor=matrices, own=own, inherited=inherited)


def inheritance(control: Control, mask: HardMask, *, seed: int) -> tuple[HardMask, HardMask]:
    """Which projection weights a recipient takes from the donor, and which of these are frozen, by matrix.

    `mask` is the discovered one, or for a control that has none, any that tells the shapes. The random sets are those
    that a recipient of this seed has. Raises ValueError if the random mask does not exist at the mask's density.
    """
    frozen, inherited = _inheritance(control, mask, mask, generator("transfer/control", seed))
    return inherited, inherited if frozen else _nothing(mask)


def _inheritance(
    control: Control, matrices: Parameters, mask: HardMask | None, draws: torch.Generator
) -> tuple[bool, HardMask]:
    """Whether the inherited projection weights are frozen, and which they are."""
    match control:
        case specs.FullTransfer():
            return False, masks.inverted(_nothing(matrices))
        case specs.UnmaskedOnly() | specs.RandomInit():
            return False, _nothing(matrices)
    assert mask is not None
    match control:
        case specs.Subnetwork():
            return True, mask
        case specs.SubnetworkTrainable():
            return False, mask
        case specs.RandomSubnetwork():
            return True, masks.random_mask(mask, draws)
        case specs.ComplementSubnetwork():
            return True, masks.random_mask_outside(mask, draws)
        case specs.RandomAsReleased():
            return True, masks.inverted(masks.random_mask(mask, draws))
        case specs.ComplementAsReleased():
            return True, masks.inverted(masks.random_mask_outside(mask, draws))
        case _:
            assert_never(control)


def _nothing(matrices: Parameters) -> HardMask:
    return {name: torch.zeros(weights.shape, dtype=torch.bool) for name, weights in matrices.items()}
