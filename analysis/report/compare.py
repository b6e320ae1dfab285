"""Two files of result rows against each other, cell by cell: two stores, or what two commits of code computed.

Cells are matched by what they are, not by run id: a change of a stage's version gives the same cell another id.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import grid, look, nothing, styles, swatch
from analysis.report.artifacts import write_figure, write_table
from analysis.rows import controls, images, recipients, settings
from analysis.rows.load import load, row_fingerprint
from analysis.rows.wording import DASH, decimal, interval, probability, signed
from analysis.statistics import paired_difference

STAGES = ("transfer", "mask", "donor")
"""As a summary lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of rows: what is contrasted of each stage, the name of a transfer's, and what tells cells apart."""

    name: str
    measures: dict[str, str]
    words: str
    key: tuple[str, ...]


ARITHMETIC = Kind(
    name="arithmetic",
    measures={"transfer": "test_accuracy", "mask": "subtask_accuracy", "donor": "validation_accuracy"},
    words="test accuracy",
    key=(
        *("stage", "control", "num_layers", "num_disambiguation", "seed", "mask_seed", "donor_seed", "donor_kind"),
        *settings.ARITHMETIC,
    ),
)
IMAGES = Kind(
    name="images",
    measures={"transfer": "shape_bias", "mask": "subtask_accuracy", "donor": "shape_bias"},
    words="shape bias",
    key=(
        *("stage", "control", "model", "held", "mixture_share", "seed", "mask_seed", "donor_seed", "donor_kind"),
        *images.SETTINGS,
    ),
)

ANY_TASK = Kind(
    name="any-task",
    measures={"transfer": "measured", "mask": "subtask_accuracy", "donor": "measured"},
    words="test accuracy or loss",
    key=("stage", "control", "seed", "mask_seed", "donor_seed", *settings.NAMES),
)

LONGEST_NAME = 36
"""Letters of a side's name that fit an axis; its end tells most."""

COLUMNS = ("first_status", "second_status", "first", "second", "difference", "is_same_run")
"""Of cells, after their key: `first` and `second` are what is contrasted, `difference` is second minus first,
`is_same_run` says that both have the same run id, so that a difference must not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The cells side by side, and a summary by stage and control."""

    kind: Kind
    cells: pd.DataFrame
    summary: pd.DataFrame
    fingerprint: str


def of_files(first: Path, second: Path) -> list[Comparison]:
    """The comparison of each kind of rows that the files have. Raises ValueError as `analysis.load` does."""
    sides = (first, second)
    others = [recipients.rows(path).drop(columns=["parent_ids", "measure"]) for path in sides]
    added = {name for rows in others for name in rows.columns if name not in recipients.KNOWN}
    found = [
        (ARITHMETIC, [load(path) for path in sides]),
        (IMAGES, [images.rows(path).drop(columns="start") for path in sides]),
        (replace(ANY_TASK, key=(*ANY_TASK.key, *sorted(added))), others),
    ]
    return [compared(one, two, kind) for kind, (one, two) in found if len(one) or len(two)]


def compared(first: pd.DataFrame, second: pd.DataFrame, kind: Kind = ARITHMETIC) -> Comparison:
    """The cells of two frames of loaded rows of a kind, those that only one of them plans included.

    A column that one side lacks altogether, for it was written before there was such a column, tells no cells apart.

    >>> from analysis import load
    >>> rows = load("results/figure-3-depth-2.parquet")
    >>> int(compared(rows, rows).summary["num_equal"].sum())
    47
    """
    both_have = [set(rows.columns[rows.notna().any()]) for rows in (first, second)]
    kept = [name for name in kind.key if (name in both_have[0]) == (name in both_have[1])]
    sides = [_side(rows, kept, kind) for rows in (first, second)]
    both = sides[0].merge(sides[1], on=[*kept, "twin"], how="outer", suffixes=("_first", "_second"))
    cells = pd.DataFrame(
        {
            **{name: both.get(name, pd.Series(pd.NA, index=both.index)) for name in kind.key},
            "first_status": both["status_first"].fillna("not planned"),
            "second_status": both["status_second"].fillna("not planned"),
            "first": both["measured_first"],
            "second": both["measured_second"],
            "difference": both["measured_second"] - both["measured_first"],
            "is_same_run": both["run_id_first"] == both["run_id_second"],
        }
    )
    joined = f"{row_fingerprint(first)}-{row_fingerprint(second)}"
    columns = [*kind.key, *COLUMNS]
    return Comparison(kind=kind, cells=cells[columns], summary=_summary(cells), fingerprint=joined)


def _side(rows: pd.DataFrame, key: list[str], kind: Kind) -> pd.DataFrame:
    """The keys and what is contrasted; `twin` numbers cells that no column tells apart."""
    side = rows.reindex(columns=[*key, "run_id", "status"])
    measured = pd.Series(pd.NA, index=rows.index, dtype="Float64")
    for stage, column in kind.measures.items():
        of_stage = (rows["stage"] == stage) & (rows["status"] == "finished")
        measured[of_stage] = rows.loc[of_stage, column]
    side["measured"] = measured
    side["twin"] = side.groupby(key, dropna=False).cumcount()
    return side


