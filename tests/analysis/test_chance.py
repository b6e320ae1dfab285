"""Chance is drawn, and named with its level, in every picture of accuracy and agreement."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis import sections
from analysis.elements.section import Content, Results, declared, filled
from analysis.figures import tuning
from subind.store.schemas import TRIAL_SCHEMA
from tests.analysis.rows import Row, mask, sweep, transfer
from tests.analysis.vision_rows import run, write

RowsFile = Callable[[list[Row]], Path]

CHANCE = 0.2654
KNOWN: Row = {"chance_accuracy": CHANCE, "rivals": ["2 * a ** 2"], "chance_agreement": [0.1357], "seen_share": 0.25}


def words(figure: Figure) -> str:
    """All texts of a figure: in its panels, their titles and its legends."""
    texts = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title)]
    return "\n".join([*texts, *(text.get_text() for legend in figure.legends for text in legend.get_texts())])


def heights(figure: Figure) -> set[float]:
    """Of all lines that run across a panel."""
    lines = [line for axes in figure.axes for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    return {float(line.get_ydata()[0]) for line in lines}


def sections_of(path: Path) -> dict[str, Content]:
    every = (filled(section, Results.read(path)) for section in declared(sections))
    return {each.section.name: each.content for each in every if each is not None}


def figures_of(path: Path) -> dict[str, Figure]:
    return {picture.name: picture.draw() for section in sections_of(path).values() for picture in section.pictures}


def known_rows(**changes: object) -> list[Row]:
    agreement = {"rival_agreement": [0.5], "curve_rival_agreement": [[0.5, 0.5, 0.5]]}
    recipients = [
        {**row, **KNOWN, **agreement, **changes} for row in sweep(["subnetwork"], [10, 100], range(2), [2, 4])
    ]
    kinds = [("trained", 0.5), ("untrained", 0.1)]
    masks = [mask(level, density=0.1, donor_kind=kind, run_id=kind, **KNOWN) for kind, level in kinds]
    return [*recipients, *masks]


@pytest.mark.parametrize("name", ["figure_3", "per_depth", "training", "masks_by_depth", "discovery"])
def test_picture_of_accuracy_has_a_line_at_chance_that_is_named(rows_file: RowsFile, name: str) -> None:
    figure = figures_of(rows_file(known_rows()))[name]
    assert CHANCE in heights(figure)
    assert "chance 0.265" in words(figure)


def test_picture_of_agreement_has_a_line_at_the_chance_of_each_reading(rows_file: RowsFile) -> None:
    figure = figures_of(rows_file(known_rows()))["readings"]
    assert {CHANCE, 0.1357} <= heights(figure)
    assert "by chance 0.265 as a ** 2 + a * b, 0.136 as 2 * a ** 2" in words(figure)


def test_picture_of_masks_that_are_all_found_says_that_chance_is_below_its_axis(rows_file: RowsFile) -> None:
    figure = figures_of(rows_file([transfer("subnetwork", 0.9), mask(0.99, density=0.1, **KNOWN)]))["masks_by_depth"]
    assert "chance 0.265 is below" in words(figure)


def test_pictures_of_rows_without_chance_have_no_line_at_it(rows_file: RowsFile) -> None:
    figures = figures_of(rows_file([*sweep(["subnetwork"], [10, 100], range(2), [2]), mask(0.9, density=0.1)]))
    assert not any("chance" in words(figure) for figure in figures.values())


def test_figure_3_says_how_many_test_samples_are_training_samples(rows_file: RowsFile) -> None:
    shares = [transfer("subnetwork", 0.5, samples=num, seen_share=share) for num, share in ((10, 0.032), (250, 0.121))]
    section = sections_of(rows_file(shares))["figure_3"]
    assert "3.2% at 10 and 12.1% at 250" in " ".join(section.sentences)


def test_picture_of_tuned_masks_has_a_line_at_chance() -> None:
    curves = {"curve_epoch": [1], "curve_tuning_accuracy": [0.8], "curve_soft_accuracy": [0.8], "curve_density": [0.1]}
    own = {"state": "finished", "is_on_front": True, "is_chosen": False, "tuning_accuracy": 0.8, "num_epochs": 1}
    trials = pd.DataFrame([{**dict.fromkeys(TRIAL_SCHEMA.names), **curves, **own, **KNOWN, "density": 0.1}])
    for draw in (tuning.front, tuning.over_epochs):
        figure = draw(trials, title="a title")
        assert CHANCE in heights(figure)
        assert "chance 0.265" in words(figure)


def test_pictures_of_images_have_lines_at_one_in_sixteen_and_at_no_preference(tmp_path: Path) -> None:
    path = write(
        tmp_path / "rows.parquet", [run(start, 0.3, chance_accuracy=1 / 16) for start in ("donor", "subnetwork")]
    )
    figures = figures_of(path)
    assert 1 / 16 in heights(figures["vision_training"])
    assert "chance 0.0625" in words(figures["vision_training"])
    across = [line for axes in figures["table_1"].axes for line in axes.lines if list(line.get_ydata()) == [0, 1]]
    assert 0.5 in {float(line.get_xdata()[0]) for line in across}
