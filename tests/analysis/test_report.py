"""The report as a whole: its files, its page, and that it needs neither torch nor ray."""

import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from analysis import load, row_fingerprint, write_report
from analysis.rows.controls import ORDER
from tests.analysis.rows import Row, donor, mask, sweep, transfer

RowsFile = Callable[[list[Row]], Path]

ENDINGS = ("csv", "md", "parquet", "tex")
SHEETS = (
    "coverage",
    "figure_3",
    "per_depth",
    "frozen",
    "efficiency",
    "training",
    "readings",
    "masks",
    "masks_by_depth",
)
DRAWN = ("figure_3", "per_depth", "frozen", "efficiency", "training", "readings", "masks_by_depth")
FILES = {
    "index.html",
    *(f"{name}.{ending}" for name in SHEETS for ending in ENDINGS),
    *(f"{name}.{ending}" for name in DRAWN for ending in ("png", "svg")),
}

SWEEP = [donor(1.0), mask(1.0, density=0.08), *sweep(ORDER, [0, 10, 100], range(3), [2, 4])]
HOSTILE = "<script>alert('$x^{')</script>\n\"quoted\" & | 100% \\input{a}"


class Page(HTMLParser):
    """The elements of a page: every tag with its attributes, and the text outside scripts and styles."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in {"script", "style"}:
            self.text += data


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The rows of a sweep and the page of its report."""
    import pyarrow as pa

    from subind.store.schemas import ROW_SCHEMA

    folder = tmp_path_factory.mktemp("report")
    rows = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(SWEEP, schema=ROW_SCHEMA), rows)
    return rows, write_report(rows, folder / "new" / "report")


def test_report_writes_every_file_into_a_new_folder(report: tuple[Path, Path]):
    _, page = report
    assert page.name == "index.html"
    assert {path.name for path in page.parent.iterdir() if path.is_file()} == FILES | {"report.json"}


def test_report_files_carry_the_fingerprint_of_the_rows(report: tuple[Path, Path]):
    rows, page = report
    fingerprint = row_fingerprint(load(rows)).encode()
    written = [path for path in page.parent.rglob("*") if path.is_file()]
    without = {path.name for path in written if fingerprint not in path.read_bytes()}
    assert without == {"report.json"}


def test_report_table_is_the_same_in_csv_and_parquet(report: tuple[Path, Path]):
    _, page = report
    first = pd.read_csv(page.parent / "figure_3.csv").drop(columns="rows_fingerprint")
    second = pd.read_parquet(page.parent / "figure_3.parquet")
    assert len(first) == 3 * len(ORDER) * 3
    pd.testing.assert_frame_equal(first.astype(second.dtypes), second)


def test_report_page_loads_nothing_from_elsewhere(report: tuple[Path, Path]):
    page = Page(report[1])
    sources = [value for _, given in page.tags for name, value in given.items() if name in {"src", "srcset", "data"}]
    assert len(sources) == len(DRAWN)
    assert all(str(source).startswith("data:image/svg+xml;base64,") for source in sources)
    links = {str(given["href"]) for tag, given in page.tags if tag == "a"}
    assert {link for link in links if link[0] != "#"} == FILES - {"index.html"} | {"latex/report.tex"}
    places = {str(given["id"]) for _, given in page.tags if "id" in given}
    assert {link[1:] for link in links if link[0] == "#"} <= places
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "iframe", "object", "embed", "base"})
    policy = [given["content"] for _, given in page.tags if given.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy[0]).startswith("default-src 'none'")


def test_report_page_states_coverage_before_the_figure(report: tuple[Path, Path]):
    text = Page(report[1]).text
    assert (
        0
        < text.index("All 162 planned transfers finished.")
        < text.index("Test accuracy against disambiguation samples:")
    )


def test_report_page_names_commit_and_methods(report: tuple[Path, Path]):
    text = re.sub(r"\s+", " ", Page(report[1]).text)
    assert "164 finished rows: commit c0ffee, on cpu" in text
    assert "Student's t intervals of the mean over seeds, 95% nominal" in text


