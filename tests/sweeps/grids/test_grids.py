"""The grids hold what their experiments say: counts, order, shared data, and every number of the protocol."""

import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from subind.identity.run_ids import encoded, run_id
from subind.specs.run import steps_per_epoch
from subind.specs.runs import Discover, Transfer
from subind.specs.starts import RandomInit
from sweeps import grids
from sweeps.grids import protocol
from tests.specs import CONTROL_NAMES

OF_ARITHMETIC = [name for name in grids.NAMES if "vision" not in name]
DEPTH_2_MODEL = {"class": "GPT2", "version": 1, "num_layers": 2, "d_model": 128, "num_heads": 4, "dropout": 0.1}
TASK = {
    "class": "ArithmeticTask",
    "version": 1,
    "modulus": 7,
    "num_integers": 1000,
    "num_operands": 2,
    "num_operations": 1,
    "operation": 0,
    "loss": "all_predicted",
    "rivals": [],
}
DEPTH_2_DONOR = {
    "class": "Train",
    "task": {**TASK, "rule": "a + a * b"},
    "model": DEPTH_2_MODEL,
    "rows": [{"class": "Part", "name": "unambiguous", "num_samples": 200000}],
    "num_evaluation_samples": 1000,
    "weights": {"class": "FreshWeights"},
    "held": "nothing",
    "optimizer": {
        "class": "AdamW",
        "learning_rate": 0.0005,
        "weight_decay": 0.0,
        "schedule": "linear_decay",
        "clip": {"class": "ClipNorm", "max_norm": 1.0},
    },
    "batch_size": 50,
    "num_epochs": 50,
    "kept_epoch": {"class": "BestEpoch", "curve": "validation_loss", "best": "lowest", "ties": "first"},
    "stopping": {"class": "EarlyStop", "patience": 10},
    "evaluations_per_epoch": 1,
    "teacher": {"class": "NoTeacher"},
    "second_task": {"class": "NoSecondTask"},
    "seed": 3,
    "precision": "float32",
}
DEPTH_2_MASK = {
    "class": "Discover",
    "donor": DEPTH_2_DONOR,
    "task": {**TASK, "rule": "a * b"},
    "rows": [{"class": "Part", "name": "unambiguous", "num_samples": 50000}],
    "num_evaluation_samples": 1000,
    "method": {
        "class": "ContinuousSparsification",
        "version": 1,
        "initial_logit": -0.1,
        "penalty": 1e-7,
        "temperature": {"class": "TemperatureSchedule", "name": "as_released", "final": 100.0},
    },
    "beside": [],
    "statistics": "donor",
    "optimizer": {
        "class": "AdamW",
        "learning_rate": 0.001,
        "weight_decay": 0.01,
        "schedule": "constant",
        "clip": {"class": "NoClip"},
    },
    "batch_size": 500,
    "num_epochs": 50,
    "kept_epoch": {"class": "BestEpoch", "curve": "subtask_accuracy", "best": "highest", "ties": "last"},
    "seed": 3,
    "precision": "float32",
    "validation": {"class": "OwnValidation"},
}
DEPTH_2_TRANSFER = {
    "class": "Transfer",
    "start": {"class": "RandomInit", "version": 1, "model": DEPTH_2_MODEL},
    "task": {**TASK, "rule": "a ** 2 + a * b", "rivals": ["2 * a ** 2", "2 * b ** 2"]},
    "rows": [
        {"class": "Part", "name": "ambiguous", "num_samples": 1000},
        {"class": "Part", "name": "disambiguation", "num_samples": 250},
    ],
    "num_evaluation_samples": 1000,
    "fresh_weights": {"class": "Normal", "std": 0.02},
    "frozen": {"class": "FrozenAlways"},
    "held": "nothing",
    "optimizer": {
        "class": "AdamW",
        "learning_rate": 0.0002,
        "weight_decay": 0.01,
        "schedule": "constant",
        "clip": {"class": "NoClip"},
    },
    "batch_size": 50,
    "num_epochs": 100,
    "kept_epoch": {"class": "BestEpoch", "curve": "validation_accuracy", "best": "highest", "ties": "last"},
    "evaluations_per_epoch": 1,
    "stopping": {"class": "NoEarlyStop"},
    "teacher": {"class": "NoTeacher"},
    "second_task": {"class": "NoSecondTask"},
    "seed": 3,
    "precision": "float32",
}
TIMED = (
    "import time; from sweeps import grids; from subind.identity.run_ids import run_id; start = time.process_time(); "
    "len({run_id(each) for each in grids.read_grid('paper-arithmetic').cells}); print(time.process_time() - start)"
)


