"""The pictures of a study draw the trials that the table holds, and stand on the page of the grid's report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.axes import Axes

from analysis import write_report
from analysis.figures import tuning as figures
from analysis.sections import tuning
from subind.store.schemas import ROW_SCHEMA, TRIAL_SCHEMA
from tests.analysis.rows import Row, donor, mask, transfer

SHARES = {"penalty": 0.7, "learning_rate": 0.2, "num_epochs": 0.1}
IMPORTANCES = {"small": SHARES, "other": "9 trials are finished, and PED-ANOVA needs 10"}


def trial(number: int, accuracy: float, density: float, **changes: Any) -> Row:
    """A finished trial of six epochs."""
    epochs = list(range(1, 7))
    return {
        **dict.fromkeys(TRIAL_SCHEMA.names),
        "study": "small",
        "trial": number,
        "state": "finished",
        "run_id": f"run-{number}",
        "subtask": "a * b",
        "num_layers": 2,
        "d_model": 128,
        "penalty": 10.0 ** (-7 + number / 2),
        "final_temperature": 100.0 + number,
        "initial_logit": -0.1 * number,
        "learning_rate": 1e-3 * (number + 1),
        "num_epochs": 6 + number,
        "num_tuning_samples": 200,
        "tuning_accuracy": accuracy,
        "soft_accuracy": 1.0,
        "soft_hard_gap": 1.0 - accuracy,
        "density": density,
        "is_on_front": False,
        "is_chosen": False,
        "curve_epoch": epochs,
        "curve_tuning_accuracy": [accuracy * epoch / 6 for epoch in epochs],
        "curve_soft_accuracy": [1.0] * 6,
        "curve_density": [density * 6 / epoch for epoch in epochs],
        **changes,
    }


def study(name: str = "small") -> list[Row]:
    """Two members of the front, one of them chosen, one that is beaten, one that was stopped, and the published one."""
    bare = dict.fromkeys(("tuning_accuracy", "soft_accuracy", "soft_hard_gap", "density", "curve_epoch"))
    rows = [
        trial(0, 0.9, 0.02, is_on_front=True),
        trial(1, 1.0, 0.05, is_on_front=True, is_chosen=True),
        trial(2, 0.95, 0.2),
        {**trial(3, 0.0, 0.0, state="stopped", message="stopped after epoch 3"), **bare},
        trial(4, 0.99, 0.08, state="published", trial=None),
    ]
    return [{**row, "study": name} for row in rows]


def written(path: Path, rows: list[Row]) -> Path:
    schema = TRIAL_SCHEMA.with_metadata({b"importances": json.dumps(IMPORTANCES).encode()})
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def frame(rows: list[Row]) -> pd.DataFrame:
    return pa.Table.from_pylist(rows, schema=TRIAL_SCHEMA).to_pandas()


def scattered(axes: Axes) -> dict[str, list[list[float]]]:
    """The points of each collection by its label."""
    return {str(each.get_label()): np.asarray(each.get_offsets()).tolist() for each in axes.collections}


# ---- the figures


def test_front_draws_members_published_and_chosen_where_they_are() -> None:
    above, _ = figures.front(frame(study()), title="A study").axes
    points = scattered(above)
    assert points["trials"] == [[0.2, 0.95]]
    assert points["published setting"] == [[0.08, 0.99]]
    assert points["chosen"] == [[0.05, 1.0]]
    (line,) = [each for each in above.lines if each.get_label() == "front"]
    assert np.asarray(line.get_xydata()).tolist() == [[0.02, 0.9], [0.05, 1.0]]


def test_front_draws_an_accuracy_of_one_above_every_error_without_an_error_of_its_own() -> None:
    _, below = figures.front(frame(study()), title="A study").axes
    assert scattered(below)["published setting"] == [[0.08, pytest.approx(0.01)]]
    ((_, place),) = scattered(below)["chosen"]
    ticks = [text.get_text() for text in below.get_yticklabels()]
    assert place < min(below.get_yticks())  # the axis has the smallest error on top
    assert ticks == ["1%", "2%", "5%", "10%"]
    (text,) = [each for each in below.texts if "no error" in each.get_text()]
    assert text.get_text() == "no error seen in 200 samples"


def test_front_without_an_accuracy_of_one_has_no_band() -> None:
    rows = [trial(0, 0.7, 0.02, is_on_front=True)]
    _, below = figures.front(frame(rows), title="A study").axes
    assert not below.texts
    assert [text.get_text() for text in below.get_yticklabels()] == ["20%"]


def test_parallel_draws_every_finished_trial_from_its_least_to_its_greatest_value() -> None:
    axes = figures.parallel(frame(study()), title="A study").axes[0]
    lines = [np.asarray(each.get_ydata()) for each in axes.lines if len(np.asarray(each.get_ydata())) == 7]
    assert len(lines) == 3
    assert np.min(lines, axis=0).tolist() == pytest.approx([0.0] * 7)
    assert np.max(lines, axis=0).tolist() == pytest.approx([1.0] * 7)


def test_importance_draws_the_greatest_on_top() -> None:
    axes = figures.importance(SHARES, title="A study").axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.1, 0.2, 0.7]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["epochs", "learning rate", "penalty λ"]


def test_over_epochs_draws_hard_and_soft_accuracy_of_members_and_published() -> None:
    accuracy, density = figures.over_epochs(frame(study()), title="A study").axes[:2]
    drawn = [np.asarray(each.get_ydata()).tolist() for each in accuracy.lines if len(np.asarray(each.get_ydata()))]
    expected = [row for row in study() if row["is_on_front"] or row["state"] == "published"]
    assert drawn == [
        curve
        for row in sorted(expected, key=lambda row: (row["state"] == "published", row["density"]))
        for curve in (row["curve_tuning_accuracy"], row["curve_soft_accuracy"])
    ]
    assert len(density.lines) == 3


# ---- the table and the page


def test_pictures_of_one_study_are_four(tmp_path: Path) -> None:
    found = tuning.pictures(written(tmp_path / "x.tuning.parquet", study()))
    assert set(found) == {f"tuning_{name}.png" for name in ("front", "parallel", "importance", "epochs")}
    assert all(content.startswith(b"\x89PNG") for content in found.values())


def test_pictures_of_two_studies_are_numbered(tmp_path: Path) -> None:
    found = tuning.pictures(written(tmp_path / "x.tuning.parquet", [*study(), *study("other")]))
    assert {"tuning_front-1.png", "tuning_front-2.png"} <= set(found)


def test_importance_that_cannot_be_computed_is_a_sentence_and_no_picture(tmp_path: Path) -> None:
    path = written(tmp_path / "x.tuning.parquet", study("other"))
    assert set(tuning.pictures(path)) == {f"tuning_{name}.png" for name in ("front", "parallel", "epochs")}
    assert told(path)[-1] == (
        "The importance of each setting cannot be computed: 9 trials are finished, and PED-ANOVA needs 10."
    )


# ---- what dominates


def told(path: Path) -> list[str]:
    return [sentence for each in tuning.read(path) for sentence in tuning.sentences(each)]


def test_sentence_names_the_trial_that_dominates_the_published_setting_and_by_how_much(tmp_path: Path) -> None:
    (_, sentence) = told(written(tmp_path / "x.tuning.parquet", study()))
    assert sentence == (
        "Trial 1 (chosen) dominates the published setting: accuracy 1.000 instead of 0.990 (+0.010), density 5.00% "
        "instead of 8.00% (1.6 times sparser). Each setting is trained once, and its accuracy is measured on 200 "
        "samples that no reported evaluation has."
    )


def test_sentence_says_that_no_trial_dominates_the_published_setting(tmp_path: Path) -> None:
    rows = [*study()[:4], trial(4, 0.95, 0.03, state="published", trial=None)]
    (_, sentence) = told(written(tmp_path / "x.tuning.parquet", rows))
    assert sentence.startswith(
        "No trial dominates the published setting (accuracy 0.950, density 3.00%), which dominates 1 of 3 trials."
    )


def test_equal_settings_do_not_dominate_each_other() -> None:
    one, same, sparser = (pd.Series({"tuning_accuracy": 0.9, "density": each}) for each in (0.1, 0.1, 0.05))
    assert not tuning.dominates(one, same)
    assert (tuning.dominates(sparser, one), tuning.dominates(one, sparser)) == (True, False)


def test_table_has_the_published_setting_the_front_and_a_choice_off_the_front(tmp_path: Path) -> None:
    rows = study()
    rows[1]["is_chosen"], rows[2]["is_chosen"] = False, True
    words = tuning.shown(tuning.read(written(tmp_path / "x.tuning.parquet", rows)))
    columns = ["trial", "accuracy", "density", "dominates published", "dominated by"]
    assert words[columns].to_numpy().tolist() == [
        ["published", "0.990", "8.00%", "–", "1"],
        ["0", "0.900", "2.00%", "no", "–"],
        ["1", "1.000", "5.00%", "yes", "–"],
        ["2 chosen", "0.950", "20.00%", "no", "1"],
    ]


def test_study_without_a_finished_trial_has_no_picture(tmp_path: Path) -> None:
    assert tuning.pictures(written(tmp_path / "x.tuning.parquet", [study()[3]])) == {}


def test_table_that_lacks_a_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tuning.parquet"
    pq.write_table(pa.table({"study": ["small"]}), path)
    with pytest.raises(ValueError, match=r"lacks the columns trial, state.*: write it again with `subind tune`"):
        tuning.drawn(path)


def test_page_of_rows_with_trials_beside_them_shows_the_study(tmp_path: Path) -> None:
    rows = tmp_path / "grid.parquet"
    given = [donor(1.0), mask(1.0, density=0.08), transfer("subnetwork", 0.5)]
    pq.write_table(pa.Table.from_pylist(given, schema=ROW_SCHEMA), rows)
    written(tmp_path / "grid.tuning.parquet", study())
    page = write_report(rows, tmp_path / "report")
    assert "Tuning: accuracy against density of the masks of small" in page.read_text()
    assert {"tuning_front.png", "tuning_epochs.svg"} <= {path.name for path in page.parent.iterdir()}
    (tmp_path / "grid.tuning.parquet").unlink()
    write_report(rows, tmp_path / "report")
    assert not list(page.parent.glob("tuning_*"))


def test_picture_carries_the_fingerprint_of_the_trials(tmp_path: Path) -> None:
    rows = tmp_path / "grid.parquet"
    given = [donor(1.0), mask(1.0, density=0.08), transfer("subnetwork", 0.5)]
    pq.write_table(pa.Table.from_pylist(given, schema=ROW_SCHEMA), rows)
    trials = written(tmp_path / "grid.tuning.parquet", study())
    write_report(rows, tmp_path / "report")
    assert tuning.fingerprint(trials).encode() in (tmp_path / "report" / "tuning_front.png").read_bytes()
