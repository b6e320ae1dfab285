"""Families of p values, improvement, nested randomness and samples to reach, against SciPy and closed forms."""

import numpy as np
import pytest
from scipy import optimize, stats

from analysis.statistics import (
    benjamini_hochberg,
    hierarchical_interval,
    holm,
    isotonic,
    probability_of_improvement,
    samples_to_reach,
)
from analysis.statistics.isotonic import crossings

COUNTS = np.array([0.0, 9, 99, 999])
RISING = np.array([0.2, 0.4, 0.6, 0.8])


def holm_by_definition(given: list[float]) -> list[float]:
    """The least α at which Holm's procedure rejects each, by running the procedure at every α in question."""
    candidates = sorted({min(1.0, p * factor) for p in given for factor in range(1, len(given) + 1)} | {1.0})
    found = [1.0] * len(given)
    for alpha in reversed(candidates):
        order = sorted(range(len(given)), key=lambda place: given[place])
        for step, place in enumerate(order):
            if given[place] > alpha / (len(given) - step) + 1e-15:
                break
            found[place] = alpha
    return found


@pytest.mark.parametrize("given", [[0.01], [0.01, 0.04, 0.03], [0.5, 0.2, 0.9, 0.01], [0.02, 0.02, 0.02], [1.0, 1.0]])
def test_holm_is_the_least_level_at_which_the_procedure_rejects(given: list[float]):
    assert holm(given) == pytest.approx(holm_by_definition(given))


def test_benjamini_hochberg_equals_scipy():
    given = np.random.default_rng(0).random(25) ** 2
    assert benjamini_hochberg(given) == pytest.approx(stats.false_discovery_control(given))


@pytest.mark.parametrize("adjusted", [holm, benjamini_hochberg])
def test_adjustment_of_what_is_no_probability_is_refused(adjusted: object):
    with pytest.raises(ValueError, match="give probabilities from 0 to 1"):
        adjusted([0.5, 1.5])  # type: ignore[operator]


def test_probability_of_improvement_is_the_share_of_mann_and_whitneys_u():
    draws = np.random.default_rng(0)
    first, second = draws.integers(0, 6, 7) / 8, draws.integers(0, 6, 9) / 8
    found = probability_of_improvement(first, second)
    assert found is not None
    assert found.probability == pytest.approx(stats.mannwhitneyu(first, second).statistic / 63)


def test_probability_of_improvement_interval_ends_solve_newcombes_equation():
    found = probability_of_improvement([0.9, 0.7, 0.8, 0.4], [0.5, 0.6, 0.75])
    assert found is not None
    assert found.interval is not None
    for theta in (found.interval.low, found.interval.high):
        inner = 1 + 2.5 * (1 - theta) / (2 - theta) + 2.5 * theta / (1 + theta)
        error = np.sqrt(theta * (1 - theta) * inner / 12)
        assert abs(theta - found.probability) == pytest.approx(1.959963984540054 * error)


@pytest.mark.parametrize(("first", "second", "ends"), [([3, 4], [1, 2], (None, 1.0)), ([1, 2], [3, 4], (0.0, None))])
def test_probability_of_improvement_of_parted_arms_has_an_interval(
    first: list[float], second: list[float], ends: tuple[float | None, float | None]
):
    found = probability_of_improvement(first, second)
    assert found is not None
    assert found.interval is not None
    assert 0.1 < found.interval.high - found.interval.low < 0.9
    for end, expected in zip((found.interval.low, found.interval.high), ends, strict=True):
        assert expected is None or end == expected


def test_probability_of_improvement_of_one_run_has_no_interval():
    found = probability_of_improvement([1.0], [0.5, 0.6])
    assert found is not None
    assert found.interval is None


def test_probability_of_improvement_without_runs_is_none():
    assert probability_of_improvement([], [0.5]) is None


GROUPS = [[0.5, 0.6, 0.55], [0.8, 0.9], [0.2, 0.3, 0.1]]


def test_hierarchical_interval_of_groups_without_inner_spread_is_that_of_their_means():
    """With all runs of a group alike only the groups vary: the exact bootstrap of three values is enumerated."""
    values = [0.1, 0.4, 0.9]
    found = hierarchical_interval([[each] * 4 for each in values], generator=np.random.default_rng(0))
    means = np.array([(a + b + c) / 3 for a in values for b in values for c in values])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((means.min(), means.max()))


