"""The figures draw the numbers that they are given, where a reader looks for them."""

from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from analysis.figures.style import STYLES, styles
from analysis.rows import published
from analysis.rows.controls import ORDER
from analysis.sections import figure_3, training
from tests.analysis.rows import Row, sweep, transfer

RowsFrame = Callable[[list[Row]], pd.DataFrame]


def drawn(rows: pd.DataFrame, points: pd.DataFrame, *, title: str = "") -> Figure:
    table = figure_3.table(rows)
    return figure_3.draw(table, panels=figure_3.panels(table), published=points, source="a source", title=title)


def nothing_published() -> pd.DataFrame:
    return published.accuracies().iloc[:0]


def bars(axes: Axes, control: str) -> ErrorbarContainer:
    color = STYLES[control].color
    found = [each for each in axes.containers if isinstance(each, ErrorbarContainer)]
    (one,) = [each for each in found if to_hex(each.lines[0].get_color()) == color.lower()]
    return one


def legend_labels(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_figure_3_of_one_depth_has_one_panel(rows_frame: RowsFrame):
    figure = drawn(rows_frame(sweep(["subnetwork"], [10, 100], range(3), [2])), nothing_published())
    assert [axes.get_title() for axes in figure.axes] == ["Depth 2"]


def test_figure_3_of_two_depths_has_their_mean_left_and_the_deepest_right(rows_frame: RowsFrame):
    figure = drawn(rows_frame(sweep(["subnetwork"], [10, 100], range(3), [2, 4])), nothing_published())
    assert [axes.get_title() for axes in figure.axes] == ["Mean over depths 2, 4", "Depth 4"]


def test_figure_3_draws_the_means_and_intervals_of_its_table(rows_frame: RowsFrame):
    rows = rows_frame(sweep(["subnetwork"], [10, 100], range(3), [2]))
    table = figure_3.table(rows)
    container = bars(drawn(rows, nothing_published()).axes[0], "subnetwork")
    assert container.lines[0].get_xdata() == pytest.approx([10, 100])
    assert container.lines[0].get_ydata() == pytest.approx(table["mean"].to_numpy(float))
    ends = np.array(container.lines[2][0].get_segments())[:, :, 1]
    assert ends == pytest.approx(table[["interval_low", "interval_high"]].to_numpy(float))


def test_figure_3_of_one_seed_draws_points_without_bars(rows_frame: RowsFrame):
    figure = drawn(rows_frame(sweep(["subnetwork"], [10, 100], [0], [2])), nothing_published())
    assert not any(len(ends) for ends in bars(figure.axes[0], "subnetwork").lines[2][0].get_segments())
    assert legend_labels(figure) == ["subnetwork (n = 1)"]


def test_figure_3_puts_zero_samples_left_of_the_first_count_under_the_label_0(rows_frame: RowsFrame):
    axes = drawn(rows_frame(sweep(["subnetwork"], [0, 10, 100], [0], [2])), nothing_published()).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "10", "100"]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] < bars(axes, "subnetwork").lines[0].get_xdata()[0] == axes.get_xticks()[0] < 10


def test_figure_3_joins_no_line_to_zero_samples(rows_frame: RowsFrame):
    axes = drawn(rows_frame(sweep(["subnetwork"], [0, 10, 100], [0], [2])), nothing_published()).axes[0]
    solid = [line for line in axes.lines if line.get_linestyle() == "-" and to_hex(line.get_color()) == "#0072b2"]
    assert [list(line.get_xdata()) for line in solid] == [[10, 100]]


def test_figure_3_names_every_one_of_nine_controls_with_its_seeds(rows_frame: RowsFrame):
    rows = [*sweep(ORDER, [10, 100], range(3), [2])[1:], transfer("subnetwork", None, samples=10)]
    labels = legend_labels(drawn(rows_frame(rows), nothing_published()))
    assert len(labels) == 9
    assert labels[0] == "subnetwork (n = 2 to 3)"
    assert labels[-1] == "complement as released (n = 3)"


def test_figure_3_says_of_a_control_that_none_of_it_finished(rows_frame: RowsFrame):
    rows = rows_frame([transfer("subnetwork", 0.5), transfer("random_init", None)])
    assert legend_labels(drawn(rows, nothing_published()))[1] == "random init (none finished)"


def test_figure_3_dashes_the_published_curve_and_names_its_source(rows_frame: RowsFrame):
    rows = rows_frame(sweep(["subnetwork"], [10, 100], [0], [2]))
    figure = drawn(rows, published.accuracies())
    (curve,) = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    points = published.accuracies().query("depths == '2' and control == 'subnetwork' and num_disambiguation > 0")
    assert list(curve.get_ydata()) == points["published_accuracy"].to_list()
    assert legend_labels(figure)[-1] == "dashed: published,\na source"


def test_figure_3_without_a_finished_cell_says_so(rows_frame: RowsFrame):
    figure = drawn(rows_frame([transfer("subnetwork", None)]), nothing_published())
    assert [text.get_text() for text in figure.axes[0].texts] == ["no cell has finished"]


def test_figure_3_of_a_control_named_like_mathematics_is_drawn(rows_frame: RowsFrame):
    figure = drawn(rows_frame([transfer("$x^{", 0.5), transfer("_hidden", 0.5)]), nothing_published())
    figure.draw_without_rendering()
    assert legend_labels(figure) == ["$x^{ (n = 1)", " hidden (n = 1)"]


def test_styles_of_nine_controls_differ_in_color_and_in_marker():
    assert set(STYLES) == set(ORDER)
    assert len({style.color for style in STYLES.values()}) == len({style.marker for style in STYLES.values()}) == 9


def test_styles_keep_those_of_the_nine_beside_other_controls():
    found = styles(["another", "subnetwork", "yet_another"])
    assert found["subnetwork"] == STYLES["subnetwork"]
    assert found["another"] != found["yet_another"]


def test_figure_3_leaves_the_settings_of_matplotlib_alone(rows_frame: RowsFrame):
    before = {name: mpl.rcParams[name] for name in ("font.size", "text.parse_math", "axes.spines.top")}
    drawn(rows_frame([transfer("subnetwork", 0.5)]), nothing_published())
    assert {name: mpl.rcParams[name] for name in before} == before


def test_training_has_a_panel_per_number_of_samples_with_its_means():
    rows = [(control, num, epoch, 0.1 * epoch) for control in ORDER[:2] for num in (0, 1, 10) for epoch in (1, 2)]
    table = pd.DataFrame(rows, columns=["control", "num_disambiguation", "epoch", "mean"])
    figure = training.draw(table, num_runs={"subnetwork": (3, 3), "subnetwork_trainable": (2, 3)}, title="a title")
    assert [axes.get_title() for axes in figure.axes] == ["0 samples", "1 sample", "10 samples"]
    assert [list(line.get_ydata()) for line in figure.axes[0].lines] == [[0.1, 0.2]] * 2
    assert legend_labels(figure) == ["subnetwork (n = 3)", "subnetwork trainable (n = 2 to 3)"]


def test_figure_3_has_the_combination_over_its_panels_and_their_own_headings(rows_frame: RowsFrame):
    rows = rows_frame(sweep(["subnetwork"], [10, 100], range(3), [2, 4]))
    figure = drawn(rows, nothing_published(), title="penalty 1e-07")
    assert figure.get_suptitle() == "penalty 1e-07"
    assert [axes.get_title() for axes in figure.axes] == ["Mean over depths 2, 4", "Depth 4"]
