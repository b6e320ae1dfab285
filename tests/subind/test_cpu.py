"""The CPU's own operations against PyTorch's, values and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from subind.models import cpu, gpt2


def drawn(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_gelu_new_equals_torch_in_value_and_gradient() -> None:
    ours = torch.cat([drawn(1000, scale=3.0), torch.tensor([-1e4, -30.0, -0.0, 0.0, 30.0, 1e4])]).requires_grad_()
    theirs = ours.detach().double().requires_grad_()
    found, expected = cpu.gelu_new(ours), F.gelu(theirs, approximate="tanh")
    torch.testing.assert_close(found.double(), expected, atol=2e-6, rtol=1e-6)
    upstream = drawn(len(ours), seed=1)
    (gradient,) = torch.autograd.grad(found, ours, upstream)
    (of_theirs,) = torch.autograd.grad(expected, theirs, upstream.double())
    torch.testing.assert_close(gradient.double(), of_theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("length", [1, 3, 4])
def test_causal_attention_equals_batched_products_in_value_and_gradient(length: int, dropped: bool) -> None:
    ours = drawn(2, 5, length, 3, 4, 8, scale=2.0).requires_grad_()
    theirs = ours.detach().double().requires_grad_()
    factors = (drawn(2, 5, 4, length, length, seed=1) > -1).float() / 0.9 if dropped else None
    found = cpu.causal_attention(ours, factors)
    expected = gpt2.causal_attention(theirs, None if factors is None else factors.double())
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    upstream = drawn(*found.shape, seed=2)
    (gradient,) = torch.autograd.grad(found, ours, upstream)
    (of_theirs,) = torch.autograd.grad(expected, theirs, upstream.double())
    torch.testing.assert_close(gradient.double(), of_theirs, atol=1e-5, rtol=1e-5)
