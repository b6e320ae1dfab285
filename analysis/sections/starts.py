"""Recipients of any task by what they start from: means over seeds, and differences paired by seed.

The runs of a seed are averaged first, so that every seed counts once; a seed of which one run has not finished has no
pair. Differences are the reference start minus the other, over all rows of the table one family (Holm 1979).
"""

from functools import partial
from typing import Any

import pandas as pd

from analysis.elements import paired
from analysis.elements.section import Content, Picture, Results, Section
from analysis.figures import starts as picture
from analysis.figures.starts import Panel
from analysis.rows import chance, controls, settings
from analysis.rows.recipients import HIGHER_IS_BETTER, MEASURES, Comparison
from analysis.rows.settings import Setting
from analysis.rows.wording import DASH, MISSING, decimal, interval, listed, probability, signed
from analysis.statistics import LEVEL, holm, paired_difference, t_interval

COLUMNS: dict[str, Any] = {
    "start": pd.StringDtype(),
    "measure": pd.StringDtype(),
    "num_planned": "Int64",
    "num_finished": "Int64",
    "num_seeds": "Int64",
    "mean": "Float64",
    "low": "Float64",
    "high": "Float64",
    "chance_accuracy": "Float64",
    "num_pairs": "Int64",
    **paired.COLUMNS,
    "p_holm": "Float64",
}

MOST_SENTENCES = 6
"""Settings that have sentences of their own; of more, the sentence counts in how many a start is first."""


def table(given: Comparison) -> pd.DataFrame:
    """One row per setting (a value of each axis) and start, with COLUMNS; `difference` is absent in the reference."""
    found = []
    for each in given.settings():
        values, rows = each.values, each.rows
        own = rows[rows["start"] == given.reference]
        for start in controls.ordered(rows["start"].to_list()):
            of_start = rows[rows["start"] == start]
            row = {**values, "start": start, **_cell(of_start)}
            found.append(row | (_difference(own, of_start) if start != given.reference else {}))
    made = pd.DataFrame(found, columns=[*given.axes, *COLUMNS]).astype(COLUMNS)
    known = made["p"].notna()
    made.loc[known, "p_holm"] = holm(made.loc[known, "p"].to_numpy(float)) if known.any() else pd.NA
    return made


def _cell(rows: pd.DataFrame) -> dict[str, Any]:
    seeds = by_seed(rows[rows["status"] == "finished"]).dropna().to_numpy(float)
    within = t_interval(seeds)
    return {
        "measure": rows["measure"].iloc[0],
        "num_planned": len(rows),
        "num_finished": int((rows["status"] == "finished").sum()),
        "num_seeds": len(seeds),
        "mean": seeds.mean() if len(seeds) else None,
        "low": within and within.low,
        "high": within and within.high,
        "chance_accuracy": rows["chance_accuracy"].astype("Float64").mean(),
    }


def by_seed(rows: pd.DataFrame) -> pd.Series:
    """The mean of each seed's runs; absent for a seed of which one has not finished."""
    return rows.groupby("seed")["measured"].agg(lambda each: each.mean(skipna=False)).astype("Float64")


def _difference(own: pd.DataFrame, others: pd.DataFrame) -> dict[str, Any]:
    """The reference minus another start, by seed."""
    pairs = pd.concat({"own": by_seed(own), "other": by_seed(others)}, axis=1, join="inner").dropna()
    found = paired_difference((pairs["own"] - pairs["other"]).to_numpy(float))
    return {"num_pairs": 0} if found is None else {"num_pairs": found.num_pairs, **paired.cells(found)}


# ---- sentences


def sentences(found: pd.DataFrame, given: Comparison) -> list[str]:
    """Which start is first, by how much and how sure that is, and what the test can tell at most."""
    several = [(each.title, each.rows[each.rows["num_seeds"] > 0]) for each in settings.settings(found, given.axes)]
    finished = [(title, part) for title, part in several if len(part)]
    if not finished:
        return ["No recipient has finished."]
    if len(finished) > MOST_SENTENCES:
        return [*_counted(finished), *_family(found)]
    said = [_first(title, part, given.reference) for title, part in finished]
    against = _against(finished[0][1], given.reference) if len(finished) == 1 else []
    return [*said, *against, *_family(found)]


