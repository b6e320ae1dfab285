"""The CPU's own operations against PyTorch's, values and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from subind.kernels import functions as cpu
from subind.networks import gpt2


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


def test_layer_norm_equals_torch_in_value_and_gradient() -> None:
    ours = [drawn(2, 7, 12, scale=3.0), drawn(2, 12, seed=1), drawn(2, 12, seed=2)]
    theirs = [each.double().requires_grad_() for each in ours]
    for each in ours:
        each.requires_grad_()
    found, expected = cpu.layer_norm(*ours), gpt2.layer_norm(*theirs)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    upstream = drawn(2, 7, 12, seed=3)
    gradients = torch.autograd.grad(found, ours, upstream)
    of_theirs = torch.autograd.grad(expected, theirs, upstream.double())
    for gradient, of_each in zip(gradients, of_theirs, strict=True):
        torch.testing.assert_close(gradient.double(), of_each, atol=1e-5, rtol=1e-5)


def test_cross_entropy_equals_torch_in_value_and_gradient() -> None:
    ours = torch.cat([drawn(6, 11, scale=5.0), torch.tensor([[-200.0] * 10 + [200.0]])]).requires_grad_()
    theirs, answers = ours.detach().double().requires_grad_(), torch.tensor([0, 1, 2, 3, 4, 10, 10])
    expected = F.cross_entropy(theirs, answers, reduction="none")
    found = cpu.cross_entropy(ours * 1, answers)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    upstream = drawn(7, seed=1)
    (gradient,) = torch.autograd.grad(found, ours, upstream)
    (of_theirs,) = torch.autograd.grad(expected, theirs, upstream.double())
    torch.testing.assert_close(gradient.double(), of_theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_stays_so(bad: float) -> None:
    joined, scores, x = drawn(1, 1, 3, 3, 1, 4), drawn(1, 5), drawn(1, 1, 4)
    for tensor in (joined, scores, x):
        tensor.view(-1)[1] = bad
    assert not cpu.causal_attention(joined, None).isfinite().all()
    assert not cpu.cross_entropy(scores, torch.tensor([0])).isfinite().any()
    assert not cpu.layer_norm(x, torch.ones(1, 4), torch.zeros(1, 4)).isfinite().any()


def test_gelu_of_nan_is_nan() -> None:
    assert cpu.gelu_new(torch.tensor([float("nan")])).isnan().all()


def test_zero_where_and_copy_where_touch_the_kept_only() -> None:
    kept, x, source = drawn(2, 5, 7) > 0, drawn(2, 5, 7, seed=1), drawn(2, 5, 7, seed=2)
    assert torch.equal(cpu.zero_where(kept, x.clone()), x.masked_fill(kept, 0))
    out = x.clone()
    cpu.copy_where(kept, source, out)
    assert torch.equal(out, torch.where(kept, source, x))
