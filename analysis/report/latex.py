"""The report as a LaTeX bundle: a folder with one document, its tables and its pictures, that pdflatex compiles.

It needs article, booktabs, geometry, graphicx and hyperref, which every TeX distribution has. A table that is wider
than the page is shrunk to it, and one that is longer goes on over several pages.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.elements.section import Filled
from analysis.report.artifacts import FINGERPRINT, latex, latex_text

FOLDER = "latex"
ROWS_OF_A_PAGE = 38
MOST_ROWS = 20 * ROWS_OF_A_PAGE
"""Of a longer table the document shows so many rows and says where the others are."""

PREAMBLE = r"""\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[landscape,margin=15mm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage{hyperref}
\setlength{\parindent}{0pt}
\newsavebox{\tablebox}
\newcommand{\fitted}[1]{\sbox{\tablebox}{\input{#1}}%
  \ifdim\wd\tablebox>\linewidth\resizebox{\linewidth}{!}{\usebox{\tablebox}}\else\usebox{\tablebox}\fi}
"""


def write_bundle(
    sections: Sequence[Filled], folder: Path, *, title: str, methods: Sequence[str], fingerprint: str
) -> Path:
    """Write the bundle into the folder `latex` of a report whose pictures are written; the path of its report.tex."""
    bundle = folder / FOLDER
    shutil.rmtree(bundle, ignore_errors=True)
    bundle.mkdir()
    lines = [f"% {FINGERPRINT}: {fingerprint}", PREAMBLE, r"\begin{document}", rf"\title{{{latex_text(title)}}}"]
    lines += [rf"\author{{rows {fingerprint}}}", r"\date{}", r"\maketitle", r"\tableofcontents", r"\clearpage"]
    for section in sections:
        lines += _section(section, folder, fingerprint)
    lines += [r"\section{Methods}", *_items(methods), r"\end{document}", ""]
    path = bundle / "report.tex"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _section(each: Filled, folder: Path, fingerprint: str) -> list[str]:
    lines = [rf"\section{{{latex_text(each.section.title)}}}", *_items(each.content.sentences)]
    for picture in each.content.pictures:
        shutil.copyfile(folder / f"{picture.name}.png", folder / FOLDER / f"{picture.name}.png")
        lines += [
            r"\begin{center}",
            rf"\includegraphics[width=\linewidth,height=0.82\textheight,keepaspectratio]{{{picture.name}.png}}",
            "",
            rf"{{\small {latex_text(picture.title)}. {latex_text(picture.description)}}}",
            r"\end{center}",
        ]
    if each.shown is not None:
        lines += [latex_text(each.section.caption), ""]
        lines += _tables(each.section.name, each.shown, folder / FOLDER, fingerprint)
    return [*lines, r"\clearpage"]


def _tables(name: str, shown: pd.DataFrame, bundle: Path, fingerprint: str) -> list[str]:
    """Write the table in pieces of a page each, and give the lines that include them."""
    lines = []
    some = shown.head(MOST_ROWS)
    for page, first in enumerate(range(0, len(some), ROWS_OF_A_PAGE), start=1):
        piece: pd.DataFrame = some.iloc[first : first + ROWS_OF_A_PAGE]
        (bundle / f"{name}-{page}.tex").write_text(latex(piece, fingerprint=fingerprint), encoding="utf-8")
        lines += [rf"\fitted{{{name}-{page}}}", ""]
    if len(shown) > len(some):
        rest = f"The first {len(some):,} of {len(shown):,} rows; the others are in {name}.csv."
        lines += [latex_text(rest), ""]
    return lines


def _items(sentences: Sequence[str]) -> list[str]:
    if not sentences:
        return []
    return [r"\begin{itemize}", *(rf"\item {latex_text(each)}" for each in sentences), r"\end{itemize}"]
