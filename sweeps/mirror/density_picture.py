"""The density of a mask as a picture: one row per layer, one column per kind of matrix."""

import io
import re
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

PREFIX = "density."
"""Measurements of this prefix name a matrix."""


def matrix_densities(measurements: Mapping[str, float]) -> dict[str, float]:
    """The share of ones of each matrix, by its name."""
    return {name.removeprefix(PREFIX): value for name, value in measurements.items() if name.startswith(PREFIX)}


def place(matrix: str) -> tuple[str, str]:
    """Row and column of a matrix: `h.0.attn.c_attn.weight` is in row `0`, column `attn.c_attn`.

    A matrix that is in no numbered layer has the row `–`.
    """
    name = matrix.removesuffix(".weight")
    found = re.fullmatch(r"(?:h\.)?(?P<layer>(?:\D*\.)?\d+)\.(?P<kind>.+)", name)
    return (found["layer"], found["kind"]) if found else ("–", name)


def heat_map(densities: Mapping[str, float], *, title: str) -> bytes:
    """A PNG of the densities (shares of ones, from 0 to 1) by matrix name; a place without a matrix is blank."""
    places = {place(matrix): value for matrix, value in densities.items()}
    rows = sorted({row for row, _ in places}, key=_natural)
    columns = sorted({column for _, column in places}, key=_natural)
    table = np.full((len(rows), len(columns)), np.nan)
    for (row, column), value in places.items():
        table[rows.index(row), columns.index(column)] = value
    return _drawn(table, rows, columns, title)


def _drawn(table: np.ndarray, rows: list[str], columns: list[str], title: str) -> bytes:
    figure = Figure(figsize=(1.8 + 1.3 * len(columns), 1.6 + 0.45 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    highest = float(np.nanmax(table, initial=0.0)) or 1.0
    image = axes.imshow(table, vmin=0.0, vmax=highest, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylabel("layer")
    axes.set_title(title, fontsize="medium")
    for (row, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            dark = value < 0.6 * highest
            axes.text(column, row, f"{value:.1%}", ha="center", va="center", color="white" if dark else "black")
    figure.colorbar(image, label="density (share of ones)", format=PercentFormatter(xmax=1.0))
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120, metadata={"Software": None})
    return content.getvalue()


def _natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts layer 10 behind layer 9."""
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in re.findall(r"\d+|\D+", name))
