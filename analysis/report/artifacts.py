"""Writing tables and figures, each with the fingerprint of the rows that it was made from.

The fingerprint stands in a column `rows_fingerprint` of a CSV (so that any reader takes the file as it is), in the
schema metadata of a Parquet file, in a comment of Markdown and LaTeX, and in the metadata of a PNG ("Source") and an
SVG (dc:source).
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Self

import matplotlib as mpl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from loky import get_reusable_executor
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

FINGERPRINT = "rows_fingerprint"
DOTS_PER_INCH = 200
SECONDS_BETWEEN_LOOKS = 1.0

_LATEX = {
    "\\": r"\textbackslash{}",
    **{special: f"\\{special}" for special in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": r"\ensuremath{-}",
    "–": "--",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "≥": r"\ensuremath{\ge}",
    "≤": r"\ensuremath{\le}",
    "×": r"\ensuremath{\times}",
    "·": r"\ensuremath{\cdot}",
    "²": r"\textsuperscript{2}",
    "τ": r"\ensuremath{\tau}",
    "λ": r"\ensuremath{\lambda}",
    "\n": " ",
    "\r": " ",
}
_MARKDOWN = {"\\": r"\\", "|": r"\|", "<": "&lt;", ">": "&gt;", "\n": " ", "\r": " "}


def write_table(table: pd.DataFrame, shown: pd.DataFrame, *, stem: Path, fingerprint: str) -> None:
    """Write the numbers as .csv and .parquet and the worded table as .md and .tex (booktabs) beside `stem`."""
    table.assign(**{FINGERPRINT: fingerprint}).to_csv(stem.with_suffix(".csv"), index=False)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), FINGERPRINT.encode(): fingerprint.encode()}
    pq.write_table(arrow.replace_schema_metadata(metadata), stem.with_suffix(".parquet"))
    stem.with_suffix(".md").write_text(markdown(shown, fingerprint=fingerprint), encoding="utf-8")
    stem.with_suffix(".tex").write_text(latex(shown, fingerprint=fingerprint), encoding="utf-8")


def write_figure(figure: Figure, *, stem: Path, title: str, fingerprint: str) -> None:
    """Write the figure as .png (200 dots per inch) and .svg beside `stem`; the same figure gives the same bytes."""
    metadata = {"Title": title, "Source": f"rows {fingerprint}"}
    with mpl.rc_context({"svg.hashsalt": fingerprint}):
        FigureCanvasSVG(figure).print_svg(  # type: ignore[no-untyped-call]
            stem.with_suffix(".svg"), metadata={**metadata, "Date": None}
        )
    figure.set_layout_engine("none")  # the SVG's layout serves, and finding one takes as long as drawing
    figure.set_dpi(DOTS_PER_INCH)
    FigureCanvasAgg(figure).print_png(stem.with_suffix(".png"), metadata=metadata)  # type: ignore[no-untyped-call]


class FigureFiles:
    """Draws and writes figures in a process beside this one, which goes on meanwhile; its end waits for all of them.

    Raises at the end what drawing or writing raised, OSError if the disk is full.
    """

    def __init__(self) -> None:
        self._executor = get_reusable_executor(max_workers=1, initializer=_end_with_parent)
        self._executor.submit(_imported)
        self._written: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def write(self, draw: Callable[[], Figure], *, stem: Path, title: str, fingerprint: str) -> None:
        """As `write_figure` of the figure that `draw` makes, some time before the end of the `with` block."""
        self._written.append(
            self._executor.submit(_drawn, draw, stem=stem.resolve(), title=title, fingerprint=fingerprint)
        )

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for each in self._written:
                each.result()


def _end_with_parent() -> None:
    """Let the process that draws end when the one that reports does, also by `kill -9`: it would wait for ever."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _imported() -> None:
    """Nothing, in the process that will draw, which has imported all that it needs once it is here."""


def _drawn(draw: Callable[[], Figure], *, stem: Path, title: str, fingerprint: str) -> None:
    write_figure(draw(), stem=stem, title=title, fingerprint=fingerprint)


def markdown(shown: pd.DataFrame, *, fingerprint: str) -> str:
    """A pipe table after a comment with the fingerprint."""
    headings = [_escaped(name, _MARKDOWN) for name in shown.columns]
    lines = [f"<!-- {FINGERPRINT}: {fingerprint} -->", "", _piped(headings), _piped(["---"] * len(headings))]
    lines += [_piped([_escaped(cell, _MARKDOWN) for cell in row]) for row in shown.itertuples(index=False, name=None)]
    return "\n".join(lines) + "\n"


def latex_text(text: object) -> str:
    """A text as LaTeX shows it; a letter that its fonts lack is named by its code point."""
    return "".join(_LATEX.get(letter) or _in_latex_fonts(letter) for letter in str(text))


def _in_latex_fonts(letter: str) -> str:
    printable = " " <= letter <= "~" or "\u00c0" <= letter <= "\u00ff"
    return letter if printable else f"U+{ord(letter):04X}"


def latex(shown: pd.DataFrame, *, fingerprint: str) -> str:
    """A booktabs `tabular` after a comment with the fingerprint; a rule parts the values of the first column."""
    lines = [f"% {FINGERPRINT}: {fingerprint}", "% needs \\usepackage{booktabs}"]
    lines += [
        f"\\begin{{tabular}}{{{'l' * shown.shape[1]}}}",
        "\\toprule",
        _ampersands(list(shown.columns)),
        "\\midrule",
    ]
    previous = None
    for row in shown.itertuples(index=False, name=None):
        if previous is not None and row[0] != previous:
            lines.append("\\midrule")
        lines.append(_ampersands(list(row)))
        previous = row[0]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def _piped(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ampersands(cells: list[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


def _escaped(cell: str, replacements: dict[str, str]) -> str:
    return "".join(replacements.get(letter, letter) for letter in str(cell))
