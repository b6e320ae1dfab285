"""Reads result rows and makes tables, figures and the report from them. Neither torch nor ray is imported here.

`write_report` does it all; `load`, `row_fingerprint` and the selections serve notebooks.
"""

from analysis.load import curves, donors, load, masks, row_fingerprint, transfers
from analysis.report import write_report

__all__ = ["curves", "donors", "load", "masks", "row_fingerprint", "transfers", "write_report"]
