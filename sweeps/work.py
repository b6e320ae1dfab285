"""What runs of one shape ask of a worker: the terms of the cost model."""

from dataclasses import dataclass

ROWS_OF_AN_EVALUATION = 250
"""Rows that an evaluation takes at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What runs of one shape ask of a worker; passes per pack, operations and elements per replica."""

    passes: float
    operations: float
    elements: float
