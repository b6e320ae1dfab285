"""Hard masks over the weights of a network: densities, overlaps, random masks, unions, and files of packed bits.

A mask maps parameter names to tensors of booleans; in a pack these carry a leading replica axis.
"""

import json
from collections.abc import Mapping
from math import ceil, prod

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

HardMask = dict[str, Tensor]
"""Booleans by parameter name, for one network."""


def binarise(logits: Float[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
    """The hard mask: the one threshold of the whole code."""
    return logits > 0


def num_kept(masks: Mapping[str, Bool[Tensor, "replica *shape"]]) -> dict[str, list[int]]:
    """The number of ones of every matrix, per replica."""
    return {name: mask.flatten(1).sum(1).tolist() for name, mask in masks.items()}


def densities(mask: Mapping[str, Bool[Tensor, "*shape"]]) -> dict[str, float]:
    """The share of ones in every matrix of one model's mask."""
    return {name: int(bits.sum()) / bits.numel() for name, bits in mask.items()}


def density(mask: Mapping[str, Bool[Tensor, "*shape"]]) -> float:
    """The share of ones in one model's mask, over all matrices."""
    return sum(int(bits.sum()) for bits in mask.values()) / sum(bits.numel() for bits in mask.values())


def random_mask(mask: HardMask, generator: torch.Generator) -> HardMask:
    """A uniformly random mask with as many ones in every matrix as `mask`."""
    return {name: _random_bits(torch.ones_like(bits), int(bits.sum()), name, generator) for name, bits in mask.items()}


def random_mask_outside(mask: HardMask, generator: torch.Generator) -> HardMask:
    """A random mask with as many ones in every matrix as `mask`, all where `mask` is 0.

    Raises ValueError if a matrix has not that many zeros.
    """
    return {name: _random_bits(~bits, int(bits.sum()), name, generator) for name, bits in mask.items()}


def inverted(mask: HardMask) -> HardMask:
    """Ones where the mask has zeros."""
    return {name: ~bits for name, bits in mask.items()}


def union(first: HardMask, *others: HardMask) -> HardMask:
    """Ones where any of the masks has one. All are over the same network."""
    found = dict(first)
    for mask in others:
        assert mask.keys() == found.keys(), "masks of one network"
        found = {name: bits | mask[name] for name, bits in found.items()}
    return found


def flat(mask: HardMask) -> Bool[Tensor, " weight"]:
    """All bits of one network's mask in a row."""
    return torch.cat([bits.flatten() for bits in mask.values()])


def intersection_over_union(first: Bool[Tensor, "*shape"], second: Bool[Tensor, "*shape"]) -> float | None:
    """|A ∩ B| / |A ∪ B|; None if both are empty."""
    return _share(int((first & second).sum()), int((first | second).sum()))


def intersection_over_smaller(first: Bool[Tensor, "*shape"], second: Bool[Tensor, "*shape"]) -> float | None:
    """|A ∩ B| / min(|A|, |B|), which the literature calls IoMin; None if one is empty."""
    return _share(int((first & second).sum()), min(int(first.sum()), int(second.sum())))


def chance_intersection_over_union(p: float, q: float) -> float | None:
    """The value to expect of two large random masks of densities p and q; None if both are 0."""
    return p * q / (p + q - p * q) if p or q else None


def chance_intersection_over_smaller(p: float, q: float) -> float | None:
    """The value to expect of two large random masks of densities p and q; None if one is 0."""
    return max(p, q) if p and q else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _random_bits(allowed: Bool[Tensor, "*shape"], count: int, name: str, generator: torch.Generator) -> Tensor:
    places = allowed.flatten().nonzero().squeeze(1)
    if count > len(places):
        raise ValueError(
            f"density of {name} is {count / allowed.numel():.3f}: its complement holds too few weights for a mask of "
            "equal density; raise the penalty so that the density is at most 0.5"
        )
    chosen = places[torch.randperm(len(places), generator=generator)[:count]]
    bits = torch.zeros(allowed.numel(), dtype=torch.bool)
    bits[chosen] = True
    return bits.view(allowed.shape)


def packed_bits(mask: HardMask) -> bytes:
    """A mask as a safetensors file of packed bits (eight weights a byte, row by row), shapes in its metadata."""
    packed = {name: torch.from_numpy(np.packbits(bits.cpu().numpy())) for name, bits in mask.items()}
    layout = {name: list(bits.shape) for name, bits in mask.items()}
    return save(packed, metadata={"shapes": json.dumps(layout)})


def unpacked_bits(content: bytes) -> HardMask:
    """The mask that `packed_bits` wrote. Raises ValueError if the content is not such a file."""
    try:
        packed = load(content)
        layout = json.loads(_metadata(content)["shapes"])
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise _no_mask(str(error)) from None
    if not isinstance(layout, dict) or layout.keys() != packed.keys():
        raise _no_mask(f"it has the matrices {sorted(packed)} and the shapes {layout}")
    return {name: _unpacked(name, packed[name], layout[name]) for name in layout}


def unpacked_bits_of(content: bytes, shapes: Mapping[str, tuple[int, ...]]) -> HardMask:
    """The mask that `packed_bits` wrote. Raises ValueError if it is none, or not over matrices of these shapes."""
    found = unpacked_bits(content)
    for name in sorted(found.keys() | shapes.keys()):
        has = tuple(found[name].shape) if name in found else "none"
        if has != shapes.get(name, "none"):
            raise _no_mask(f"{name} has the shape {has}, and the network's is {shapes.get(name, 'none')}")
    return found


def _unpacked(name: str, packed: Tensor, shape: object) -> Bool[Tensor, "*shape"]:
    if not isinstance(shape, list) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise _no_mask(f"the shape of {name} is {shape}")
    count = prod(shape)
    if packed.dtype != torch.uint8 or packed.shape != (ceil(count / 8),):
        raise _no_mask(f"{name} has {packed.numel()} elements of {packed.dtype} for {count} bits")
    bits = np.unpackbits(packed.numpy(), count=count).astype(bool)
    return torch.from_numpy(bits).view(shape)


def _no_mask(reason: str) -> ValueError:
    return ValueError(f"this is no file of packed mask bits ({reason}): run the mask again")


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return found
