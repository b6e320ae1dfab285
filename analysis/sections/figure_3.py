"""The table of figure 3: test accuracy of each control against the number of disambiguation samples.

Scopes: every depth by itself, and the mean over depths. For the mean over depths the accuracies of one seed are
averaged over all planned depths first, and the mean, its interval and the paired gaps are then taken over seeds; a seed
counts only once all its depths have finished, so that every seed's number is a mean over the same depths.

Settings: where one varies, each combination of settings is a table of its own with the combination in the first
columns, and the tables stand one below the other.

Replicates: several runs of one seed, which differ in what is no column here. They are averaged within their seed first,
so that intervals and gaps are over seeds.

The gap of a control is its accuracy minus that of `subnetwork` under the same seed, scope and number of samples.
"""

from functools import lru_cache, partial

import pandas as pd
from matplotlib.figure import Figure

from analysis.elements import nested, summary
from analysis.elements.section import Content, Picture, Results, Section, endings, titled
from analysis.figures import accuracy
from analysis.figures.accuracy import Panel
from analysis.rows import chance, controls, published, settings
from analysis.rows.load import transfers
from analysis.rows.seeds import MEAN_OVER_DEPTHS, RUN, seed_accuracies
from analysis.rows.settings import Setting
from analysis.rows.wording import DASH, MISSING, UNCORRECTED, decimal, interval, listed, probability, signed
from analysis.statistics import (
    LEVEL,
    MOST_EXACT_PAIRS,
    NUM_PATTERNS,
    benjamini_hochberg,
    paired_difference,
    probability_of_improvement,
)
from analysis.statistics.values import Values

REFERENCE = "subnetwork"
"""The control that the others are compared with."""

CELL = ["depths", "control", "num_disambiguation"]

