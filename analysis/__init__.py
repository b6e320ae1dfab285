"""Reads result rows and makes tables, figures and the report from them. Neither torch nor ray is imported here.

`write_report` does it all; `load`, `row_fingerprint` and the selections serve notebooks.
"""

from analysis.report.page import write_report
from analysis.rows.load import curves, donors, load, masks, row_fingerprint, transfers

__all__ = ["curves", "donors", "load", "masks", "row_fingerprint", "transfers", "write_report"]
