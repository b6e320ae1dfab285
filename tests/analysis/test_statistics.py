"""Against closed forms, SciPy and plain enumeration."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from scipy import stats

from analysis.statistics import (
    DRAWN,
    EXACT,
    MOST_EXACT_PAIRS,
    NUM_PATTERNS,
    bca_interval,
    bca_intervals,
    paired_difference,
    sign_flip_p,
    smallest_sign_flip_p,
    t_interval,
    wilson_interval,
)
from analysis.statistics.intervals import Statistic

FIVE = [0.52, 0.61, 0.58, 0.66, 0.49]
DYADIC = [0.515625, 0.609375, 0.578125, 0.65625, 0.5]
"""Sums of these are exact, so that ties of resampled means are ties in every order of adding."""


def enumerated_p(differences: list[int]) -> Fraction:
    """The share of sign patterns whose sum is as far from 0, counted in integers."""
    observed = abs(sum(differences))
    sums = [
        sum(sign * each for sign, each in zip(signs, differences, strict=True))
        for signs in product((-1, 1), repeat=len(differences))
    ]
    return Fraction(sum(abs(each) >= observed for each in sums), len(sums))


def test_t_interval_of_three_values_equals_closed_form():
    found = t_interval([0.5, 0.6, 0.7])
    half = 4.302652729749464 * 0.1 / np.sqrt(3)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.6 - half, 0.6 + half), abs=1e-12)
    assert found.method == "t, 95%"


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_t_interval_at_any_level_equals_scipy(level: float):
    found = t_interval(FIVE, level=level)
    expected = stats.ttest_1samp(FIVE, 0).confidence_interval(level)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-12)


@pytest.mark.parametrize("values", [[], [0.5]])
def test_intervals_of_fewer_than_two_values_are_none(values: list[float]):
    assert t_interval(values) is None
    assert bca_interval(values, generator=np.random.default_rng(0)) is None


def test_t_interval_with_nan_is_refused():
    with pytest.raises(ValueError, match="finite numbers, missing ones left out"):
        t_interval([0.5, float("nan")])


@pytest.mark.parametrize(
    ("statistic", "values"),
    [("mean", DYADIC), ("mean", [*DYADIC, 0.25, 0.78125]), ("mean", [0.5, 0.5, 0.625]), ("median", DYADIC)],
)
def test_bca_interval_from_the_same_generator_equals_scipy(statistic: Statistic, values: list[float]):
    found = bca_interval(values, generator=np.random.default_rng(3), statistic=statistic, num_resamples=2000)
    function = {"mean": np.mean, "median": np.median}[statistic]
    expected = stats.bootstrap((values,), function, n_resamples=2000, method="BCa", rng=np.random.default_rng(3))
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval), abs=1e-12)


def test_bca_interval_from_the_same_state_has_the_same_bits():
    assert bca_interval(FIVE, generator=np.random.default_rng(1)) == bca_interval(
        FIVE, generator=np.random.default_rng(1)
    )


def test_bca_interval_from_another_state_differs():
    first, second = (bca_interval(FIVE, generator=np.random.default_rng(seed), num_resamples=500) for seed in (1, 2))
    assert first != second


def test_bca_intervals_of_several_samples_are_those_of_each_alone():
    samples = np.random.default_rng(0).normal(0.5, 0.1, (4, 5))
    together = bca_intervals(samples, generator=np.random.default_rng(2), num_resamples=300)
    alone = [bca_interval(each, generator=np.random.default_rng(2), num_resamples=300) for each in samples]
    assert together == alone


def test_bca_interval_of_equal_values_is_that_value():
    found = bca_interval([1.0, 1.0, 1.0], generator=np.random.default_rng(0))
    assert found is not None
    assert (found.low, found.high) == (1.0, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (1, 5), (3, 7), (5, 5), (997, 1000)])
def test_wilson_interval_equals_scipy(successes: int, trials: int):
    found = wilson_interval(successes, trials)
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_interval_without_trials_is_none():
    assert wilson_interval(0, 0) is None


def test_wilson_interval_with_more_successes_than_trials_is_refused():
    with pytest.raises(ValueError, match="num_successes is 6: give 0 to num_trials = 5"):
        wilson_interval(6, 5)


@pytest.mark.parametrize(
    "differences",
    [[3], [1, 1], [5, -2, 1], [0, 0, 4], [7, 3, -1, 2, 2], [1, 2, 3, 4, 5, 6], [9, -9, 4, -4, 1, 0, 3], [0, 0, 0]],
)
def test_sign_flip_p_equals_enumeration_in_integers(differences: list[int]):
    thousandths = [each / 1000 for each in differences]
    assert sign_flip_p(thousandths) == pytest.approx(float(enumerated_p(differences)), abs=1e-15)


def test_sign_flip_p_of_fourteen_pairs_equals_scipy():
    differences = np.random.default_rng(0).normal(0.3, 1, 14)
    expected = stats.permutation_test(
        (differences,), np.mean, vectorized=True, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(differences) == pytest.approx(expected.pvalue, abs=1e-12)


def test_sign_flip_p_above_the_exact_limit_is_near_the_exact_one():
    """The exact share of all 2^28 patterns, from the sums of two halves of integers."""
    differences = np.random.default_rng(0).integers(-3, 5, 40)
    differences = differences[differences != 0][:28]
    assert differences.size == 28 > MOST_EXACT_PAIRS
    counts = np.ones(1, dtype=np.int64)
    for each in np.abs(differences):
        counts = np.convolve(counts, np.bincount([0, 2 * each]))
    sums = np.arange(counts.size) - np.abs(differences).sum()
    exact = counts[np.abs(sums) >= abs(differences.sum())].sum() / counts.sum()
    assert sign_flip_p(differences / 10) == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / NUM_PATTERNS))


def test_sign_flip_p_of_drawn_patterns_counts_the_one_that_was_found():
    assert sign_flip_p([0.1] * 60) == 1 / (1 + NUM_PATTERNS) == smallest_sign_flip_p(60)


def test_sign_flip_p_of_pairs_that_mostly_tie_is_that_of_the_others():
    """Four of 26 pairs differ, all alike: 2 of their 16 patterns are as extreme."""
    found = paired_difference([0.0] * 22 + [0.1] * 4)
    assert found is not None
    assert (found.num_pairs, found.p, found.smallest_p, found.p_method) == (26, 0.125, 0.125, EXACT)


def test_sign_flip_p_of_pairs_that_mostly_tie_rejects_alike_arms_at_most_at_its_level():
    draws = np.random.default_rng(0)
    differences = np.zeros((2_000, 26))
    differences[:, :4] = 0.005 * draws.choice([-1, 1], (2_000, 4))
    rejected = sum(sign_flip_p(each) <= 0.05 for each in differences)
    assert stats.binomtest(rejected, 2_000, 0.05, alternative="greater").pvalue > 0.01


def test_sign_flip_p_takes_what_adding_floats_leaves_for_a_tie():
    thirds = [(0.1 + 0.2) - 0.3, 0.5, 0.5, 0.5]
    assert thirds[0] != 0
    assert sign_flip_p(thirds) == 0.25


def test_paired_differences_that_all_tie_have_no_smaller_p_than_one():
    found = paired_difference([0.0] * 5)
    assert found is not None
    assert (found.p, found.smallest_p) == (1.0, 1.0)


def test_sign_flip_p_of_many_zeros_is_one():
    assert sign_flip_p([0.0] * (MOST_EXACT_PAIRS + 1)) == 1.0


def test_sign_flip_p_without_pairs_is_refused():
    with pytest.raises(ValueError, match="give at least one pair"):
        sign_flip_p([])


@pytest.mark.parametrize(("num_pairs", "floor"), [(1, 1.0), (3, 0.25), (4, 0.125), (5, 0.0625), (6, 0.03125)])
def test_smallest_sign_flip_p_is_reached_by_pairs_of_one_sign(num_pairs: int, floor: float):
    assert smallest_sign_flip_p(num_pairs) == floor
    assert sign_flip_p([0.1 * (index + 1) for index in range(num_pairs)]) == floor


def test_paired_difference_of_one_pair_has_no_interval():
    found = paired_difference([0.2])
    assert found is not None
    assert (found.num_pairs, found.mean, found.interval, found.p, found.smallest_p) == (1, 0.2, None, 1.0, 1.0)


def test_paired_difference_of_five_pairs_has_the_interval_of_the_paired_t_test():
    first, second = np.array(FIVE), np.array([0.5, 0.5, 0.55, 0.5, 0.52])
    found = paired_difference(first - second)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert found is not None
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(expected), abs=1e-12)


@pytest.mark.parametrize(("num_pairs", "method"), [(MOST_EXACT_PAIRS, EXACT), (MOST_EXACT_PAIRS + 1, DRAWN)])
def test_paired_difference_names_how_p_was_found(num_pairs: int, method: str):
    found = paired_difference(np.linspace(0.1, 0.3, num_pairs))
    assert found is not None
    assert found.p_method == method


def test_paired_difference_without_pairs_is_none():
    assert paired_difference([]) is None
