"""The LaTeX bundle compiles, whatever a name holds."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis import write_report
from analysis.elements.section import Content, Filled, Section
from analysis.report.artifacts import latex_text
from analysis.report.latex import ROWS_OF_A_PAGE, write_bundle
from tests.analysis.rows import Row, donor, mask, sweep, transfer

RowsFile = Callable[[list[Row]], Path]

HOSTILE = "<b> \\input{x} $x^{ % & # _ ~ “q” → é τ²"


def compiled(bundle: Path) -> Path:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed: `apt-get install texlive-latex-recommended`")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    return bundle / "report.pdf"


def test_latex_text_names_a_letter_that_the_fonts_lack():
    assert latex_text("→ é τ") == r"U+2192 é \ensuremath{\tau}"


def test_latex_bundle_of_a_report_compiles(rows_file: RowsFile, tmp_path: Path):
    rows = [donor(1.0), mask(1.0, density=0.08), *sweep(["subnetwork", "random_init"], [0, 10], range(2), [2, 4])]
    rows.append(transfer(HOSTILE, 0.5, grid=HOSTILE, commit=HOSTILE))
    page = write_report(rows_file(rows), tmp_path / "report")
    assert compiled(page.parent / "latex").stat().st_size > 50_000


def test_latex_bundle_breaks_a_long_table_into_pages_and_has_every_row(tmp_path: Path):
    numbers = pd.DataFrame({"place": range(2 * ROWS_OF_A_PAGE + 1)})
    shown = pd.DataFrame({"place": [f"row {place}" for place in numbers["place"]]})
    content = Content(table=numbers)
    section = Section(name="long", title="Long", place=0, of="any", content=lambda _: content, caption="Many rows.")
    path = write_bundle(
        [Filled(section=section, content=content, shown=shown)],
        tmp_path,
        title="A title",
        methods=["A method."],
        fingerprint="f00d",
    )
    pieces = sorted((tmp_path / "latex").glob("long-*.tex"))
    assert len(pieces) == 3
    assert sum(piece.read_text().count("row ") for piece in pieces) == len(shown)
    assert all(rf"\fitted{{{piece.stem}}}" in path.read_text() for piece in pieces)