def _with_parents(cells: tuple[Transfer, ...]) -> Counter[str]:
    """The number of different runs of each class, the cells and all that they descend from."""
    found = set(cells) | {parent for cell in cells for parent in cell.parents()}
    found |= {parent for run in found for parent in run.parents()}
    ids = {run_id(run): type(run).__name__ for run in found}
    return Counter(ids.values())


def _cells(name: str) -> dict[tuple[int, int, int], list[Transfer]]:
    """The transfers of a grid by depth, seed and number of disambiguation samples."""
    found = defaultdict(list)
    for each in grids.read_grid(name).cells:
        found[each.network.num_layers, each.seed, each.rows[1].num_samples].append(each)
    return found


def test_donor_at_depth_2_has_the_numbers_of_the_protocol() -> None:
    assert encoded(protocol.donor(2, seed=3)) == DEPTH_2_DONOR


def test_mask_at_depth_2_has_the_numbers_of_the_protocol() -> None:
    assert encoded(protocol.mask(2, seed=3)) == DEPTH_2_MASK


def test_transfer_at_depth_2_has_the_numbers_of_the_protocol() -> None:
    random_init = RandomInit(model=protocol.network(2))
    assert encoded(protocol.transfer(random_init, num_disambiguation=250, seed=3)) == DEPTH_2_TRANSFER


def test_donor_at_depth_12_takes_2000_steps_an_epoch_and_others_4000() -> None:
    steps = {depth: steps_per_epoch(protocol.donor(depth, seed=0)) for depth in protocol.DEPTHS}
    assert steps == {2: 4000, 4: 4000, 6: 4000, 8: 4000, 10: 4000, 12: 2000}


def test_donor_at_depth_12_differs_from_depth_2_in_depth_and_batch_only() -> None:
    deep = protocol.donor(12, seed=0)
    assert replace(deep, model=protocol.network(2), batch_size=50) == protocol.donor(2, seed=0)


def test_mask_at_depth_8_has_twice_the_learning_rate_of_the_others() -> None:
    rates = {depth: protocol.mask(depth, seed=0).optimizer.learning_rate for depth in protocol.DEPTHS}
    assert rates == {2: 1e-3, 4: 1e-3, 6: 1e-3, 8: 2e-3, 10: 1e-3, 12: 1e-3}


def test_controls_of_a_mask_are_the_nine_of_the_protocol() -> None:
    assert tuple(each.name for each in protocol.starts(protocol.mask(2, seed=0))) == CONTROL_NAMES


def test_paper_arithmetic_is_the_whole_product_of_its_axes() -> None:
    counts = (0, 10, 16, 25, 40, 64, 100, 160, 250, 400, 640, 1000, 1600, 2500, 4000, 6400, 10000)
    expected = [
        (depth, seed, count, name)
        for depth in (2, 4, 6, 8, 10, 12)
        for seed in (0, 1, 2, 3, 4)
        for count in counts
        for name in CONTROL_NAMES
    ]
    found = [
        (each.network.num_layers, each.seed, each.rows[1].num_samples, each.start.name)
        for each in grids.read_grid("paper-arithmetic").cells
    ]
    assert found == expected


def test_paper_arithmetic_has_4590_transfers_over_30_donors_and_30_masks() -> None:
    assert _with_parents(grids.read_grid("paper-arithmetic").cells) == {"Transfer": 4590, "Discover": 30, "Train": 30}


