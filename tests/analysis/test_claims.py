"""Claims: what a sentence says, what the rows say of it, and that adding seeds does not find what is not there."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from analysis import write_report
from analysis.rows.claims import Judgement, fewest_seeds, hypothesis, judged, of_rows, parsed, planned
from tests.analysis.rows import Row, transfer

RowsFrame = Callable[[list[Row]], pd.DataFrame]
RowsFile = Callable[[list[Row]], Path]

BEATS = "subnetwork beats random_subnetwork in most seeds at n = 100"


def arms(first: list[float | None], second: list[float | None], **changes: object) -> list[Row]:
    rows = [transfer("subnetwork", each, seed=seed, **changes) for seed, each in enumerate(first)]
    return rows + [transfer("random_subnetwork", each, seed=seed, **changes) for seed, each in enumerate(second)]


def only(rows: pd.DataFrame, text: str = BEATS) -> Judgement:
    (found,) = judged([parsed(text)], rows)
    return found


def e_of_ones(num: int) -> float:
    """Of `num` bets on a half that were all won: half bets whole, half over all fractions (∫ (1 + f)ⁿ df)."""
    return 2.0**num / 2 + (2.0 ** (num + 1) - 1) / (num + 1) / 2


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a beats b at n = 9, depth 2", "the mean over seeds of the accuracy of a minus that of b is above 0"),
        ("a beats b by 0.1 on average at n = 9, depth 2", "minus that of b is above 0.1"),
        (
            "a beats b by 0.1 in most seeds at n = 9, depth 2",
            "in more than half of all seeds the accuracy of a",
        ),
        ("a matches b within 0.02 at n = 9, depth 2", "minus that of b is between ±0.02"),
        (
            "a matches b within 0.02 in 80% of seeds at n = 9",
            "in more than 80% of all seeds the accuracy of a differs",
        ),
        ("a reaches 0.9 at n = 9, depth 2", "the mean over seeds of the accuracy of a is above 0.9"),
        (
            "a reaches 0.9 in most seeds at n = 9, depth 2",
            "in more than half of all seeds the accuracy of a is at least 0.9",
        ),
    ],
)
def test_hypothesis_says_whether_a_claim_is_about_a_mean_or_a_share(text: str, words: str):
    assert words in hypothesis(parsed(text))
    assert ("mean over seeds" in hypothesis(parsed(text))) == ("seeds at" not in text)


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ("beats b in 100% of seeds", "100%"),
        ("beats b in 0% of seeds", "0%"),
        ("beats b by 1", "has 1"),
        ("matches b within 0", "has 0"),
        ("reaches 1", "has 1"),
        ("reaches 1.5 in most seeds", "has 1.5"),
        ("reaches 1.2.3", "no number"),
    ],
)
def test_claim_that_no_accuracies_can_decide_is_refused(form: str, word: str):
    with pytest.raises(ValueError, match=word):
        parsed(f"a {form} at n = 100")


def test_claim_holds_with_six_seeds_that_are_all_won(rows_frame: RowsFrame):
    found = only(rows_frame(arms(RISING, LOWER)))
    assert (found.verdict, found.num_seeds, found.estimate, found.num_more_seeds) == ("holds", 6, 1.0, None)
    assert found.p == found.smallest_p == pytest.approx(2 / e_of_ones(6))
    assert found.low is not None
    assert 0.5 < found.low < 0.51


def test_claim_fails_with_six_seeds_that_are_all_lost(rows_frame: RowsFrame):
    found = only(rows_frame(arms(LOWER, RISING)))
    assert (found.verdict, found.estimate) == ("fails", 0.0)


def test_claim_about_most_seeds_fails_where_arms_tie(rows_frame: RowsFrame):
    assert only(rows_frame(arms(LOWER, LOWER))).verdict == "fails"


def test_claim_with_five_seeds_is_undecided_and_needs_one_more(rows_frame: RowsFrame):
    found = only(rows_frame(arms(RISING[:5], LOWER[:5])))
    assert (found.verdict, found.p, found.num_more_seeds) == ("undecided", pytest.approx(2 / e_of_ones(5)), 1)


def test_claim_without_a_finished_seed_is_undecided(rows_frame: RowsFrame):
    found = only(rows_frame(arms([None], [None])))
    assert (found.verdict, found.p, found.smallest_p, found.num_more_seeds) == ("undecided", 1.0, 1.0, None)
    assert (found.estimate, found.low, found.num_planned) == (None, None, 1)


def test_claim_whose_seeds_are_as_the_bound_has_no_number_of_seeds_in_sight(rows_frame: RowsFrame):
    found = only(rows_frame(arms([0.9, 0.1], [0.5, 0.5])))
    assert (found.verdict, found.estimate, found.num_more_seeds) == ("undecided", 0.5, None)


def test_claim_that_seeds_like_those_found_settle_is_settled_by_them(rows_frame: RowsFrame):
    text = "subnetwork beats random_subnetwork by 0.05 at n = 100"
    found = only(rows_frame(arms(RISING, LOWER)), text)
    assert found.num_more_seeds is not None
    again = (RISING * 99)[: 6 + found.num_more_seeds], (LOWER * 99)[: 6 + found.num_more_seeds]
    assert only(rows_frame(arms(*map(list, again))), text).verdict == "holds"  # type: ignore[arg-type]
    one_less = [each[:-1] for each in again]
    assert only(rows_frame(arms(*map(list, one_less))), text).verdict == "undecided"  # type: ignore[arg-type]


def test_claim_with_a_margin_counts_the_seeds_above_it(rows_frame: RowsFrame):
    """Differences are 0.1, 0.11, 0.14, 0.14, 0.17 and 0.2, the first of them a little less in floats."""
    rows = rows_frame(arms(RISING, LOWER))
    form = "subnetwork beats random_subnetwork by {} in most seeds at n = 100"
    assert only(rows, form.format(0.09)).verdict == "holds"
    assert only(rows, form.format(0.1)).estimate == 5 / 6
    assert only(rows, form.format(0.5)).verdict == "fails"


def test_claim_that_most_seeds_match_holds_inside_its_bounds_and_fails_outside(rows_frame: RowsFrame):
    rows = rows_frame(arms([*RISING, 0.85, 0.87], [each + 0.001 for each in [*RISING, 0.85, 0.87]]))
    form = "subnetwork matches random_subnetwork within {} in most seeds at n = 100"
    assert only(rows, form.format(0.01)).verdict == "holds"
    assert only(rows, form.format(0.001)).verdict == "holds"
    assert only(rows, form.format(0.0005)).verdict == "fails"


def test_claim_of_a_mean_that_matches_takes_both_bounds_to_hold_and_one_to_fail(rows_frame: RowsFrame):
    rows = rows_frame(arms([0.6, 0.62, 0.61, 0.6] * 4, [0.6, 0.61, 0.62, 0.6] * 4))
    assert only(rows, "subnetwork matches random_subnetwork within 0.5 at n = 100").verdict == "holds"
    assert only(rows, "subnetwork matches random_subnetwork within 0.02 at n = 100").verdict == "undecided"
    far = rows_frame(arms([0.9] * 16, [0.1] * 16))
    found = only(far, "subnetwork matches random_subnetwork within 0.02 at n = 100")
    assert (found.verdict, found.estimate) == ("fails", pytest.approx(0.8))


def test_claim_of_a_mean_is_decided_where_the_gap_is_wide(rows_frame: RowsFrame):
    """A bet on (0.9 − 0.1 + 1) / 2 = 0.9 against 0.5 grows by 1.8 a seed at most."""
    rows = rows_frame(arms([0.9] * 8, [0.1] * 8))
    assert only(rows, "subnetwork beats random_subnetwork at n = 100").verdict == "holds"
    assert only(rows, "subnetwork beats random_subnetwork by 0.5 on average at n = 100").verdict == "undecided"
    assert only(rows, "random_subnetwork reaches 0.9 at n = 100").verdict == "fails"


def test_claim_of_a_mean_does_not_hold_because_a_rare_failure_was_not_drawn(rows_frame: RowsFrame):
    """Nine runs in ten are at 0.97 and one at 0.27: half of all samples of six runs have no failure."""
    draws = np.random.default_rng(0)
    for _ in range(30):
        accuracies = [float(each) for each in draws.choice([0.97, 0.27], 6, p=[0.9, 0.1])]
        rows = rows_frame([transfer("subnetwork", each, seed=seed) for seed, each in enumerate(accuracies)])
        assert only(rows, "subnetwork reaches 0.9 at n = 100").verdict != "holds"


def test_claim_of_a_mean_does_not_match_because_a_rare_gap_was_not_drawn(rows_frame: RowsFrame):
    """The mean difference is 0.05: one seed in ten differs by 0.5, the others by next to nothing."""
    draws = np.random.default_rng(0)
    for _ in range(30):
        gaps = draws.choice([0.0, 0.5], 8, p=[0.9, 0.1]) + draws.normal(0, 0.003, 8)
        rows = rows_frame(arms([0.9] * 8, [float(0.9 - gap) for gap in gaps]))
        assert only(rows, "subnetwork matches random_subnetwork within 0.02 at n = 100").verdict != "holds"


def test_claim_leaves_out_a_seed_that_one_arm_lacks(rows_frame: RowsFrame):
    found = only(rows_frame(arms(RISING, [*LOWER[:5], None])))
    assert (found.verdict, found.num_seeds, found.num_planned) == ("undecided", 5, 6)


def test_claims_of_a_grid_share_the_error_evenly(rows_frame: RowsFrame):
    claims = [parsed(BEATS), parsed("subnetwork reaches 0.5 in most seeds at n = 100")]
    rows = rows_frame(arms(RISING, LOWER))
    found = judged(claims, rows)
    assert [each.adjusted_p for each in found] == pytest.approx([2 * 2 / e_of_ones(6)] * 2)
    assert [each.verdict for each in found] == ["undecided", "undecided"]
    assert judged(claims[:1], rows)[0].verdict == "holds"
    (part,) = judged(claims[:1], rows, num_claims=3)
    assert (part.verdict, part.adjusted_p) == ("undecided", pytest.approx(3 * 2 / e_of_ones(6)))


@pytest.mark.parametrize("text", [BEATS, "subnetwork reaches 0.9 at n = 100", "subnetwork reaches 0.2 at n = 100"])
@pytest.mark.parametrize("num_claims", [1, 3])
def test_claim_cannot_be_decided_with_less_than_its_fewest_seeds(rows_frame: RowsFrame, text: str, num_claims: int):
    fewest = fewest_seeds(parsed(text), num_claims=num_claims)
    for first, second in (([1.0], [0.0]), ([0.0], [1.0])):
        rows = rows_frame(arms(first * (fewest - 1), second * (fewest - 1)))  # type: ignore[arg-type]
        (found,) = judged([parsed(text)], rows, num_claims=num_claims)
        assert found.verdict == "undecided"
    ends = [rows_frame(arms([end] * fewest, [1 - end] * fewest)) for end in (0.0, 1.0)]
    verdicts = {judged([parsed(text)], rows, num_claims=num_claims)[0].verdict for rows in ends}
    assert verdicts - {"undecided"}


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
    carried = {b"claims": json.dumps([BEATS, "subnetwork beats nothing at n = 1"]).encode()}
    pq.write_table(table.replace_schema_metadata(carried), path)
    assert [each.text for each in of_rows(path)] == [BEATS, "subnetwork beats nothing at n = 1"]
    write_report(path, tmp_path / "report")
    written = pd.read_csv(tmp_path / "report" / "claims.csv")
    assert written[["claim", "hypothesis", "verdict"]].to_numpy().tolist() == [
        [BEATS, hypothesis(parsed(BEATS)), "undecided"]
    ]
    assert written["adjusted_p"].to_list() == pytest.approx([2 * written["p"][0]])
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Not judged" in page
    assert "2 claim(s) of the grid share it evenly (Bonferroni)" in page
    assert hypothesis(parsed(BEATS)) in page
