"""Claims: what a sentence says, what the rows say of it, and that adding seeds does not find what is not there."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from analysis import write_report
from analysis.claims import Judgement, judged, num_looks, of_rows, parsed, planned
from analysis.statistics import sign_flip_p
from tests.analysis.rows import Row, transfer

RowsFrame = Callable[[list[Row]], pd.DataFrame]
RowsFile = Callable[[list[Row]], Path]

BEATS = "subnetwork beats random_subnetwork at n = 100"


def arms(first: list[float | None], second: list[float | None], **changes: object) -> list[Row]:
    rows = [transfer("subnetwork", each, seed=seed, **changes) for seed, each in enumerate(first)]
    return rows + [transfer("random_subnetwork", each, seed=seed, **changes) for seed, each in enumerate(second)]


def only(rows: pd.DataFrame, text: str = BEATS, *, looks: int = 1) -> Judgement:
    (found,) = judged([parsed(text)], rows, num_looks=looks)
    return found


RISING = [0.8, 0.82, 0.84, 0.86, 0.88, 0.9]
LOWER = [0.7, 0.71, 0.7, 0.72, 0.71, 0.7]


@pytest.mark.parametrize(
    ("text", "kind", "margin", "depth"),
    [
        ("subnetwork beats random_init at n = 1000, depth 12", "beats", 0.0, 12),
        ("subnetwork beats random_init by 0.05 at n = 1000", "beats", 0.05, None),
        ("full_transfer matches subnetwork within 0.02 at n = 1000, depth = 2", "matches", 0.02, 2),
        ("subnetwork  reaches 0.9 at depth 6, n=1000", "reaches", 0.9, 6),
    ],
)
def test_claim_of_every_form_is_taken_apart(text: str, kind: str, margin: float, depth: int | None):
    found = parsed(text)
    assert (found.kind, found.margin, found.depth, found.num_disambiguation) == (kind, margin, depth, 1000)


def test_claim_names_settings_by_their_words_or_columns():
    found = parsed("subnetwork reaches 0.9 at n = 10, penalty 1e-07, rule a ** 2 + a * b, ambiguous samples = 50")
    assert dict(found.settings) == {"penalty": "1e-07", "rule": "a ** 2 + a * b", "num_ambiguous": "50"}


@pytest.mark.parametrize("text", ["nonsense", "a beats b", "a beats b at depth 2", "a beats b at n = 3, colour red"])
def test_claim_that_is_none_is_refused_by_name(text: str):
    with pytest.raises(ValueError, match=rf"claim '{text}'"):
        parsed(text)


def test_claim_holds_with_six_seeds_of_one_sign(rows_frame: RowsFrame):
    found = only(rows_frame(arms(RISING, LOWER)))
    assert (found.verdict, found.num_seeds, found.p, found.num_more_seeds) == ("holds", 6, 0.03125, None)
    assert found.mean == pytest.approx(np.mean(RISING) - np.mean(LOWER))


def test_claim_fails_with_six_seeds_of_the_other_sign(rows_frame: RowsFrame):
    assert only(rows_frame(arms(LOWER, RISING))).verdict == "fails"


def test_claim_with_five_seeds_is_undecided_and_needs_one_more(rows_frame: RowsFrame):
    found = only(rows_frame(arms(RISING[:5], LOWER[:5])))
    assert (found.verdict, found.p, found.num_more_seeds) == ("undecided", 0.0625, 1)


def test_claim_of_one_seed_has_no_number_of_seeds_in_sight(rows_frame: RowsFrame):
    found = only(rows_frame(arms([0.9], [0.1])))
    assert (found.verdict, found.num_more_seeds) == ("undecided", None)


def test_claim_with_a_margin_tests_what_is_left_of_the_difference(rows_frame: RowsFrame):
    rows = rows_frame(arms(RISING, LOWER))
    assert only(rows, "subnetwork beats random_subnetwork by 0.09 at n = 100").verdict == "holds"
    assert only(rows, "subnetwork beats random_subnetwork by 0.5 at n = 100").verdict == "fails"


def test_claim_of_a_match_holds_inside_its_bounds_and_fails_outside(rows_frame: RowsFrame):
    rows = rows_frame(arms([*RISING, 0.85, 0.87], [each + 0.001 for each in [*RISING, 0.85, 0.87]]))
    assert only(rows, "subnetwork matches random_subnetwork within 0.01 at n = 100").verdict == "holds"
    assert only(rows, "subnetwork matches random_subnetwork within 0.0005 at n = 100").verdict == "fails"


def test_claim_leaves_out_a_seed_that_one_arm_lacks(rows_frame: RowsFrame):
    found = only(rows_frame(arms(RISING, [*LOWER[:5], None])))
    assert (found.verdict, found.num_seeds, found.num_planned) == ("undecided", 5, 6)


def test_claims_of_a_grid_share_the_error_by_holm(rows_frame: RowsFrame):
    claims = [parsed(BEATS), parsed("subnetwork reaches 0.5 at n = 100")]
    found = judged(claims, rows_frame(arms(RISING, LOWER)))
    assert [each.adjusted_p for each in found] == [0.0625, 0.0625]
    assert [each.verdict for each in found] == ["undecided", "undecided"]


def test_claim_that_is_looked_at_several_times_has_a_part_of_the_error(rows_frame: RowsFrame):
    found = only(rows_frame(arms(RISING, LOWER)), looks=3)
    assert (found.verdict, found.level) == ("undecided", pytest.approx(0.05 / 3))


def test_claim_on_a_setting_that_the_rows_do_not_have_is_not_judged(rows_frame: RowsFrame):
    claims = [parsed(BEATS), parsed(f"{BEATS}, penalty 1e-05"), parsed("subnetwork beats nothing at n = 100")]
    kept, reasons = planned(claims, rows_frame(arms(RISING, LOWER)))
    assert [each.text for each in kept] == [BEATS]
    assert "fits 0 combinations" in reasons[0]
    assert "no cell of nothing at n = 100, depth 2 is planned" in reasons[1]


def test_claim_names_one_of_several_penalties(rows_frame: RowsFrame):
    rows = arms(RISING, LOWER) + [
        {**row, "run_id": f"other-{row['run_id']}", "penalty": 1e-6} for row in arms(LOWER, RISING)
    ]
    assert only(rows_frame(rows), f"{BEATS}, penalty 1e-7").verdict == "holds"
    assert only(rows_frame(rows), f"{BEATS}, penalty 0.000001").verdict == "fails"


def test_claims_of_a_file_are_read_from_its_metadata_and_shown_in_the_report(rows_file: RowsFile, tmp_path: Path):
    path = rows_file(arms(RISING, LOWER))
    table = pq.read_table(path)
    carried = {b"claims": json.dumps([BEATS, "subnetwork beats nothing at n = 1"]).encode(), b"num_looks": b"2"}
    pq.write_table(table.replace_schema_metadata(carried), path)
    assert [each.text for each in of_rows(path)] == [BEATS, "subnetwork beats nothing at n = 1"]
    assert num_looks(path) == 2
    write_report(path, tmp_path / "report")
    written = pd.read_csv(tmp_path / "report" / "claims.csv")
    assert written[["claim", "verdict", "level"]].to_numpy().tolist() == [[BEATS, "undecided", 0.025]]
    assert "Not judged" in (tmp_path / "report" / "index.html").read_text()


@pytest.mark.parametrize("spread", ["normal", "bimodal"])
def test_looks_at_doubling_seeds_decide_a_true_null_in_at_most_five_percent(spread: str):
    draws = np.random.default_rng(0)
    looks, num_repetitions, num_decided = (5, 10, 20), 2_000, 0
    for _ in range(num_repetitions):
        first, second = (
            draws.normal(0.7, 0.1, 20) if spread == "normal" else np.where(draws.random(20) < 0.7, 0.95, 0.35)
            for _ in range(2)
        )
        noise = draws.normal(0, 0.01, 20)
        num_decided += any(sign_flip_p((first - second + noise)[:num]) <= 0.05 / len(looks) for num in looks)
    assert num_decided / num_repetitions <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / num_repetitions)
