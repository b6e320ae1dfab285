"""Statistics of few seeds, as pure functions over finite numbers; what is random takes a generator."""

from analysis.statistics.betting import betting_interval, log_capital, smallest_betting_p
from analysis.statistics.hierarchical import hierarchical_interval
from analysis.statistics.improvement import Improvement, probability_of_improvement
from analysis.statistics.intervals import bca_interval, bca_intervals, t_interval, wilson_interval
from analysis.statistics.isotonic import Crossing, isotonic, samples_to_reach
from analysis.statistics.multiplicity import benjamini_hochberg, holm
from analysis.statistics.paired import (
    DRAWN,
    EXACT,
    MOST_EXACT_PAIRS,
    NUM_PATTERNS,
    PairedDifference,
    paired_difference,
    sign_flip_p,
    smallest_sign_flip_p,
)
from analysis.statistics.values import LEVEL, Interval

__all__ = [
    "DRAWN",
    "EXACT",
    "LEVEL",
    "MOST_EXACT_PAIRS",
    "NUM_PATTERNS",
    "Crossing",
    "Improvement",
    "Interval",
    "PairedDifference",
    "bca_interval",
    "bca_intervals",
    "benjamini_hochberg",
    "betting_interval",
    "hierarchical_interval",
    "holm",
    "isotonic",
    "log_capital",
    "paired_difference",
    "probability_of_improvement",
    "samples_to_reach",
    "sign_flip_p",
    "smallest_betting_p",
    "smallest_sign_flip_p",
    "t_interval",
    "wilson_interval",
]
