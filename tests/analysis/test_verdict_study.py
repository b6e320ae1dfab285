"""The tables of verdicts in the documentation: what stands there is what the study finds, and within the level."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analysis.rows.claims import ALPHA
from analysis.studies.verdicts import BEGIN, END, FALSE, MOST_SEEDS, NUM_SEEDS, TRUE, Case, study, upper_bound, write
from tests.conftest import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "statistics.md"
NUM_REPETITIONS = 200


def documented() -> tuple[list[list[str]], list[list[str]], int]:
    """The rows of both tables, and the number of repetitions."""
    text = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    tables = [
        [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in part.splitlines()
            if "%" in line and "|" in line
        ]
        for part in text.split("True verdicts")
    ]
    repetitions = re.search(r"([\d,]+) repetitions", text)
    assert repetitions is not None
    return tables[0], tables[1], int(repetitions[1].replace(",", ""))


def share(written: str) -> float:
    return float(written.rstrip("%")) / 100


def test_documented_rate_of_false_verdicts_is_at_most_the_level_in_every_row():
    """Also its upper bound, so that the simulation's own error is counted in."""
    rows, _, _ = documented()
    assert [row[:2] for row in rows] == [[case.claim, case.data] for case in FALSE]
    assert all(share(each) <= ALPHA for row in rows for each in row[2:])


def test_documented_upper_bounds_are_those_of_the_documented_rates():
    rows, _, num_repetitions = documented()
    for row in rows:
        num = round(share(row[-2]) * num_repetitions)
        exact = stats.binomtest(num, num_repetitions, alternative="less").proportion_ci(0.95, method="exact").high
        assert upper_bound(num, num_repetitions) == pytest.approx(exact, abs=1e-9)
        assert share(row[-1]) == pytest.approx(exact, abs=2e-4)


def test_documented_true_verdicts_are_of_every_case():
    _, rows, _ = documented()
    assert [row[:3] for row in rows] == [[case.claim, case.data, case.counted] for case in TRUE]


def test_study_of_few_repetitions_agrees_with_the_documented_false_verdicts():
    """Each count of a rerun is one that the documented rate gives with a chance above one in 10,000."""
    rows, _, _ = documented()
    for row, found in zip(rows, study(FALSE, num_repetitions=NUM_REPETITIONS), strict=True):
        for num, written in zip((*found.at, found.by[-1]), row[2:-1], strict=True):
            assert stats.binomtest(num, NUM_REPETITIONS, max(share(written), 1e-4)).pvalue > 1e-4, (row, num)


def test_study_of_few_repetitions_agrees_with_the_documented_true_verdicts():
    _, rows, _ = documented()
    for row, found in zip(rows, study(TRUE, num_repetitions=NUM_REPETITIONS), strict=True):
        for num, written in zip((*found.at, *found.by[1:]), row[3:], strict=True):
            likely = min(max(share(written), 0.005), 0.995)
            assert stats.binomtest(num, NUM_REPETITIONS, likely).pvalue > 1e-4, (row, num)


def test_study_of_a_share_of_a_half_equals_the_exact_chance():
    """A claim about a coin: the chance of any verdict at n, summed over the binomial distribution."""
    (case,) = [each for each in FALSE if each.claim == "a reaches 0.9 in most seeds"]
    (found,) = study((case,), num_repetitions=4_000)
    for num, count in zip(NUM_SEEDS[:3], found.at[:3], strict=True):
        exact = sum(
            stats.binom.pmf(wins, num, 0.5) for wins in range(num + 1) if capital(max(wins, num - wins), num) >= 40
        )
        assert stats.binomtest(count, 4_000, exact).pvalue > 1e-3


def capital(num_won: int, num: int) -> float:
    """Of bets on a half: half bets whole, half over all fractions, by the incomplete beta function."""
    tail = stats.beta.sf(0.5, num_won + 1, num - num_won + 1) / ((num + 1) * math.comb(num, num_won))
    return float(2.0**num * tail + (2.0**num / 2 if num_won == num else 0.0))


@pytest.mark.parametrize("case", FALSE, ids=lambda case: f"{case.claim}: {case.data}")
def test_simulated_seeds_have_what_their_row_says(case: Case):
    """At a bound the claim's own mean or share, else beyond it."""
    drawn = case.draw(np.random.default_rng(0), (100_000, 1))
    words = case.claim.split()
    margin = next((float(word) for word in words if re.fullmatch(r"0\.\d+", word)), 0.0)
    if "average" in words:
        found, bound = drawn.mean(), margin
        if words[1] == "matches":
            found = abs(found)
    else:
        event = {"beats": drawn > margin, "matches": abs(drawn) <= margin, "reaches": drawn >= margin}[words[1]]
        found, bound = event.mean(), 0.8 if "80%" in words else 0.5
    match case.counted:
        case "any":
            assert found == pytest.approx(bound, abs=0.006)
        case "holds":
            assert found < bound or (words[1] == "matches" and found > bound)
        case "fails":
            assert found > bound


def test_study_from_the_same_repetitions_has_the_same_counts():
    first, second = (list(study(FALSE[:2], num_repetitions=50)) for _ in range(2))
    assert first == second
    assert first[0].by[-1] >= first[0].at[-1]
    assert NUM_SEEDS[-1] == MOST_SEEDS


def test_tables_are_refused_by_a_file_without_marks(tmp_path: Path):
    path = tmp_path / "plain.md"
    path.write_text("no marks")
    with pytest.raises(ValueError, match="between which the table goes"):
        write(path, num_repetitions=1)
