"""The test of a mean by betting: against closed forms, sums over all samples, and exact intervals of a share."""

from itertools import product
from math import log

import numpy as np
import pytest
from scipy import special, stats

from analysis.statistics import betting_interval, log_capital, smallest_betting_p

SKEWED = (np.array([0.27, 0.97]), np.array([0.1, 0.9]))
"""Nine runs in ten at 0.97 and one at 0.27, with a mean of 0.9."""


def closed_capital(num_ones: int, num_zeros: int) -> float:
    """½·2ⁿ if no bet was lost, and ½ of ∫ (1 + f)^ones (1 − f)^zeros df, by the incomplete beta function."""
    num = num_ones + num_zeros
    tail = special.beta(num_ones + 1, num_zeros + 1) * special.betaincc(num_ones + 1, num_zeros + 1, 0.5)
    return float((2.0**num / 2 if num_zeros == 0 else 0.0) + 2.0**num * tail)


@pytest.mark.parametrize(("num_ones", "num_zeros"), [(1, 0), (6, 0), (0, 5), (9, 1), (13, 7), (60, 40)])
def test_capital_on_a_half_equals_the_incomplete_beta_function(num_ones: int, num_zeros: int):
    values = np.repeat([1.0, 0.0], [num_ones, num_zeros])
    assert log_capital(values, bound=0.5)[-1] == pytest.approx(log(closed_capital(num_ones, num_zeros)), abs=1e-9)


@pytest.mark.parametrize("bound", [0.1, 0.5, 0.9])
def test_capital_of_ones_alone_equals_its_closed_form(bound: float):
    """The integral of (1 + f·g)ⁿ is ((1 + g)ⁿ⁺¹ − 1) / (g·(n + 1)), with the gain g of a bet."""
    gain, num = 1 / bound - 1, 12
    expected = (1 / bound) ** num / 2 + ((1 + gain) ** (num + 1) - 1) / (gain * (num + 1)) / 2
    assert log_capital(np.ones(num), bound=bound)[-1] == pytest.approx(log(expected), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "chances"),
    [SKEWED, (np.array([0.0, 1.0]), np.array([0.3, 0.7])), (np.array([0.0, 0.5, 1.0]), np.array([0.2, 0.5, 0.3]))],
)
def test_capital_on_the_true_mean_is_fair_over_all_samples(values: np.ndarray, chances: np.ndarray):
    """The mean of e over every sample of six values is 1, exactly."""
    mean, places = float(values @ chances), np.array(list(product(range(values.size), repeat=6)))
    capital = np.exp(log_capital(values[places], bound=mean))
    likely = np.cumprod(chances[places], axis=1)
    assert (capital * likely)[:, -1].sum() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("values", "chances"), [SKEWED, (np.array([0.0, 1.0]), np.array([0.5, 0.5]))])
def test_capital_on_the_true_mean_ever_grows_twentyfold_in_at_most_a_twentieth(values: np.ndarray, chances: np.ndarray):
    draws = np.random.default_rng(0).choice(values, (2_000, 40), p=chances)
    ever = (log_capital(draws, bound=float(values @ chances)).max(axis=1) >= log(20)).sum()
    assert stats.binomtest(int(ever), 2_000, 0.05, alternative="greater").pvalue > 0.01


def test_capital_is_the_same_in_every_order_of_the_values():
    values = np.random.default_rng(0).random(20)
    shuffled = np.random.default_rng(1).permutation(values)
    assert log_capital(values, bound=0.4)[-1] == pytest.approx(log_capital(shuffled, bound=0.4)[-1], abs=1e-12)


def test_capital_of_values_outside_their_range_is_refused():
    with pytest.raises(ValueError, match="give numbers from 0 to 1"):
        log_capital(np.array([1.2]), bound=0.5)
    with pytest.raises(ValueError, match="give a number between 0 and 1"):
        log_capital(np.array([0.2]), bound=1.0)


@pytest.mark.parametrize(("num_ones", "num_zeros"), [(6, 0), (0, 6), (9, 1), (13, 7), (150, 50)])
def test_interval_of_a_share_is_wider_than_the_exact_one_of_a_fixed_number(num_ones: int, num_zeros: int):
    """Clopper and Pearson's interval holds at one number of values, ours at all of them: it costs at most 0.15."""
    found = betting_interval(np.repeat([1.0, 0.0], [num_ones, num_zeros]))
    exact = stats.binomtest(num_ones, num_ones + num_zeros).proportion_ci(0.95, method="exact")
    assert found is not None
    assert exact.low - 0.15 < found.low <= exact.low
    assert exact.high <= found.high < exact.high + 0.15


def test_interval_ends_where_the_bets_refute():
    values = np.random.default_rng(0).random(30)
    found = betting_interval(values, level=0.9)
    assert found is not None
    assert log_capital(values, bound=found.low)[-1] == pytest.approx(log(20), abs=1e-6)
    assert log_capital(1 - values, bound=1 - found.high)[-1] == pytest.approx(log(20), abs=1e-6)


def test_interval_of_no_values_is_none():
    assert betting_interval([]) is None


@pytest.mark.parametrize("bound", [0.2, 0.5, 0.9])
def test_smallest_p_is_reached_by_ones_or_zeros_and_by_no_other_values(bound: float):
    floor = smallest_betting_p(4, bound=bound)
    ends = [np.exp(-log_capital(np.full(4, end), bound=bound)[-1]) for end in (0.0, 1.0)]
    ends += [np.exp(-log_capital(1 - np.full(4, end), bound=1 - bound)[-1]) for end in (0.0, 1.0)]
    assert floor == pytest.approx(min(ends))
    for values in np.random.default_rng(0).random((50, 4)):
        assert np.exp(-log_capital(values, bound=bound)[-1]) >= floor


def test_smallest_p_without_values_is_one():
    assert smallest_betting_p(0, bound=0.5) == 1.0