COLUMNS = {
    "scope": pd.StringDtype(),
    "depths": pd.StringDtype(),
    "control": pd.StringDtype(),
    "num_disambiguation": "Int64",
    "num_planned": "Int64",
    "num_finished": "Int64",
    "num_seeds": "Int64",
    **summary.COLUMNS,
    **nested.COLUMNS,
    "gap_num_pairs": "Int64",
    "gap_mean": "Float64",
    "gap_low": "Float64",
    "gap_high": "Float64",
    "gap_p": "Float64",
    "gap_smallest_p": "Float64",
    "gap_p_method": pd.StringDtype(),
    "gap_q": "Float64",
    "improvement": "Float64",
    "improvement_low": "Float64",
    "improvement_high": "Float64",
    "published_accuracy": "Float64",
    "published_runs": "Int64",
    "published_source": pd.StringDtype(),
    "difference_from_published": "Float64",
}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per scope, control and number of samples that is planned, with the columns and types of COLUMNS.

    Varying settings are the first columns, and the rows are grouped by them. `num_planned` and `num_finished` count
    runs; of the mean over depths a run is one at every depth. A cell without a finished run has num_finished 0 and no
    mean. The column num_seeds, the finished seeds, is there only if a seed has several runs. Published columns are
    filled where a combination has the published setting.
    """
    given = transfers(rows)
    found = settings.settings_of_arithmetic(given)
    columns = [name for name in COLUMNS if name != "num_seeds" or _num_replicates(found) > 1]
    return pd.concat([each.labelled(_table(each.rows)[columns]) for each in found], ignore_index=True)


def _table(given: pd.DataFrame) -> pd.DataFrame:
    """The table of one combination."""
    accuracies = seed_accuracies(given)
    cells = (
        _means(accuracies)
        .merge(nested.table(given, cell=CELL), on=CELL, how="left")
        .merge(_gaps(accuracies), on=CELL, how="left")
        .merge(_published(given), on=CELL, how="left")
    )
    cells["scope"] = [MEAN_OVER_DEPTHS if "," in depths else f"depth {depths}" for depths in cells["depths"]]
    cells.loc[cells["gap_p"].notna(), "gap_q"] = benjamini_hochberg(cells["gap_p"].dropna().to_numpy(float))
    cells["difference_from_published"] = cells["mean"] - cells["published_accuracy"]
    typed = cells.reindex(columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]
    return typed.sort_values(CELL, key=_rank, kind="stable", ignore_index=True)


def shown(cells: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    has_mean = cells["num_finished"] > 0
    seeds = {"seeds": cells["num_seeds"].astype("string")} if "num_seeds" in cells.columns else {}
    return pd.DataFrame(
        {
            **settings.shown(cells),
            "scope": cells["scope"],
            "control": cells["control"].map(controls.label),
            "samples": cells["num_disambiguation"].astype("string"),
            "n finished / planned": cells["num_finished"].astype("string")
            + " / "
            + cells["num_planned"].astype("string"),
            **seeds,
            "test accuracy": [
                decimal(value) if finished else MISSING for value, finished in zip(cells["mean"], has_mean, strict=True)
            ],
            "95% interval (t)": list(map(interval, cells["interval_low"], cells["interval_high"])),
            **summary.shown(cells),
            **_nested_shown(cells),
            f"gap to {REFERENCE}": list(map(signed, cells["gap_mean"])),
            "gap's 95% interval": list(map(interval, cells["gap_low"], cells["gap_high"])),
            "pairs": cells["gap_num_pairs"].astype("string").fillna(DASH),
            "p": list(map(probability, cells["gap_p"])),
            "smallest possible p": list(map(probability, cells["gap_smallest_p"])),
            "q": list(map(probability, cells["gap_q"])),
            f"P(beats {REFERENCE})": list(map(decimal, cells["improvement"])),
            "its 95% interval": list(map(interval, cells["improvement_low"], cells["improvement_high"])),
            "published": list(map(decimal, cells["published_accuracy"])),
            "published runs": cells["published_runs"].astype("string").fillna(DASH),
            "minus published": list(map(signed, cells["difference_from_published"])),
            "published in": cells["published_source"].fillna(DASH),
        }
    )


def _nested_shown(cells: pd.DataFrame) -> dict[str, list[str]]:
    """The interval over mask draws, where some cell has nested runs."""
    if cells["num_draws"].isna().all():
        return {}
    return {
        "mask draws": [DASH if pd.isna(num) else str(num) for num in cells["num_draws"]],
        "95% interval (draws, then seeds)": list(map(interval, cells["nested_low"], cells["nested_high"])),
    }


def panels(cells: pd.DataFrame) -> list[tuple[str, str]]:
    """The figure's panels as (depths, title): the mean over depths and the deepest depth, where a cell has finished."""
    depths = sorted(set(cells.loc[cells["num_finished"] > 0, "depths"]), key=lambda each: each.split(",")[-1].zfill(9))
    means = [(each, f"Mean over depths {each.replace(',', ', ')}") for each in depths if "," in each]
    single = [(each, f"Depth {each}") for each in depths if "," not in each]
    return [*means, *single[-1:]]


def gaps(cells: pd.DataFrame) -> list[str]:
    """Sentences that say where the means stand on fewer seeds or runs than planned, or on one seed."""
    single = cells[cells["scope"] != MEAN_OVER_DEPTHS]
    partial = single[(single["num_finished"] < single["num_planned"]) & (single["num_finished"] > 0)]
    absent = single[single["num_finished"] == 0]
    said = []
    if len(absent):
        said.append(f"{len(absent):,} of {len(single):,} cells of the table have no finished seed and show as missing.")
    if len(partial):
        counted = "runs" if "num_seeds" in cells.columns else "seeds"
        said.append(
            f"{len(partial):,} of {len(single):,} cells stand on fewer {counted} than planned: n tells for each."
        )
    if ((single["num_finished"] > 0) & single["interval_low"].isna()).any():
        said.append("Cells of one seed have no interval.")
    return said


def replicates(rows: pd.DataFrame) -> list[str]:
    """What a page says of seeds with several runs of one cell; nothing if there are none."""
    given = transfers(rows)
    found = settings.settings_of_arithmetic(given)
    most = _num_replicates(found)
    if most < 2:
        return []
    shared = pd.concat([each.rows[each.rows.duplicated(RUN, keep=False)] for each in found])
    shared = shared.drop_duplicates("run_id")
    varied = [name for name in ("donor_seed", "mask_seed") if _differs_within(found, name)]
    names = listed([name.replace("_", " ") for name in varied]) if varied else "what no column of the rows tells"
    return [
        (
            f"{len(shared):,} transfers are not the only run of their cell and seed: up to {most} runs share one, "
            f"which differ in {names}."
        ),
        (
            "There n counts runs: the number of a seed is the mean over its finished runs, and the mean, its interval "
            "and the gaps are over seeds. What the runs of one seed differ in is averaged over and not judged."
        ),
    ]


