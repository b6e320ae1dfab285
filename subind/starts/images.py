"""What a recipient that classifies images starts from.

As in arithmetic: `effective = where(kept, start, own)` for every masked matrix, with what is kept frozen.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from subind.masks import hard as masks
from subind.masks.hard import HardMask
from subind.networks import vision
from subind.specs import runs as specs
from subind.specs.image_transfer import image_model
from subind.specs.images import ImageModel
from subind.specs.runs import ImageControl
from subind.starts import arithmetic as controls
from subind.training.draws import generator
from subind.training.tensors import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecipient:
    """One network before training.

    `own` holds every parameter; `kept` says of a matrix which of its weights are frozen as they start, `inherited`
    which start at the donor's value.
    """

    own: Parameters
    statistics: Parameters
    kept: HardMask
    inherited: HardMask


def image_recipient(
    control: ImageControl, *, donor: Parameters | None, mask: HardMask | None, seed: int
) -> ImageRecipient:
    """The recipient of a control; `donor` is a state dict with running statistics, None if there is no such parent.

    Fresh weights under the mask are U(±1/√fan_in), and so is a new head; a network that inherits nothing is initialised
    as torchvision's. Raises ValueError if the control's random mask does not exist at the mask's density.
    """
    model, draws = image_model(control), generator("transfer/initial", seed)
    matrices = vision.matrices(model)
    if donor is None:
        own, statistics = vision.initial(model, draws), vision.initial_statistics(model)
        nothing = {name: torch.zeros(own[name].shape, dtype=torch.bool) for name in matrices}
        return ImageRecipient(own=own, statistics=statistics, kept=nothing, inherited=nothing)
    parameters, statistics = vision.from_state(donor, model)
    shaped = mask or {name: torch.zeros(parameters[name].shape, dtype=torch.bool) for name in matrices}
    inherited, kept = _inheritance(control, shaped, model, seed=seed)
    fresh = {name: vision.uniform(tuple(parameters[name].shape), draws) for name in matrices}
    own = parameters | {name: torch.where(inherited[name], parameters[name], fresh[name]) for name in matrices}
    if isinstance(control, specs.NewHead):
        own |= _fresh_head(own, model, draws)
    return ImageRecipient(own=own, statistics=statistics, kept=kept, inherited=inherited)


def _inheritance(control: ImageControl, mask: HardMask, model: ImageModel, *, seed: int) -> tuple[HardMask, HardMask]:
    """Which of the masked weights start at the donor's values, and which are frozen."""
    nothing = {name: torch.zeros_like(bits) for name, bits in mask.items()}
    everything = masks.inverted(nothing)
    match control:
        case specs.SubnetworkTrainedAlone():
            return mask, masks.inverted(mask)
        case specs.DataMixture() | specs.LongerDonor():
            return everything, nothing
        case specs.NewHead():
            head = vision.head(model)
            base = {name: torch.full_like(bits, name not in head) for name, bits in mask.items()}
            return base, base
        case _:
            return controls.inheritance(control, mask, seed=seed)


def _fresh_head(own: Parameters, model: ImageModel, draws: torch.Generator) -> Parameters:
    weight, bias = vision.head(model)
    fresh: Tensor = vision.uniform(tuple(own[weight].shape), draws)
    return {weight: fresh, bias: (2 * torch.rand(own[bias].shape, generator=draws) - 1) / own[weight].shape[1] ** 0.5}
