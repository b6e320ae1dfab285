"""Table 2 as a picture: density and subtask accuracy of the masks against depth, a line per kind of mask."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import count, draw_chance, grid, look, nothing, series, swatch
from analysis.tables.masks_by_depth import FOUND, KEY

MEASURES = {
    "density": ("density (share of ones)", "density_low", "density_high"),
    "subtask_accuracy": ("subtask accuracy, hard mask", "subtask_low", "subtask_high"),
}


def draw(table: pd.DataFrame, *, chance: tuple[float, ...] = ()) -> Figure:
    """Two panels from the table of `analysis.tables.masks_by_depth`; dashed are the published bound and FOUND.

    `chance` is what constant answers get right; a level below the axis is named in the panel's title.
    """
    cells = table[table["num_finished"] > 0]
    with look():
        figure = Figure(figsize=(9.4, 3.9), layout="constrained")
        if cells.empty:
            nothing(figure, "no mask has finished")
            return figure
        panels = figure.subplots(1, 2)
        kinds = list(cells.groupby([name for name in KEY if name != "num_layers"], dropna=False, sort=False))
        for axes, (name, (label, low, high)) in zip(panels, MEASURES.items(), strict=True):
            for place, (_, line) in enumerate(kinds):
                depth, mean, down, up = (
                    line[column].to_numpy(float, na_value=np.nan) for column in ("num_layers", name, low, high)
                )
                bars, style = np.stack([mean - down, up - mean]), series(place)
                axes.errorbar(depth + 0.06 * place, mean, yerr=bars, marker=style.marker, color=style.color, capsize=2)
            axes.set_xticks(sorted({int(depth) for depth in cells["num_layers"]}))
            axes.margins(x=0.15)
            axes.set_xlabel("depth (layers)")
            axes.set_ylabel(label)
            grid(axes)
        panels[0].set_ylim(0, max(0.11, panels[0].get_ylim()[1]))
        panels[0].axhline(0.1, color="#555555", linewidth=0.9, linestyle=(0, (3, 2)))
        panels[0].set_title("dashed: published, below 10%", fontsize=9, fontweight="normal")
        low = min(panels[1].get_ylim()[0], 0.98)
        panels[1].set_ylim(low, max(1 + 0.05 * (1 - low), panels[1].dataLim.ymax))
        panels[1].axhline(FOUND, color="#555555", linewidth=0.9, linestyle=(0, (3, 2)))
        draw_chance(panels[1], [level for level in chance if level >= low])
        below = "".join(f"; chance {level:.3g} is below" for level in chance if level < low)
        panels[1].set_title(f"dashed: {FOUND}, counted as found{below}", fontsize=9, fontweight="normal")
        handles = [swatch(series(place)) for place in range(len(kinds))]
        figure.legend(handles, [_kind(line) for _, line in kinds], loc="outside lower center", ncols=2)
    return figure


def _kind(line: pd.DataFrame) -> str:
    first = line.iloc[0]
    num = count(int(line["num_finished"].min()), int(line["num_finished"].max()))
    donor = "" if pd.isna(first["donor_kind"]) else f"{first['donor_kind']} donor, "
    return f"{donor}{first['subtask']}, penalty {first['penalty']:g} ({num})"