def replication(rows: pd.DataFrame) -> str:
    """A sentence that says over what the seeds of a cell vary: donors, masks, or the training of recipients alone."""
    given = transfers(rows)
    num_donors, num_masks, num_seeds = (
        int(given.groupby("num_layers")[name].nunique().max()) if len(given) else 0
        for name in ("donor_seed", "mask_seed", "seed")
    )
    return (
        f"Per depth there are {num_donors} donor seed(s), {num_masks} mask seed(s) and {num_seeds} transfer seed(s): "
        "an interval speaks of what varied between its seeds and of nothing else."
    )


def _means(accuracies: pd.DataFrame) -> pd.DataFrame:
    grouped = accuracies.groupby(CELL, as_index=False)
    counts = grouped.agg(num_planned=("num_planned", "sum"), num_finished=("num_finished", "sum"))
    values = [each.dropna().to_numpy(float) for _, each in accuracies.groupby(CELL)["test_accuracy"]]
    means = summary.table(values)
    return pd.concat([counts.assign(num_seeds=[each.size for each in values]), means], axis=1)


def _gaps(accuracies: pd.DataFrame) -> pd.DataFrame:
    """The paired difference to the reference, for the cells of other controls that have at least one pair."""
    is_reference = accuracies["control"] == REFERENCE
    shared = ["depths", "num_disambiguation", "seed"]
    reference = accuracies.loc[is_reference, [*shared, "test_accuracy"]]
    pairs = accuracies[~is_reference].merge(reference, on=shared, suffixes=("", "_reference"))
    pairs["difference"] = pairs["test_accuracy"] - pairs["test_accuracy_reference"]
    pairs = pairs[pairs["difference"].notna()]
    columns = ["test_accuracy", "test_accuracy_reference", "difference"]
    gaps = [
        {**dict(zip(CELL, key, strict=True)), **_gap(*(cell[name].to_numpy(float) for name in columns))}
        for key, cell in pairs.groupby(CELL)
    ]
    return pd.DataFrame(gaps, columns=[*CELL, *(name for name in COLUMNS if name.startswith(("gap_", "improvement")))])


def _gap(own: Values, reference: Values, differences: Values) -> dict[str, object]:
    found, chance = paired_difference(differences), probability_of_improvement(own, reference)
    assert found is not None, "a group has at least one pair"
    assert chance is not None
    return {
        "gap_num_pairs": found.num_pairs,
        "gap_mean": found.mean,
        "gap_low": found.interval and found.interval.low,
        "gap_high": found.interval and found.interval.high,
        "gap_p": found.p,
        "gap_smallest_p": found.smallest_p,
        "gap_p_method": found.p_method,
        "improvement": chance.probability,
        "improvement_low": chance.interval and chance.interval.low,
        "improvement_high": chance.interval and chance.interval.high,
    }


def _published(given: pd.DataFrame) -> pd.DataFrame:
    points = published.accuracies()
    return points if published.is_comparable(given) else points.iloc[:0]


def _rank(column: pd.Series) -> pd.Series:
    """Sorts means over depths before single depths, depths by number, and controls in their order of listing."""
    match column.name:
        case "depths":
            return column.map(lambda depths: -1 if "," in depths else int(depths))
        case "control":
            order = controls.ordered(column)
            return column.map(order.index)
        case _:
            return column


def _num_replicates(found: list[Setting]) -> int:
    """The most runs that one seed has in a cell; 0 without transfers."""
    return max(int(each.rows.groupby(RUN).size().max()) if len(each.rows) else 0 for each in found)


def _differs_within(found: list[Setting], name: str) -> bool:
    """Whether replicates of one seed differ in a column."""
    return any(bool((each.rows.groupby(RUN)[name].nunique() > 1).any()) for each in found)


