"""Named streams: same name and seed, same bits; anything else, other bits."""

from typing import get_args

import torch

from subind.randomness import Stream, generator


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
