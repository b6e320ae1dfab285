"""Reads result rows and makes tables, figures and the report from them. Neither torch nor ray is imported here.

`write_report` does it all; `compare_starts`, `gaps` and `figure` answer in a notebook; `load`, `row_fingerprint` and
the selections give the rows.
"""

from analysis.notebook import compare_starts, figure, gaps
from analysis.report.page import write_report
from analysis.rows.load import curves, donors, load, masks, row_fingerprint, transfers

__all__ = [
    "compare_starts",
    "curves",
    "donors",
    "figure",
    "gaps",
    "load",
    "masks",
    "row_fingerprint",
    "transfers",
    "write_report",
]