def _first(where: str, part: pd.DataFrame, reference: str) -> str:
    """The start of the best mean in a setting, the next one, and their difference where one is the reference."""
    measure = str(part["measure"].iloc[0])
    by_mean = part.sort_values("mean", ascending=not HIGHER_IS_BETTER[measure], kind="stable")
    best = by_mean[by_mean["mean"] == by_mean["mean"].iloc[0]]
    others = by_mean[by_mean["mean"] != by_mean["mean"].iloc[0]]
    rank = "highest" if HIGHER_IS_BETTER[measure] else "lowest"
    level = part["chance_accuracy"].dropna()
    chance = f"; chance {decimal(level.iloc[0])}" if len(level) and measure == "test_accuracy" else ""
    following = f"; next {_mean(others.iloc[0])}" if len(others) else ""
    between = _between(best, others.iloc[0], reference) if len(others) else ""
    begin = f"{where}: {rank}" if where else rank.capitalize()
    first = listed([_mean(row) for _, row in best.iterrows()])
    return f"{begin} mean {MEASURES[measure]}: {first}{following}{between}{chance}."


def _between(best: pd.DataFrame, following: pd.Series, reference: str) -> str:
    """The difference by seed of the best start and the next one, if the reference is one of them."""
    if reference == following["start"] and len(best) == 1:
        row, other = best.iloc[0], str(best["start"].iloc[0])
    elif reference in set(best["start"]):
        row, other = following, str(following["start"])
    else:
        return ""
    if pd.isna(row["difference"]):
        return ""
    within = interval(row["difference_low"], row["difference_high"])
    return f", {reference} minus {other} {signed(row['difference'])} {within} by seed (n = {row['num_pairs']})"


def _mean(row: pd.Series) -> str:
    num = int(row["num_seeds"])
    within = "" if pd.isna(row["low"]) else f" {interval(row['low'], row['high'])}"
    return f"{row['start']} {decimal(row['mean'])}{within} ({num} seed{'' if num == 1 else 's'})"


def _against(part: pd.DataFrame, reference: str) -> list[str]:
    """The differences of the reference from every other start."""
    pairs = part[part["num_pairs"].fillna(0) > 0]
    if pairs.empty:
        return []
    each = [
        f"{row['start']} {signed(row['difference'])} {interval(row['difference_low'], row['difference_high'])}"
        f" (n = {row['num_pairs']}, Holm p {probability(row['p_holm'])})"
        for row in pairs.to_dict("records")
    ]
    return [f"{reference.capitalize()} minus each other start, paired by seed: {'; '.join(each)}."]


def _counted(finished: list[tuple[str, pd.DataFrame]]) -> list[str]:
    """In how many settings each start has the best mean."""
    firsts: dict[str, int] = {}
    for _, part in finished:
        means, measure = part["mean"], str(part["measure"].iloc[0])
        best = means.max() if HIGHER_IS_BETTER[measure] else means.min()
        for start in part.loc[means == best, "start"]:
            firsts[start] = firsts.get(start, 0) + 1
    each = [f"{start} in {num}" for start, num in sorted(firsts.items(), key=lambda item: -item[1])]
    return [f"Of {len(finished)} settings, the best mean is that of {listed(each)}; ties count for each."]


def _family(found: pd.DataFrame) -> list[str]:
    """How many differences share the correction, how many of them are sure, and what p can tell at most."""
    given = found[found["num_pairs"].fillna(0) > 0]
    if given.empty:
        return []
    alpha = 1 - LEVEL
    num_sure, smallest = int((given["p_holm"] <= alpha).sum()), float(given["smallest_p"].min())
    said = f"{len(given)} difference(s) share Holm's correction: {num_sure} with p at most {alpha:.0%}."
    if smallest * len(given) <= alpha:
        return [said]
    most = int(given["num_pairs"].max())
    floor = f"With {most} pair(s) the p of one difference is at least {probability(smallest)}, before the correction."
    return [f"{said} None can have: {floor[0].lower()}{floor[1:]}"]


# ---- in words


def shown(found: pd.DataFrame, given: Comparison) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    absent = [MISSING if num == 0 else DASH for num in found["num_seeds"]]
    measures = list(dict.fromkeys(found["measure"].dropna()))
    heading = MEASURES[measures[0]] if len(measures) == 1 else "mean"
    of_measure = {} if len(measures) < 2 else {"measure": found["measure"].map(MEASURES)}
    return pd.DataFrame(
        {
            **{settings.words(name): list(map(settings.worded, found[name])) for name in given.axes},
            "start": found["start"],
            **of_measure,
            "finished / planned": found["num_finished"].astype("string")
            + " / "
            + found["num_planned"].astype("string"),
            "seeds": found["num_seeds"].astype("string"),
            heading: [decimal(value, absent=word) for value, word in zip(found["mean"], absent, strict=True)],
            "95% interval": list(map(interval, found["low"], found["high"])),
            "chance": list(map(decimal, found["chance_accuracy"])),
            f"{given.reference} − it": list(map(signed, found["difference"])),
            "pairs": found["num_pairs"].astype("string").fillna(DASH),
            **paired.certainty(found),
            "Holm p": list(map(probability, found["p_holm"])),
        }
    )


