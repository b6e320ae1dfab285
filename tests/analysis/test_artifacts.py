"""Files carry the fingerprint of their rows and survive what a name may hold."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from PIL import Image

from analysis.report.artifacts import latex, markdown, write_figure, write_table
from tests.conftest import REPOSITORY

TABLE = pd.DataFrame({"control": ["a", "b"], "mean": pd.array([0.5, None], dtype="Float64")})
SHOWN = pd.DataFrame({"control": ["a", "b"], "mean": ["0.500", "missing"]})


@pytest.fixture
def stem(tmp_path: Path) -> Path:
    write_table(TABLE, SHOWN, stem=tmp_path / "table", fingerprint="f00d")
    return tmp_path / "table"


def test_csv_is_read_by_pandas_as_it_is_with_the_fingerprint_in_a_column(stem: Path):
    read = pd.read_csv(stem.with_suffix(".csv"))
    assert list(read.columns) == ["control", "mean", "rows_fingerprint"]
    assert set(read["rows_fingerprint"]) == {"f00d"}
    assert read["mean"].isna().to_list() == [False, True]


def test_parquet_has_the_fingerprint_in_its_metadata_and_the_same_numbers(stem: Path):
    assert pq.read_schema(stem.with_suffix(".parquet")).metadata[b"rows_fingerprint"] == b"f00d"
    pd.testing.assert_frame_equal(pd.read_parquet(stem.with_suffix(".parquet")), TABLE)


def test_markdown_is_a_pipe_table_after_a_comment(stem: Path):
    assert stem.with_suffix(".md").read_text().splitlines() == [
        "<!-- rows_fingerprint: f00d -->",
        "",
        "| control | mean |",
        "| --- | --- |",
        "| a | 0.500 |",
        "| b | missing |",
    ]


def test_latex_is_a_booktabs_tabular_after_a_comment(stem: Path):
    assert stem.with_suffix(".tex").read_text().splitlines() == [
        "% rows_fingerprint: f00d",
        "% needs \\usepackage{booktabs}",
        "\\begin{tabular}{ll}",
        "\\toprule",
        "control & mean \\\\",
        "\\midrule",
        "a & 0.500 \\\\",
        "\\midrule",
        "b & missing \\\\",
        "\\bottomrule",
        "\\end{tabular}",
    ]


def test_markdown_of_a_cell_with_pipes_and_markup_stays_one_cell():
    line = markdown(pd.DataFrame({"x": ["a|b\n<script>"]}), fingerprint="f").splitlines()[-1]
    assert line == "| a\\|b &lt;script&gt; |"


def test_latex_of_a_cell_with_specials_is_escaped():
    line = latex(pd.DataFrame({"x": ["\\input{a_b} 5% & $x^2$ #"]}), fingerprint="f").splitlines()[-3]
    assert line == r"\textbackslash{}input\{a\_b\} 5\% \& \$x\textasciicircum{}2\$ \# \\"


def test_figures_carry_the_fingerprint_and_are_the_same_bytes_twice(tmp_path: Path):
    for name in ("first", "second"):
        figure = Figure()
        figure.subplots().plot([0, 1])
        write_figure(figure, stem=tmp_path / name, title="A title", fingerprint="f00d")
    with Image.open(tmp_path / "first.png") as image:
        assert image.info["Source"] == "rows f00d"
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
    source = ElementTree.parse(tmp_path / "first.svg").find(".//{http://purl.org/dc/elements/1.1/}source")
    assert source is not None
    assert source.text == "rows f00d"
    for ending in ("png", "svg"):
        assert (tmp_path / f"first.{ending}").read_bytes() == (tmp_path / f"second.{ending}").read_bytes()


def test_process_that_draws_ends_when_the_reporting_one_is_killed() -> None:
    script = (
        "from analysis.report.artifacts import FigureFiles\n"
        "import os, time\n"
        "with FigureFiles() as files:\n"
        "    print(files._executor.submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as reporting:
        assert reporting.stdout is not None
        drawing = psutil.Process(int(reporting.stdout.readline()))
        reporting.kill()
    psutil.wait_procs([drawing], timeout=20)
    assert not drawing.is_running() or drawing.status() == psutil.STATUS_ZOMBIE
