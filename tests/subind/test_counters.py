"""Random numbers by streams and counters: known answers, the same numbers on every path, and their statistics."""

import itertools
import subprocess
import sys
from math import sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

from subind.kernels import compiled as kernels
from subind.training import draws as counters
from subind.training.draws import PURPOSES, STREAMS, Draws, generator, key

NAMES = [f"{stage}/{purpose}" for stage, purposes in STREAMS.items() for purpose in purposes]
SEEDS = [0, 1, 2, 12345, 2**40]


def philox(key: int, counter: tuple[int, int, int, int]) -> list[int]:
    """Philox4x32-10 in Python's unbounded integers, by the formulas of Salmon et al. (2011), section 3.3."""
    left, right = [counter[0], counter[2]], [counter[1], counter[3]]
    for number in range(10):
        products = [left[0] * 0xD2511F53, left[1] * 0xCD9E8D57]
        keys = [(half + number * weyl) % 2**32 for half, weyl in ((key % 2**32, 0x9E3779B9), (key >> 32, 0xBB67AE85))]
        left = [products[1 - i] // 2**32 ^ right[i] ^ keys[i] for i in range(2)]
        right = [products[1 - i] % 2**32 for i in range(2)]
    return [left[0], right[0], left[1], right[1]]


def expected_words(key: int, step: int, call: int, num: int) -> list[int]:
    blocks = (philox(key, (block, call, step % 2**32, step >> 32)) for block in range(-(-num // 4)))
    return list(itertools.chain.from_iterable(blocks))[:num]


def signed(value: int) -> int:
    """The value of an int64 with the bits of a uint64."""
    return value - 2**64 if value >= 2**63 else value


def device_keys(stream: str, seeds: list[int]) -> Tensor:
    """The keys as the path in torch takes them."""
    return torch.tensor([signed(key(stream, seed)) for seed in seeds])


# ---- keys and generators


def test_streams_every_purpose_is_described_and_stands_once_in_a_stage() -> None:
    assert {purpose for purposes in STREAMS.values() for purpose in purposes} == set(PURPOSES)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", ["donor", "donor/", "order", "donor/Order", "painter/order", "donor/order/", ""])
def test_key_of_an_unknown_stream_is_refused(name: str) -> None:
    with pytest.raises(AssertionError, match="no stream is named"):
        key(name, 0)


def test_key_is_the_start_of_the_hash_of_its_parts() -> None:
    # printf '["donor/order", 3, "epoch", 7]' | sha256sum
    assert key("donor/order", 3, "epoch", 7) == 0xD7CC27688365B104


def test_key_differs_for_every_stream_seed_and_part() -> None:
    parts: list[tuple[str | int, ...]] = [(), (1,), ("1",), (1, 2), (12,), ("1, 2",), ("1", "2"), ('1", "2',)]
    keys = {key(name, seed, *rest) for name in NAMES for seed in (*SEEDS, -1) for rest in parts}
    assert len(keys) == len(NAMES) * (len(SEEDS) + 1) * len(parts)
    assert all(0 <= each < 2**64 for each in keys)


def test_key_in_another_process_is_the_same() -> None:
    code = "from subind.training.draws import key; print(key('mask/rows', 5, 'a', 1))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(answer) == key("mask/rows", 5, "a", 1)


def test_generator_same_key_gives_same_bits_and_other_key_other_bits() -> None:
    first, second = (torch.rand(100, generator=generator("donor/rows", 3, "a")) for _ in range(2))
    assert torch.equal(first, second)
    others = [("donor/rows", 4, "a"), ("donor/rows", 3, "b"), ("donor/order", 3, "a")]
    assert not any(torch.equal(first, torch.rand(100, generator=generator(*other))) for other in others)


def test_generator_and_draws_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    torch.rand(100, generator=generator("mask/order", 0))
    draws = Draws("mask/dropout", [0, 1], "cpu")
    draws.at(0)
    draws.dropout(10, 0.1), draws.uniform(10), draws.seeds()
    assert torch.equal(before, torch.get_rng_state())


# ---- Philox4x32-10


KNOWN_ANSWERS = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]
"""Counter, key and words of Random123's file kat_vectors."""


@pytest.mark.parametrize(("counter", "halves", "words"), KNOWN_ANSWERS)
def test_philox_words_are_the_known_answers(counter: list[int], halves: list[int], words: list[int]) -> None:
    out = np.empty(kernels.WORDS, np.uint32)
    whole, step = halves[1] << 32 | halves[0], counter[3] << 32 | counter[2]
    kernels.philox_words(np.uint64(whole), np.uint64(step), np.uint64(counter[1]), np.uint64(counter[0]), out)
    assert out[:4].tolist() == words
    assert philox(whole, (counter[0], counter[1], counter[2], counter[3])) == words


def test_device_words_of_zeros_are_the_known_answer() -> None:
    words = counters.device_words(torch.zeros(1, dtype=torch.int64), torch.tensor(0), 0, 4)
    assert words.tolist() == [KNOWN_ANSWERS[0][2]]


@pytest.mark.parametrize("step", [0, 1, 2**32 - 1, 2**32, 2**63 - 1])
@pytest.mark.parametrize("call", [0, 1, 2**32 - 1])
def test_words_in_torch_and_compiled_are_those_of_unbounded_integers(step: int, call: int) -> None:
    num, keys = 150, [0, 1, 2**63 - 1, 2**63, 2**64 - 1, 0x0123456789ABCDEF]
    expected = [expected_words(each, step, call, num) for each in keys]
    words = counters.device_words(torch.tensor([signed(each) for each in keys]), torch.tensor(step), call, num)
    assert words.tolist() == expected
    uniform = counters.compiled_uniform(np.array(keys, np.uint64), step, call, num)
    assert (uniform.double() * 2**24).tolist() == [[word >> 8 for word in row] for row in expected]


# ---- draws: the same on every path


@pytest.mark.parametrize("num", [0, 1, 3, 4, 63, 64, 65, 1000, 240_001])
def test_draws_on_a_cpu_are_those_in_torch(num: int) -> None:
    stream, step = "transfer/dropout", 7
    draws = Draws(stream, SEEDS, "cpu")
    draws.at(step)
    keys, at = device_keys(stream, SEEDS), torch.tensor(step)
    assert torch.equal(draws.uniform(num), counters.device_uniform(keys, at, 0, num))
    for call, rate in enumerate((0.0, 0.1, 0.5, 1 / 3, 0.999), start=1):
        found = draws.dropout(num, rate)
        assert torch.equal(found, counters.device_dropout(keys, at, call, num, rate=rate))
        assert found.shape == (len(SEEDS), num)


@pytest.mark.parametrize("rate", [0.0, 2**-24, 0.1, 0.3, 0.5, 1 - 2**-24, 1 - 2**-53])
def test_dropout_is_the_scale_where_the_uniform_number_is_at_least_the_rate(rate: float) -> None:
    draws, same = Draws("mask/dropout", SEEDS, "cpu"), Draws("mask/dropout", SEEDS, "cpu")
    draws.at(3)
    same.at(3)
    expected = np.where(same.uniform(10_000).double().numpy() >= rate, np.float32(1 / (1 - rate)), np.float32(0))
    assert np.array_equal(draws.dropout(10_000, rate).numpy(), expected)


@pytest.mark.parametrize("size", [1, 2, 5, 25])
def test_draws_of_a_replica_alone_are_those_in_a_pack(size: int) -> None:
    pack = Draws("donor/dropout", range(size), "cpu")
    for step in (0, 5):
        pack.at(step)
        rows, numbers, seeds = pack.dropout(40_000, 0.1), pack.uniform(50), pack.seeds()
        for seed in range(size):
            alone = Draws("donor/dropout", [seed], "cpu")
            alone.at(step)
            assert torch.equal(alone.dropout(40_000, 0.1)[0], rows[seed])
            assert torch.equal(alone.uniform(50)[0], numbers[seed])
            assert alone.seeds() == [seeds[seed]]


def test_draws_of_fewer_numbers_are_the_first_of_more() -> None:
    draws = Draws("donor/augmentation", SEEDS, "cpu")
    rows = []
    for num in (10, 1000):
        draws.at(1)
        rows.append(draws.uniform(num))
    assert torch.equal(rows[0], rows[1][:, :10])


# ---- draws: steps, calls, replicas


def test_draws_at_a_step_again_are_the_same_and_at_another_are_not() -> None:
    draws = Draws("donor/dropout", SEEDS, "cpu")
    rows = {}
    for step in (4, 9, 2**32 + 4):
        draws.at(step)
        rows[step] = draws.uniform(100)
    draws.at(4)
    assert torch.equal(rows[4], draws.uniform(100))
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(rows.values(), 2))


def test_draws_of_several_calls_of_a_step_differ_and_depend_on_their_order() -> None:
    draws = Draws("donor/dropout", SEEDS, "cpu")
    draws.at(2)
    first, second = draws.uniform(100), draws.uniform(100)
    assert not torch.equal(first, second)
    draws.at(2)
    draws.seeds()
    assert torch.equal(second, draws.uniform(100))


def test_draws_before_a_step_is_set_are_refused() -> None:
    with pytest.raises(AssertionError, match="no step is set"):
        Draws("donor/dropout", [0], "cpu").uniform(1)


@pytest.mark.parametrize("step", [-1, 2**63])
def test_draws_at_a_step_out_of_range_are_refused(step: int) -> None:
    with pytest.raises(AssertionError, match="out of range"):
        Draws("donor/dropout", [0], "cpu").at(step)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_dropout_of_a_rate_out_of_range_is_refused(rate: float) -> None:
    draws = Draws("donor/dropout", [0], "cpu")
    draws.at(0)
    with pytest.raises(AssertionError, match="dropout of"):
        draws.dropout(1, rate)


@pytest.mark.parametrize("index", [[0, 1, 2, 3, 4], [4], [3, 1], []])
def test_select_keeps_the_draws_of_the_replicas_within_a_step(index: list[int]) -> None:
    draws, whole = Draws("mask/dropout", SEEDS, "cpu"), Draws("mask/dropout", SEEDS, "cpu")
    draws.at(6)
    whole.at(6)
    draws.uniform(1), whole.uniform(1)
    draws.select(index)
    assert len(draws) == len(index)
    assert torch.equal(draws.dropout(1000, 0.5), whole.dropout(1000, 0.5)[index])
    seeds = whole.seeds()
    assert draws.seeds() == [seeds[place] for place in index]


def test_seeds_differ_by_replica_step_and_call_and_fit_torch() -> None:
    draws = Draws("transfer/dropout", range(25), "cpu")
    seeds = []
    for step in range(20):
        draws.at(step)
        for _ in range(3):
            seeds += draws.seeds()
    assert len(set(seeds)) == 25 * 20 * 3
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62
    torch.Generator().manual_seed(max(seeds))


# ---- statistics


NUM = 200_000


def normalised(rows: Tensor) -> np.ndarray:
    """Numbers uniform on [0, 1) with the mean 0 and the variance 1."""
    return (rows.double().numpy() - 0.5) * sqrt(12)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_expected_share_in_every_replica(rate: float) -> None:
    draws = Draws("donor/dropout", range(25), "cpu")
    draws.at(11)
    shares = (draws.dropout(NUM, rate) > 0).double().mean(1)
    assert ((shares - (1 - rate)).abs() < 5 * sqrt(rate * (1 - rate) / NUM)).all()


def test_uniform_numbers_have_the_expected_mean_variance_and_bins() -> None:
    draws = Draws("donor/augmentation", range(5), "cpu")
    draws.at(0)
    rows = draws.uniform(NUM)
    assert rows.min() >= 0
    assert rows.max() < 1
    numbers = normalised(rows)
    assert (abs(numbers.mean(1)) < 5 / sqrt(NUM)).all()
    assert (abs((numbers**2).mean(1) - 1) < 5 * sqrt(0.8 / NUM)).all()  # the fourth moment is 9/5
    counts = np.stack([np.bincount((row * 100).astype(int), minlength=100) for row in rows.double().numpy()])
    chi_squared = ((counts - NUM / 100) ** 2 / (NUM / 100)).sum(1)
    assert (abs(chi_squared - 99) < 5 * sqrt(2 * 99)).all()


def test_uniform_numbers_of_replicas_steps_calls_and_streams_are_not_correlated() -> None:
    rows = []
    for stream in ("donor/dropout", "transfer/dropout"):
        draws = Draws(stream, [0, 1, 2], "cpu")
        for step in (0, 1, 2**32):
            draws.at(step)
            rows += [normalised(draws.uniform(NUM)) for _ in range(2)]
    numbers = np.concatenate(rows)
    correlations = numbers @ numbers.T / NUM
    np.fill_diagonal(correlations, 0)
    assert abs(correlations).max() < 5 / sqrt(NUM)


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 16, 64])
def test_uniform_numbers_of_a_row_are_not_correlated(distance: int) -> None:
    draws = Draws("donor/dropout", range(5), "cpu")
    draws.at(0)
    numbers = normalised(draws.uniform(NUM))
    products = numbers[:, :-distance] * numbers[:, distance:]
    assert (abs(products.mean(1)) < 5 / sqrt(NUM - distance)).all()
