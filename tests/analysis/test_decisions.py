"""A shape bias stands with the decisions that it rests on, which are marked where they are few."""

from pathlib import Path

import pytest

from analysis.figures.images import draw_shape_bias
from analysis.rows import images
from analysis.sections import cue_conflict, shape_bias, table_1
from tests.analysis.rows import Row
from tests.analysis.vision_rows import run, write


def few(num_shape: int, num_texture: int, num_images: int, **changes: object) -> Row:
    """A donor whose decisions are these."""
    counts = {"shape": num_shape, "texture": num_texture, "other": num_images - num_shape - num_texture}
    rates = {f"{cue}_rate": count / num_images for cue, count in counts.items()}
    by_class = {f"cue_{cue}": [("disc", count)] for cue, count in counts.items()}
    bias = num_shape / (num_shape + num_texture)
    return run("donor", bias, num_cue_conflict=num_images, **{**rates, **by_class, **changes})


def test_table_1_gives_the_decisions_and_the_corrected_rates_with_the_ratio(tmp_path: Path) -> None:
    rows = [few(60, 30, 240), few(50, 40, 240, seed=1, run_id="second")]
    table = table_1.table(images.rows(write(tmp_path / "rows.parquet", rows)))
    cell = table.iloc[0]
    assert [cell[name] for name in images.DECISIONS] == [110, 70, 300]
    # (rate - chance) / (1 - chance), by hand: 110/480 is 55/240.
    assert cell["shape_rate_corrected"] == pytest.approx((55 / 240 - 1 / 16) / (15 / 16))
    assert cell["texture_rate_corrected"] == pytest.approx((35 / 240 - 1 / 16) / (15 / 16))
    shown = table_1.shown(table).iloc[0]
    assert (shown["decisions"], shown["shape / texture / other"]) == ("180 of 480", "110 / 70 / 300")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((10, 4, 240), "few: 14 of 240"),
        ((300, 300, 4800), "few: 600 of 4,800"),
        ((60, 10, 240), "70 of 240"),
        ((30, 19, 60), "few: 49 of 60"),
        ((30, 20, 60), "50 of 60"),
    ],
)
def test_ratio_of_few_decisions_is_marked(counts: tuple[int, int, int], expected: str, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", [few(*counts), run("subnetwork", 0.6)])
    rows = images.rows(path)
    table = table_1.table(rows)
    assert table_1.shown(table)["decisions"].iloc[0] == expected
    assert shape_bias.shown(shape_bias.table(rows))["the other's"].iloc[0] == expected
    assert expected in shape_bias.sentences(shape_bias.table(rows))[0]
    decisions = images.decisions(path, rows)
    by_class = cue_conflict.table(decisions[decisions["start"] == "donor"], settings=[])
    assert cue_conflict.shown(by_class)["decisions"].to_list() == [expected]
    figure = draw_shape_bias(table, rows, title="a title")
    assert expected in {text.get_text() for text in figure.axes[0].texts}


def test_cue_conflict_by_class_gives_counts_and_corrected_rates(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", [few(60, 30, 240)])
    (cell,) = cue_conflict.table(images.decisions(path, images.rows(path)), settings=[]).to_dict("records")
    assert [cell[name] for name in images.DECISIONS] == [60, 30, 150]
    assert cell["shape_rate_corrected"] == pytest.approx(0.2)
    assert cell["texture_rate_corrected"] == pytest.approx(1 / 15)


def test_rate_at_chance_is_corrected_to_zero_and_a_rate_of_one_to_one() -> None:
    assert [images.chance_corrected(rate) for rate in (1 / 16, 1.0)] == [0.0, 1.0]
