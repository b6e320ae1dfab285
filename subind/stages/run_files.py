"""The files that runs leave for those that descend from them."""

from collections.abc import Callable

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from subind.masks import hard as masks
from subind.masks.hard import HardMask
from subind.networks import gpt2, vision
from subind.specs.runs import Donor, ImageMask, Mask, Parent
from subind.tasks import arithmetic
from subind.training.tensors import Parameters

WEIGHTS_FILE = "weights.safetensors"
"""A donor's parameters, named and laid out as transformers' GPT2LMHeadModel or torchvision's model has them."""
MASK_FILE = "mask.safetensors"
"""A mask's packed bits."""
BESIDE_FILE = "beside.safetensors"
"""What else than the mask was trained in its discovery."""

IMPORTED_FILE = "imported.safetensors"
"""The weights from which a donor with imported weights starts."""

ReadFile = Callable[[Parent, str], bytes]


def donor_parameters(content: bytes, donor: Donor) -> Parameters:
    """A donor's parameters from its weights file, or from any safetensors file of such a GPT2LMHeadModel.

    Raises ValueError if the content is no safetensors file or its tensors are not the model's.
    """
    return gpt2.from_transformers(loaded(content), donor.model, arithmetic.vocabulary_size(donor.task))


def mask_bits(content: bytes, mask: Mask) -> HardMask:
    """A mask from its file. Raises ValueError if the content is no such file or of another network than the donor's."""
    shapes = gpt2.shapes(mask.donor.model, arithmetic.vocabulary_size(mask.donor.task))
    return masks.unpacked_bits_of(content, {name: shapes[name] for name in gpt2.matrices(mask.donor.model)})


def image_mask_bits(content: bytes, mask: ImageMask) -> HardMask:
    """As `mask_bits`, of a mask over a network for images."""
    shapes = vision.shapes(mask.donor.model)
    return masks.unpacked_bits_of(content, {name: shapes[name] for name in vision.matrices(mask.donor.model)})


def loaded(content: bytes) -> dict[str, Tensor]:
    """The tensors of a file of weights. Raises ValueError if it is no safetensors file."""
    try:
        return load(content)
    except SafetensorError as error:
        raise ValueError(f"the weights are no safetensors file ({error}): save them with safetensors.torch") from None