def test_paper_arithmetic_with_all_run_ids_is_built_in_under_a_second_and_a_half() -> None:
    seconds = subprocess.run([sys.executable, "-c", TIMED], check=True, capture_output=True, text=True).stdout
    assert float(seconds) < 1.5


def test_figure_3_depth_2_is_one_seed_of_all_controls_at_five_sample_counts() -> None:
    expected = [(2, 0, count, name) for count in (10, 100, 250, 1000, 2500) for name in CONTROL_NAMES]
    found = [
        (each.network.num_layers, each.seed, each.rows[1].num_samples, each.start.name)
        for each in grids.read_grid("figure-3-depth-2").cells
    ]
    assert found == expected


def test_figure_3_depth_2_differs_from_paper_arithmetic_in_the_mask_seed_only() -> None:
    cells = grids.read_grid("figure-3-depth-2").cells
    masks = {parent for each in cells for parent in each.parents() if isinstance(parent, Discover)}
    assert {replace(mask, seed=0) for mask in masks} == {protocol.mask(2, seed=0)}
    assert len(masks) == 1
    unmasked = {each for each in cells if not masks & set(each.parents())}
    assert len(unmasked) == 5 * 3
    assert unmasked <= set(grids.read_grid("paper-arithmetic").cells)


def test_quickstart_has_three_seeds_five_controls_and_four_sample_counts_or_more() -> None:
    cells = grids.read_grid("quickstart").cells
    assert len({each.seed for each in cells}) >= 3
    assert len({each.rows[1].num_samples for each in cells}) >= 4
    names = {each.start.name for each in cells}
    assert names >= {"subnetwork", "full_transfer", "random_init", "random_subnetwork", "unmasked_only"}


def test_quickstart_has_one_donor_and_one_mask_a_seed() -> None:
    counts = _with_parents(grids.read_grid("quickstart").cells)
    seeds = {each.seed for each in grids.read_grid("quickstart").cells}
    assert counts["Train"] == counts["Discover"] == len(seeds)


@pytest.mark.parametrize("name", grids.NAMES)
def test_grid_holds_every_run_once(name: str) -> None:
    ids = [run_id(each) for each in grids.read_grid(name).cells]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", OF_ARITHMETIC)
def test_controls_of_a_cell_differ_in_the_control_only(name: str) -> None:
    for cell in _cells(name).values():
        first = cell[0].start
        assert len({replace(each, start=first) for each in cell}) == 1


@pytest.mark.parametrize("name", ["quickstart", "figure-3-depth-2", "paper-arithmetic"])
def test_controls_of_a_cell_are_the_same_in_every_cell(name: str) -> None:
    sets = {tuple(each.start.name for each in cell) for cell in _cells(name).values()}
    assert len(sets) == 1
    assert all(len(set(names)) == len(names) for names in sets)


@pytest.mark.parametrize("name", OF_ARITHMETIC)
def test_controls_of_a_cell_have_one_donor_at_most_and_one_shape(name: str) -> None:
    for cell in _cells(name).values():
        masks = {parent for each in cell for parent in each.parents()}
        donors = {mask for mask in masks if not mask.parents()} | {donor for mask in masks for donor in mask.parents()}
        assert len(donors) == 1
        assert len({each.pack_shape() for each in cell}) == 1


@pytest.mark.parametrize("name", ["quickstart", "paper-arithmetic"])
def test_parents_of_a_transfer_have_its_seed(name: str) -> None:
    for each in grids.read_grid(name).cells:
        assert all(parent.seed == each.seed for parent in each.parents())
        assert all(donor.seed == each.seed for parent in each.parents() for donor in parent.parents())


@pytest.mark.parametrize("name", grids.NAMES)
def test_grid_built_twice_is_the_same(name: str) -> None:
    assert grids.read_grid(name).cells == grids.read_grid(name).cells


def test_unknown_grid_raises_an_error_that_lists_the_names() -> None:
    with pytest.raises(ValueError, match="'figure_3': give one of quickstart, figure-3-depth-2, paper-arithmetic"):
        grids.read_grid("figure_3")
