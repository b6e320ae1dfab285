"""`subind compare A B`: two stores, two files of rows, or the rows of two commits, cell by cell."""

import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from subind.specs.quoting import quoted, quoted_path
from sweeps.cli.options import Rows, Where, home_for, out
from sweeps.grids import read_grid
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import opened_store


def compare_command(
    first: Annotated[str, typer.Argument(metavar="A", help="A file of rows, a store, or a git commit.")],
    second: Annotated[str, typer.Argument(metavar="B", help="As A; differences are B minus A.")],
    *,
    grid: Annotated[str | None, typer.Option("--grid", help="The grid whose cells are read from a store.")] = None,
    where: Where = None,
    rows: Rows = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", callback=home_for("--output"), help="Write the tables and a picture here."),
    ] = None,
) -> None:
    """Contrast two sets of result rows: which cells both have, which are equal, and how much the others differ.

    A and B are each a Parquet file of rows, a store (with --grid), or a git commit (with --rows, a file that is kept in
    the repository: its content at that commit is read).
    """
    from analysis.report import compare

    with tempfile.TemporaryDirectory(prefix="subind-compare-") as scratch:
        paths = [
            _rows(side, grid, tuple(where or ()), kept=rows, scratch=Path(scratch, name))
            for name, side in (("a.parquet", first), ("b.parquet", second))
        ]
        several = compare.of_files(*paths)
    for found in several:
        out.print(compare.shown_summary(found.summary).to_string(index=False))
        differing = int(found.summary["num_same_run_differing"].sum())
        if differing:
            out.print(f"{differing} cells have the same run id on both sides and other numbers")
        if output is not None:
            folder = output / found.kind.name if len(several) > 1 else output
            compare.write(found, folder, names=(first, second))
            out.print(f"tables and picture: {folder}")


def _rows(side: str, grid: str | None, where: tuple[str, ...], *, kept: Path | None, scratch: Path) -> Path:
    """The file of rows that a side means. Raises ValueError with the remedy if it means none."""
    if side.endswith(".parquet"):
        return Path(side)
    if "://" in side or Path(side).is_dir():
        if grid is None:
            raise ValueError(f"{side} is a store: name the grid whose cells are compared by --grid")
        request = Request(grid=read_grid(grid), where=where, store=side)
        opened = opened_store(request.store)
        from sweeps.exporting.rows import export

        return export(accounted(request, opened), opened, scratch)
    if kept is None:
        remedy = "a commit needs --rows, and a store must be a folder or a URL"
        raise ValueError(f"{quoted_path(side)} is no file of rows and no store: {remedy}")
    return _at_commit(side, kept, scratch)


def _at_commit(commit: str, kept: Path, scratch: Path) -> Path:
    read = subprocess.run(
        ["git", "show", f"{commit}:./{kept.name}"], cwd=kept.absolute().parent, capture_output=True, check=False
    )
    if read.returncode:
        raise ValueError(f"git has no {kept} at {quoted(commit)}: {read.stderr.decode(errors='replace').strip()}")
    scratch.write_bytes(read.stdout)
    return scratch
