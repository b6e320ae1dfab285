"""Audit, anatomy and overlap, from counts made by hand."""

from collections.abc import Callable
from math import sqrt

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.sections import anatomy, audit, discovery, masks_by_depth, overlap
from tests.analysis.rows import Row, donor, mask, transfer

RowsFrame = Callable[[list[Row]], pd.DataFrame]


def recipient(control: str, *, inherited: int, frozen: int, inside: int, seed: int = 0) -> Row:
    """A recipient with one matrix of 100 weights, 10 of them in the subnetwork."""
    return {
        "run_id": f"{control}-{seed}",
        "mask_id": "mask",
        "control": control,
        "matrix": "h.0.mlp.c_fc.weight",
        "num_layers": 2,
        "seed": seed,
        "num_weights": 100,
        "num_subnetwork": 10,
        "num_inherited": inherited,
        "num_frozen": frozen,
        "num_subnetwork_inherited": inside,
        "num_subnetwork_frozen": inside if frozen else 0,
    }


def test_audit_gives_the_shares_that_are_counted_beside_those_that_were_recorded(rows_frame: RowsFrame):
    rows = rows_frame([transfer("random_as_released", 0.5, kept_fraction=0.9, frozen_fraction=0.9)])
    counted = pd.DataFrame([recipient("random_as_released", inherited=90, frozen=90, inside=8)])
    row = audit.table(rows, counted).iloc[0]
    assert row[["inherited_share", "frozen_share", "contained_share"]].to_list() == [0.9, 0.9, 0.8]
    assert row[["expected_contained_share", "size_ratio", "recorded_frozen_share"]].to_list() == [0.9, 9.0, 0.9]


def test_audit_says_of_a_random_set_that_it_is_many_times_too_large(rows_frame: RowsFrame):
    rows = rows_frame([transfer("random_as_released", 0.5), transfer("random_subnetwork", 0.5)])
    counted = pd.DataFrame(
        [
            recipient("random_as_released", inherited=90, frozen=90, inside=8),
            recipient("random_subnetwork", inherited=10, frozen=10, inside=1),
        ]
    )
    (said,) = audit.sentences(audit.table(rows, counted))
    assert said.startswith(
        "random as released at depth 2 keeps 90.0% of the donor frozen, 9 times the subnetwork's size"
    )
    assert said.endswith("80.0% of the subnetwork itself is among it.")


def test_audit_tells_how_many_of_the_planned_starts_were_counted(rows_frame: RowsFrame):
    rows = rows_frame([transfer("subnetwork", 0.5, samples=n, seed=seed) for n in (10, 100) for seed in (0, 1, 2)])
    counted = pd.DataFrame([recipient("subnetwork", inherited=10, frozen=10, inside=10, seed=seed) for seed in (0, 1)])
    assert audit.shown(audit.table(rows, counted))["starts counted / planned"].to_list() == ["2 / 3"]


def part(mask_id: str, name: str, head: int | None, kept: int) -> Row:
    return {
        "mask_id": mask_id,
        "matrix": "m",
        "part": name,
        "layer": 0,
        "num_weights": 50,
        "num_kept": kept,
        "head": head,
    }


def test_anatomy_has_heads_and_their_sum_and_the_range_over_masks(rows_frame: RowsFrame):
    rows = rows_frame([mask(1.0, density=0.1), mask(1.0, density=0.1, seed=1)])
    counts = [part("mask-2-0", "query", 0, 5), part("mask-2-0", "query", 1, 15), part("mask-2-1", "query", 0, 10)]
    counts += [part("mask-2-1", "query", 1, 10)]
    parts = pd.DataFrame(counts).astype({"head": "Int64"})
    table = anatomy.table(rows, parts)
    assert table["head"].to_list() == [pd.NA, 0, 1]
    expected = np.array([[0.2, 0.2, 0.2], [0.15, 0.1, 0.2], [0.25, 0.2, 0.3]])
    assert table[["density", "lowest", "highest"]].to_numpy(float) == pytest.approx(expected)
    assert table["num_masks"].to_list() == [2, 2, 2]


def test_overlap_is_held_against_the_hypergeometric_distribution(rows_frame: RowsFrame):
    rows = rows_frame([mask(1.0, density=0.1), mask(1.0, density=0.1, seed=1, parent_id="donor-2-0")])
    sizes = [(100, 10, 20, 6), (50, 5, 10, 1)]
    pairs = pd.DataFrame(
        [
            {"first_id": "mask-2-0", "second_id": "mask-2-1", "matrix": str(place)}
            | dict(zip(("num_weights", "num_first", "num_second", "num_both"), each, strict=True))
            for place, each in enumerate(sizes)
        ]
    )
    (row,) = overlap.table(rows, pairs).to_dict("records")
    draws = [stats.hypergeom(n, first, second) for n, first, second, _ in sizes]
    chance = sum(each.mean() for each in draws)
    deviation = sqrt(sum(each.var() for each in draws))
    assert row["relation"] == "same donor, same subtask"
    assert row["overlap"] == pytest.approx(7 / 15)
    assert row["expected_overlap"] == pytest.approx(chance / 15)
    assert row["deviations"] == pytest.approx((7 - chance) / deviation)
    assert row["jaccard"] == pytest.approx(7 / (15 + 30 - 7))


def test_masks_by_depth_counts_the_masks_that_were_found(rows_frame: RowsFrame):
    rows = [donor(0.9), mask(1.0, density=0.05), mask(0.5, density=0.07, seed=1, parent_id="donor-2-0")]
    rows.append(mask(None, seed=2))
    (row,) = masks_by_depth.table(rows_frame(rows)).to_dict("records")
    assert (row["num_planned"], row["num_finished"], row["num_found"]) == (3, 2, 1)
    assert (row["density"], row["subtask_accuracy"], row["donor_accuracy"]) == pytest.approx((0.06, 0.75, 0.9))
    assert row["published_density"] == "below 0.1"


def test_discovery_contrasts_trained_with_untrained_donors(rows_frame: RowsFrame):
    rows = [mask(0.9 + 0.01 * seed, density=0.1, seed=seed, donor_kind="trained") for seed in range(3)]
    rows += [mask(0.2, density=0.3, seed=seed, donor_kind="untrained", run_id=f"random-{seed}") for seed in range(2)]
    (row,) = discovery.table(rows_frame(rows)).to_dict("records")
    assert (row["trained_finished"], row["untrained_finished"]) == (3, 2)
    assert row["difference"] == pytest.approx(0.71)
    assert row["improvement"] == 1.0


def test_discovery_without_untrained_donors_is_empty(rows_frame: RowsFrame):
    assert discovery.table(rows_frame([mask(0.9, density=0.1, donor_kind="trained")])).empty