def test_hierarchical_interval_of_many_groups_is_near_the_normal_one():
    draws = np.random.default_rng(1)
    levels = draws.normal(0.5, 0.1, 200)
    groups = [level + draws.normal(0, 0.05, 4) for level in levels]
    found = hierarchical_interval(groups, generator=draws)
    means = np.array([group.mean() for group in groups])
    inner = np.mean([group.var() / 4 for group in groups])
    half = 1.96 * np.sqrt((means.var() + inner) / 200)
    assert found is not None
    assert found.high - found.low == pytest.approx(2 * half, rel=0.06)


def test_hierarchical_interval_from_the_same_state_has_the_same_bits_and_from_another_differs():
    first, again, other = (hierarchical_interval(GROUPS, generator=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_hierarchical_interval_of_one_group_is_none():
    assert hierarchical_interval(GROUPS[:1], generator=np.random.default_rng(0)) is None


def test_hierarchical_interval_with_an_empty_group_is_refused():
    with pytest.raises(ValueError, match="leave out the groups without a finished run"):
        hierarchical_interval([[0.5], []], generator=np.random.default_rng(0))


def test_isotonic_of_random_curves_equals_scipy():
    draws = np.random.default_rng(0)
    values, weights = draws.random((20, 9)), draws.integers(1, 6, (20, 9)).astype(float)
    expected = [optimize.isotonic_regression(y, weights=w).x for y, w in zip(values, weights, strict=True)]
    assert isotonic(values, weights) == pytest.approx(np.array(expected))


def test_crossings_lie_on_a_line_over_the_logarithm_of_one_more_than_the_samples():
    assert crossings(RISING[None], COUNTS, threshold=0.7) == pytest.approx([10**2.5 - 1])


def test_crossing_of_a_curve_that_starts_above_is_its_first_count():
    assert crossings(RISING[None], COUNTS, threshold=0.1).tolist() == [0.0]


def test_crossing_of_a_curve_that_stays_below_is_infinite():
    assert crossings(RISING[None], COUNTS, threshold=0.81).tolist() == [np.inf]


@pytest.mark.parametrize("count", [10, 16, 100, 250, 1000, 6400])
def test_crossing_at_a_measured_count_is_that_count_on_every_cpu(count: int):
    counts = np.array([float(count), 10_000.0])

    assert crossings(np.array([[0.9, 1.0]]), counts, threshold=0.7).tolist() == [float(count)]
    assert crossings(np.array([[0.1, 0.7]]), counts[::-1] / 7, threshold=0.7).tolist() == [count / 7]


def test_samples_to_reach_of_one_seed_has_no_interval():
    (found,) = samples_to_reach(RISING[None], COUNTS, thresholds=[0.5], generator=np.random.default_rng(0))
    assert (found.samples, found.low, found.high, found.num_seeds) == (pytest.approx(10**1.5 - 1), None, None, 1)


def test_samples_to_reach_of_equal_seeds_has_an_interval_without_width():
    (found,) = samples_to_reach(np.tile(RISING, (4, 1)), COUNTS, thresholds=[0.5], generator=np.random.default_rng(0))
    assert found.low == found.high == pytest.approx(found.samples)


def test_samples_to_reach_where_some_seeds_stay_below_has_an_open_end():
    seeds = np.array([RISING, RISING, RISING - 0.4])
    (found,) = samples_to_reach(seeds, COUNTS, thresholds=[0.55], generator=np.random.default_rng(0))
    assert found.high == np.inf
    assert found.low is not None
    assert found.low < found.samples < np.inf


def test_samples_to_reach_takes_the_mean_over_the_seeds_that_have_a_count():
    seeds = np.array([RISING, [0.2, np.nan, 0.6, np.nan]])
    (found,) = samples_to_reach(seeds, COUNTS, thresholds=[0.7], generator=np.random.default_rng(0))
    assert found.samples == pytest.approx(10**2.5 - 1)


def test_samples_to_reach_without_a_run_has_no_crossing():
    empty = np.full((2, 4), np.nan)
    assert samples_to_reach(empty, COUNTS, thresholds=[0.5], generator=np.random.default_rng(0)) == []
