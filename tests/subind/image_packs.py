"""Packs of runs on images by hand: parents that nothing has trained, and pictures of a pack under way."""

import torch
from safetensors.torch import save

from subind.masks import hard as masks
from subind.networks import vision
from subind.specs.runs import ImageDonor, ImageMask, Parent
from subind.stages.run_files import BESIDE_FILE, MASK_FILE, WEIGHTS_FILE
from subind.training.tensors import Parameters

SHARE = 0.3
"""Of ones in a mask that was made by hand."""


def parents(parent: Parent, file: str) -> bytes:
    """The file of a parent that was made by hand, from its seed."""
    match parent, file:
        case ImageDonor(), _ if file == WEIGHTS_FILE:
            return save(hand_donor(parent))
        case ImageMask(), _ if file == MASK_FILE:
            return masks.packed_bits(hand_mask(parent))
        case ImageMask(), _ if file == BESIDE_FILE:
            return save({name: 2 * tensor for name, tensor in _beside(parent).items()})
    raise AssertionError(f"{file} is no file of {parent}")


def hand_donor(donor: ImageDonor) -> Parameters:
    """Fresh parameters, and running statistics that are not those of a fresh network."""
    draws = torch.Generator().manual_seed(100 + donor.seed)
    running = vision.initial_statistics(donor.model)
    moved = {name: tensor + torch.rand(tensor.shape, generator=draws) for name, tensor in running.items()}
    return vision.initial(donor.model, draws) | moved


def hand_mask(mask: ImageMask) -> masks.HardMask:
    """Random bits."""
    draws = torch.Generator().manual_seed(200 + mask.seed)
    shapes = vision.shapes(mask.donor.model)
    return {name: torch.rand(shapes[name], generator=draws) < SHARE for name in vision.matrices(mask.donor.model)}


def _beside(mask: ImageMask) -> Parameters:
    donor = hand_donor(mask.donor)
    names = vision.POSITIONS if mask.beside != "nothing" else ()
    if mask.statistics == "batch":
        names = tuple(vision.initial_statistics(mask.donor.model))
    return {name: donor[name] for name in names}