def test_report_names_uncommitted_changes(rows_file: RowsFile, tmp_path: Path):
    page = write_report(rows_file([transfer("subnetwork", 0.5, dirty=True)]), tmp_path / "report")
    assert "1 finished rows: commit c0ffee, with uncommitted changes, on cpu" in Page(page).text


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ({"commit": "", "dirty": False}, "no commit recorded"),
        ({"commit": None, "dirty": None}, "no commit recorded"),
        ({"commit": "c0ffee", "dirty": None}, "commit c0ffee"),
    ],
)
def test_report_says_that_unknown_changes_are_unknown(
    code: dict[str, Any], told: str, rows_file: RowsFile, tmp_path: Path
):
    rows = [transfer("subnetwork", 0.5, **code)]
    page = Page(write_report(rows_file(rows), tmp_path / "report")).text
    assert f"1 finished rows: {told}; whether the code had uncommitted changes is not known, on cpu" in page


def test_report_of_failed_and_missing_cells_shows_them(rows_file: RowsFile, tmp_path: Path):
    rows = [transfer("subnetwork", 0.5), transfer("subnetwork", None, seed=1)]
    rows.append(transfer("random_init", None, status="failed", failure="ValueError: density is 0"))
    text = Page(write_report(rows_file(rows), tmp_path / "report")).text
    assert "1 of 3 planned transfers finished; the others: 1 failed, 1 missing." in text
    assert "ValueError: density is 0" in text
    assert "missing" in (tmp_path / "report" / "figure_3.md").read_text()


def test_report_of_nothing_finished_is_written(rows_file: RowsFile, tmp_path: Path):
    page = write_report(rows_file([donor(None), transfer("subnetwork", None)]), tmp_path / "report")
    assert "0 of 1 planned transfers finished; the others: 1 missing." in Page(page).text


def test_report_of_donors_alone_is_written(rows_file: RowsFile, tmp_path: Path):
    page = write_report(rows_file([donor(1.0)]), tmp_path / "report")
    assert "The one planned donor finished." in Page(page).text


def test_report_of_hostile_texts_escapes_them(rows_file: RowsFile, tmp_path: Path):
    hostile: Row = {"grid": HOSTILE, "rule": HOSTILE, "commit": HOSTILE, "device": HOSTILE}
    rows = [
        transfer(HOSTILE, 0.5, **hostile),
        transfer(HOSTILE, None, seed=1, status="failed", failure=HOSTILE, **hostile),
    ]
    rows = [{**row, "rule": HOSTILE, "grid": HOSTILE} for row in rows]
    page = Page(write_report(rows_file(rows), tmp_path / "report"))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "alert('$x^{')" in page.text


def test_report_twice_from_the_same_rows_has_the_same_bytes(rows_file: RowsFile, tmp_path: Path):
    rows = rows_file(sweep(["subnetwork", "random_init"], [0, 10], range(2), [2]))
    first, second = (write_report(rows, tmp_path / name).parent for name in ("first", "second"))
    written = [path.relative_to(first) for path in first.rglob("*") if path.is_file()]
    differing = [str(path) for path in written if (first / path).read_bytes() != (second / path).read_bytes()]
    assert differing == []


def test_report_in_the_folder_of_an_earlier_one_leaves_only_its_own_files(
    report: tuple[Path, Path], rows_file: RowsFile, tmp_path: Path
):
    few = rows_file([donor(1.0), transfer("subnetwork", 0.5)])
    alone = write_report(few, tmp_path / "alone").parent
    together = write_report(report[0], tmp_path / "together").parent
    assert len(files(together)) > len(files(alone))
    (together / "notes.txt").write_text("of somebody else")
    write_report(few, together)
    assert files(together) == sorted([*files(alone), "notes.txt"])
    assert [name for name in files(alone) if (together / name).read_bytes() != (alone / name).read_bytes()] == []


def test_report_that_fails_half_way_leaves_the_earlier_one_as_it_was(
    report: tuple[Path, Path], rows_file: RowsFile, tmp_path: Path
):
    folder = write_report(report[0], tmp_path / "reports" / "grid").parent
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    rows = rows_file([donor(1.0), transfer("subnetwork", 0.5)])
    rows.with_suffix(".tuning.parquet").write_bytes(b"damaged")
    with pytest.raises((ValueError, OSError)):
        write_report(rows, folder)
    assert {name: (folder / name).read_bytes() for name in files(folder)} == before
    assert [each.name for each in folder.parent.iterdir()] == ["grid"]


def files(folder: Path) -> list[str]:
    """The files below a folder by their paths in it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_report_of_absent_rows_writes_nothing(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="subind export"):
        write_report(tmp_path / "absent.parquet", tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_import_of_the_report_loads_neither_torch_nor_ray():
    script = "import sys, analysis.report; print({'torch', 'ray', 'mlflow', 'optuna', 'sweeps'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
