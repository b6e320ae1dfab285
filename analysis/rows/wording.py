"""Numbers in words for a page: fixed decimals, thin intervals, and a dash for what there is not."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

DASH = "–"
MISSING = "missing"

UNCORRECTED = "Every interval is at its own level: none is corrected for how many stand in its table or picture."
"""What a page says of the intervals of a family."""
EMPTY = "empty"


def decimal(value: Any, *, digits: int = 3, absent: str = DASH) -> str:
    """The number with so many decimals, or `absent` for none."""
    return absent if pd.isna(value) else f"{value:.{digits}f}"


def density(value: Any, *, absent: str = DASH) -> str:
    """The share of ones of a mask with three decimals; `empty` of one that keeps nothing, `absent` for none."""
    return EMPTY if not pd.isna(value) and value == 0 else decimal(value, absent=absent)


def signed(value: Any, *, digits: int = 3) -> str:
    """The number with its sign, a true minus, or a dash for none."""
    return DASH if pd.isna(value) else f"{value:+.{digits}f}".replace("-", "−")


def interval(low: Any, high: Any, *, digits: int = 3) -> str:
    """[low, high], or a dash where there is no interval."""
    return (
        DASH if pd.isna(low) else f"[{decimal(low, digits=digits)}, {decimal(high, digits=digits)}]".replace("-", "−")
    )


def probability(value: Any) -> str:
    """A p value with four decimals, or a dash for none."""
    if pd.isna(value):
        return DASH
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def listed(items: Sequence[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
