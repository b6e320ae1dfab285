"""Named streams: same name and seed, same bits; anything else, other bits."""

from typing import get_args

import pytest
import torch

from subind.training.draws import Stream, dropout_stream, generator


def test_generator_same_stream_and_seed_gives_same_bits() -> None:
    first, second = (torch.rand(100, generator=generator("donor/train", 3)) for _ in range(2))
    assert torch.equal(first, second)


def test_generator_other_seed_gives_other_bits() -> None:
    first, second = (torch.rand(100, generator=generator("donor/train", seed)) for seed in (3, 4))
    assert not torch.equal(first, second)


def test_generator_every_stream_and_seed_gives_other_bits() -> None:
    draws = {
        tuple(torch.rand(4, generator=generator(stream, seed)).tolist())
        for stream in get_args(Stream)
        for seed in range(20)
    }
    assert len(draws) == 20 * len(get_args(Stream))


def test_generator_drawn_from_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    torch.rand(100, generator=generator("mask/order", 0))
    assert torch.equal(before, torch.get_rng_state())


# ---- dropout


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_dropout_stream_on_a_cpu_is_that_of_torch_rand_bit_for_bit(seed: int) -> None:
    stream, draws = dropout_stream("transfer/dropout", seed, "cpu"), generator("transfer/dropout", seed)
    for count, rate in ((1000, 0.1), (5, 0.5), (624, 0.1), (3000, 0.9), (1, 0.3)):
        found = torch.empty(count)
        stream.fill(found, rate)
        assert torch.equal(found, torch.rand(count, generator=draws).ge(rate) * (1 / (1 - rate)))


@pytest.mark.parametrize("before", [0, 1, 623, 624, 1000])
def test_dropout_stream_goes_on_from_its_state(before: int) -> None:
    first, second = dropout_stream("donor/dropout", 3, "cpu"), dropout_stream("donor/dropout", 4, "cpu")
    first.fill(torch.empty(before), 0.1)
    second.restore(first.state())
    found, expected = torch.empty(1500), torch.empty(1500)
    first.fill(expected, 0.1)
    second.fill(found, 0.1)
    assert torch.equal(found, expected)