def draw(
    table: pd.DataFrame,
    *,
    panels: list[tuple[str, str]],
    published: pd.DataFrame,
    source: str,
    title: str,
    chance: tuple[float, ...] = (),
) -> Figure:
    """One panel per (depths, title) of `panels`, from the rows of the figure's table and the published points.

    `published` has the columns of `rows.published.accuracies`, and no rows where nothing published is comparable.
    `title` stands over all panels; an empty one takes no room. `chance` is what constant answers get right.
    """
    drawn = [
        Panel(
            heading=heading,
            cells=table[table["depths"] == depths],
            points=published[published["depths"] == depths],
            chance=chance,
        )
        for depths, heading in panels
    ]
    return accuracy.draw(drawn, names=table["control"], source=source, title=title)


@lru_cache(maxsize=1)
def cells(results: Results) -> pd.DataFrame:
    """The table of the rows, which other sections take parts of."""
    return table(results.arithmetic)


def points(setting: Setting) -> pd.DataFrame:
    """The published points that may stand next to a setting."""
    found = published.accuracies()
    return found if published.is_comparable(setting.rows) else found.iloc[:0]


def content(results: Results) -> Content:
    """A picture for each setting, above the table of all."""
    found, given = cells(results), transfers(results.arithmetic)
    said = [
        *settings.sentences(given),
        *gaps(settings.distinct(found, given, cell=CELL)),
        *replicates(results.arithmetic),
        *_seen(given),
    ]
    several = zip(results.settings, endings(len(results.settings)), strict=True)
    pictures = [_picture(each, found, ending=ending) for each, ending in several]
    return Content(table=found, shown=shown(found), sentences=said, pictures=pictures)


def _seen(given: pd.DataFrame) -> list[str]:
    """How many test samples are training samples, by number of disambiguation samples; nothing where none is known."""
    known = given[given["seen_share"].notna()]
    shares = known.groupby("num_disambiguation")["seen_share"].mean()
    if shares.empty:
        return []
    samples = listed([f"{share:.1%} at {num:,}" for num, share in shares.items()])
    return [f"Share of the test samples whose pair is a training sample too, by disambiguation samples: {samples}."]


def _picture(setting: Setting, found: pd.DataFrame, *, ending: str) -> Picture:
    own = setting.part(found)
    scopes = panels(own)
    titles = listed([title for _, title in scopes]) if scopes else "no finished cell"
    return Picture(
        name=f"figure_3{ending}",
        draw=partial(
            draw,
            own,
            panels=scopes,
            published=points(setting),
            source=published.SOURCE,
            title=setting.title,
            chance=chance.levels(setting.rows),
        ),
        title=titled("Test accuracy against disambiguation samples", setting) + f": {titles}",
        description="One line per control with its interval. The numbers are those of the table below.",
    )


METHODS = (
    "Accuracy is that of the epoch of best validation accuracy, on the test set; seeds are averaged with equal weight.",
    "The test set is evaluated at that epoch alone, so nothing here can be selected by it.",
    f"Intervals are Student's t intervals of the mean over seeds, {LEVEL:.0%} nominal, not clipped to 0 and 1.",
    f"Under {summary.FEW} runs the BCa bootstrap interval stands next to it; where the two differ much, trust neither.",
    "With so few seeds both cover less than they say, least of all where some have learned the rule and some have not.",
    f"For that there is the number of runs at or above {summary.SUCCESS}, with Wilson's interval of their share.",
    "One seed gives no interval (–).",
    "The mean over depths averages the depths of a seed first, then the seeds; a seed counts once all depths finished.",
    f"The gap is a control's accuracy minus that of {REFERENCE}, paired by seed.",
    "The p of a gap is two-sided, from flipping the signs of the pairs; it cannot fall below the smallest possible p.",
    "It is the chance of so large a gap if both arms are alike, so that every sign is a fair coin; it tests no mean.",
    "Pairs without a difference have no sign and are left out of p and of the smallest possible p.",
    f"Up to {MOST_EXACT_PAIRS} pairs every pattern of signs is counted; above, {NUM_PATTERNS:,} are drawn.",
    "q adjusts the p of the table's gaps by Benjamini and Hochberg: they are explored, not predicted.",
    UNCORRECTED,
    f"P(beats {REFERENCE}) is over all pairs of runs, ties half, with Newcombe's interval (method 5).",
    "docs/statistics.md says how often these intervals cover the truth on simulated data.",
)

SECTION = Section(
    name="figure_3",
    title="Test accuracy against disambiguation samples",
    place=120,
    of="arithmetic",
    content=content,
    caption="The numbers of the figure.",
    methods=METHODS,
)
