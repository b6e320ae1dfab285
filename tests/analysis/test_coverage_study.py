"""The table of coverage in the documentation: what stands there is what the study finds."""

from pathlib import Path

import numpy as np
import pytest

from analysis.studies.coverage import BEGIN, END, NUM_SEEDS, RULES, SHAPES, accuracies, study, true_mean, write
from tests.conftest import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "statistics.md"


def documented() -> dict[tuple[str, str], list[float]]:
    table = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "%" in line]
    return {(rule, shape): [float(share.rstrip("%")) / 100 for share in shares] for rule, shape, *shares in cells[:-1]}


def test_documented_table_has_every_rule_on_every_shape():
    table = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(RULES) * len(SHAPES)
    assert all(line.count("|") == 3 + len(NUM_SEEDS) for line in rows)


def test_t_interval_of_normal_data_is_documented_at_its_nominal_coverage():
    assert documented()["mean: t", "normal"] == pytest.approx([0.95] * len(NUM_SEEDS), abs=0.02)


def test_t_interval_of_bimodal_data_is_documented_as_missing_where_all_seeds_are_of_one_mode():
    """Three values of one mode have an interval around that mode: the closed form of how often that happens."""
    of_one_mode = 0.7**3 + 0.3**3
    assert documented()["mean: t", "bimodal"][0] == pytest.approx(1 - of_one_mode, abs=0.04)


def test_study_of_few_repetitions_is_near_the_documented_one():
    found = {(each.rule, each.shape): each.shares for each in study(num_repetitions=30)}
    assert found.keys() == {(rule, shape) for rule in RULES for shape in SHAPES}
    for key, shares in documented().items():
        assert found[key] == pytest.approx(shares, abs=0.3)


@pytest.mark.parametrize("shape", SHAPES)
def test_simulated_accuracies_have_the_true_mean(shape: str):
    drawn = accuracies(shape, (100_000,), np.random.default_rng(0))  # type: ignore[arg-type]
    assert drawn.mean() == pytest.approx(true_mean(shape), abs=0.004)  # type: ignore[arg-type]


def test_table_is_refused_by_a_file_without_marks(tmp_path: Path):
    path = tmp_path / "plain.md"
    path.write_text("no marks")
    with pytest.raises(ValueError, match="between which the table goes"):
        write(path, num_repetitions=1)