def _summary(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per stage and control: cells in both and in one, equal ones, and the mean difference over cells.

    The sign-flip p takes cells as independent; cells of one seed share their data, so it is a hint and no test.
    """
    rows = []
    for (stage, control), part in cells.groupby(["stage", "control"], dropna=False, sort=False):
        known = part["difference"].dropna().to_numpy(float)
        found = paired_difference(known)
        rows.append(
            {
                "stage": stage,
                "control": control,
                "num_cells": len(part),
                "num_in_both": known.size,
                "num_only_first": int((part["first"].notna() & part["second"].isna()).sum()),
                "num_only_second": int((part["second"].notna() & part["first"].isna()).sum()),
                "num_equal": int((known == 0).sum()),
                "num_same_run_differing": int((part["is_same_run"] & (part["difference"].fillna(0) != 0)).sum()),
                "mean_difference": found and found.mean,
                "low": found and found.interval and found.interval.low,
                "high": found and found.interval and found.interval.high,
                "largest_difference": float(abs(known).max()) if known.size else None,
                "p": found and found.p,
            }
        )
    order = controls.ordered(cells["control"].dropna())
    made = pd.DataFrame(rows)
    places = [order.index(name) if name in order else -1 for name in made["control"].fillna("")]
    stages = made["stage"].map(list(reversed(STAGES)).index)
    ranks = pd.DataFrame({"stage": stages, "control": places}).sort_values(["stage", "control"])
    numbers = dict.fromkeys(("mean_difference", "low", "high", "largest_difference", "p"), "Float64")
    return made.loc[ranks.index].astype(numbers).reset_index(drop=True)


def shown_summary(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary in words, one text column per heading."""
    counts = {
        "cells": "num_cells",
        "finished in both": "num_in_both",
        "only in A": "num_only_first",
        "only in B": "num_only_second",
        "equal": "num_equal",
        "same run, other number": "num_same_run_differing",
    }
    return pd.DataFrame(
        {
            "stage": summary["stage"],
            "control": [DASH if pd.isna(name) else controls.label(name) for name in summary["control"]],
            **{heading: summary[name].astype("string") for heading, name in counts.items()},
            "mean of B − A": list(map(signed, summary["mean_difference"])),
            "95% interval (t)": list(map(interval, summary["low"], summary["high"])),
            "largest": list(map(decimal, summary["largest_difference"])),
            "p": list(map(probability, summary["p"])),
        }
    )


def shown_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells in words: the columns that vary, and both numbers."""
    key = [name for name in cells.columns if name not in COLUMNS]
    varied = [name for name in key if cells[name].nunique(dropna=False) > 1]
    return pd.DataFrame(
        {
            **{name.replace("_", " "): cells[name].astype("string").fillna(DASH) for name in varied},
            "A": [_value(*each) for each in zip(cells["first"], cells["first_status"], strict=True)],
            "B": [_value(*each) for each in zip(cells["second"], cells["second_status"], strict=True)],
            "B − A": list(map(signed, cells["difference"])),
            "same run": ["yes" if same else "no" for same in cells["is_same_run"].fillna(False)],
        }
    )


def _value(measured: object, status: str) -> str:
    return status if pd.isna(measured) else decimal(measured)  # type: ignore[call-overload]


def draw(found: Comparison, *, names: tuple[str, str]) -> Figure:
    """Every transfer that finished on both sides, A against B; on the diagonal nothing has changed."""
    cells = found.cells
    both = cells[(cells["stage"] == "transfer") & cells["difference"].notna()]
    looks = styles(controls.ordered(both["control"]))
    with look():
        figure = Figure(figsize=(7.2, 4.6), layout="constrained")
        if both.empty:
            nothing(figure, "no transfer has finished on both sides")
            return figure
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#555555", linewidth=0.8)
        for control, points in both.groupby("control"):
            style = looks[str(control)]
            axes.plot(points["first"], points["second"], style.marker, color=style.color, markersize=4, alpha=0.8)
        axes.set_xlim(0, 1.03)
        axes.set_ylim(0, 1.03)
        axes.set_aspect("equal")
        axes.set_xlabel(f"{found.kind.words}, A: {names[0][-LONGEST_NAME:]}")
        axes.set_ylabel(f"{found.kind.words}, B: {names[1][-LONGEST_NAME:]}")
        grid(axes)
        counts = both.groupby("control").size()
        labels = [f"{controls.label(name)} (n = {counts[name]})" for name in looks]
        figure.legend([swatch(style) for style in looks.values()], labels, loc="outside right center")
    return figure


def write(found: Comparison, folder: Path, *, names: tuple[str, str]) -> None:
    """Write both tables and the picture into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "cells": (found.cells, shown_cells(found.cells)),
        "summary": (found.summary, shown_summary(found.summary)),
    }
    for name, (numbers, shown) in tables.items():
        write_table(numbers, shown, stem=folder / name, fingerprint=found.fingerprint)
    title = f"{names[1]} against {names[0]}"
    write_figure(draw(found, names=names), stem=folder / "compare", title=title, fingerprint=found.fingerprint)
