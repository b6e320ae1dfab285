"""Masks over the projections of a network: continuous sparsification, hard masks, and the random masks of controls.

Soft mask σ(τ·s), hard mask s > 0, penalty λ·Σσ(τ·s) (Savarese et al. 2020). A mask maps matrix names to tensors;
in a pack these carry a leading replica axis.
"""

import json
from collections.abc import Mapping
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from subind.kernels import functions as cpu

HardMask = dict[str, Tensor]
"""Booleans by matrix name, for one model."""


def binarise(logits: Float[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
    """The hard mask: the one threshold of the whole code."""
    return logits > 0


def softly_masked(
    weights: Float[Tensor, "replica *shape"],
    logits: Float[Tensor, "replica *shape"],
    temperature: Float[Tensor, " replica"],
    penalty: Float[Tensor, " replica"],
) -> Float[Tensor, "replica *shape"]:
    """W·σ(τ·s), whose gradient for the logits s is that of the loss plus λ·Σσ(τ·s), with τ and λ of each replica."""
    function = cpu.SoftlyMasked if cpu.takes(logits) else _SoftlyMasked
    found: Tensor = function.apply(weights, logits, temperature, penalty)
    return found


class _SoftlyMasked(torch.autograd.Function):
    """The penalty enters as its gradient λ·τ·σ·(1 - σ), which costs no pass over the weights of its own."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        weights, logits, temperature, penalty = given
        ones = [1] * (logits.dim() - 1)
        soft = (logits * temperature.view(-1, *ones)).sigmoid_()
        ctx.save_for_backward(weights, soft, temperature.view(-1, *ones), penalty.view(-1, *ones))
        return weights * soft

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None, None]:
        weights, soft, temperature, penalty = ctx.saved_tensors
        found = torch.addcmul(penalty, gradients[0], weights)
        torch.ops.aten.sigmoid_backward.grad_input(found, soft, grad_input=found)
        return None, found.mul_(temperature), None, None


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