FEWEST_VALUES = 3
"""Of an axis of numbers for a picture against it."""

MOST_PANELS = 12

METHODS = (
    "Recipients of a task are compared by its test accuracy, or by its test loss where it measures no accuracy.",
    "Tests are measured once, at the kept epoch; the runs of a seed are averaged, so that every seed counts once.",
    f"Intervals of a mean are Student's t intervals over seeds, {LEVEL:.0%} nominal; one seed gives none (–).",
    "Differences are the reference start minus another, paired by seed within a setting.",
    "A seed has a pair once all its runs of both starts have finished.",
    "Their p is two-sided, from flipping the signs of the pairs; it cannot fall below the smallest possible p.",
    "Holm's p is corrected for all differences of the table; intervals are not corrected.",
    "A run that lacks what tells settings apart, such as a start without a mask, stands in every setting.",
)


def content(results: Results) -> Content | None:
    """A picture for each measure, above the table of all; nothing without a recipient."""
    given = results.compared
    if given.rows.empty:
        return None
    found = table(given)
    measures = [str(each) for each in dict.fromkeys(found["measure"].dropna())]
    names = [""] if len(measures) == 1 else [f"-{each}" for each in measures]
    pictures = [pictured(given, found, measure, ending=ending) for measure, ending in zip(measures, names, strict=True)]
    return Content(sentences=sentences(found, given), pictures=pictures, table=found, shown=shown(found, given))


def pictured(given: Comparison, found: pd.DataFrame, measure: str, *, ending: str) -> Picture:
    """Against the axis of numbers with the most values, or side by side."""
    rows, cells = (each[each["measure"] == measure] for each in (given.rows, found))
    axis = _numeric_axis(cells, given.axes)
    several = settings.settings(cells, [name for name in given.axes if name != axis])
    panels = [
        Panel(heading=each.title, table=each.rows, points=_points(rows, each), chance=level(each.rows, measure))
        for each in several[:MOST_PANELS]
    ]
    title = f"{MEASURES[measure].capitalize()} by start"
    names = controls.ordered(cells["start"].to_list())
    what: dict[str, Any] = {"starts": names, "measure": MEASURES[measure], "title": title}
    if axis is None:
        draw = partial(picture.draw_means, panels, **what)
        said = "A point per seed, a bar per mean with its interval."
    else:
        draw = partial(picture.draw_against, panels, axis=(axis, settings.words(axis)), **what)
        said = f"A line per start against {settings.words(axis)}, with the interval of its mean."
    more = f" The first {MOST_PANELS} settings." if len(several) > MOST_PANELS else ""
    return Picture(name=f"starts{ending}", draw=draw, title=title, description=said + more)


def _numeric_axis(table: pd.DataFrame, axes: list[str]) -> str | None:
    numbers = [name for name in axes if pd.api.types.is_numeric_dtype(table[name].dtype) or _are_numbers(table[name])]
    counts = {name: table[name].nunique() for name in numbers}
    longest = max(counts, key=lambda name: counts[name], default=None)
    return longest if longest is not None and counts[longest] >= FEWEST_VALUES else None


def _are_numbers(values: pd.Series) -> bool:
    return all(isinstance(each, int | float) and not isinstance(each, bool) for each in values.dropna())


def _points(rows: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """Each seed's value in a setting."""
    values = {name: value for name, value in setting.values.items() if value is not None}
    own = rows[settings.agrees(rows, values) & (rows["status"] == "finished")]
    return own.groupby(["start", "seed"], as_index=False).agg(measured=("measured", "mean"))


def level(part: pd.DataFrame, measure: str) -> tuple[float, ...]:
    """The one chance of the rows, where they have one and accuracy is measured."""
    levels = chance.levels(part) if measure == "test_accuracy" else ()
    return levels if len(levels) == 1 else ()


SECTION = Section(
    name="starts",
    title="Which start wins",
    place=400,
    of="others",
    content=content,
    caption="Means over seeds; differences are paired by seed. Finished and planned count runs.",
    methods=METHODS,
)
