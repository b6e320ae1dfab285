"""The columns of a difference paired by seed, the same in every table that has one."""

from typing import Any

import pandas as pd

from analysis.rows.wording import interval, probability
from analysis.statistics.paired import PairedDifference

COLUMNS = dict.fromkeys(("difference", "difference_low", "difference_high", "p", "smallest_p"), "Float64")


def cells(found: PairedDifference) -> dict[str, Any]:
    """The values of COLUMNS."""
    return {
        "difference": found.mean,
        "difference_low": found.interval and found.interval.low,
        "difference_high": found.interval and found.interval.high,
        "p": found.p,
        "smallest_p": found.smallest_p,
    }


def certainty(found: pd.DataFrame) -> dict[str, list[str]]:
    """How sure the differences of a table are, in words, by heading."""
    return {
        "95% interval (t)": list(map(interval, found["difference_low"], found["difference_high"])),
        "p": list(map(probability, found["p"])),
        "smallest possible p": list(map(probability, found["smallest_p"])),
    }
