"""Starts, laws of freezing and measurements that are one file each, in one sweep: union, rescaled donor, frozen for a
number of epochs, additivity.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from tests.end_to_end.sweeps import Ended, Folder, folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

GRID = '''"""Two masks of one donor; five starts, two of them with two laws of freezing; what each network is asked."""

from subind import *

SHARED = dict(num_evaluation_samples=12, num_epochs=3, seed=0, precision="float32")
ADAM = AdamW(learning_rate=1e-2, weight_decay=0.01, schedule="constant", clip=NoClip())
ROWS = (Part(name="unambiguous", num_samples=24),)


def task(rule):
    return ArithmeticTask(rule=rule, modulus=7, num_integers=12)


DONOR = Train(
    task=task("a**2 + a*b + b"), model=GPT2(num_layers=1, d_model=16, num_heads=2, dropout=0.0), rows=ROWS,
    optimizer=ADAM, batch_size=8, kept_epoch=lowest("validation_loss"), stopping=NoEarlyStop(), **SHARED,
)
MASKS = tuple(
    Discover(
        donor=DONOR, task=task(rule), rows=ROWS,
        method=ContinuousSparsification(
            initial_logit=0.01, penalty=1e-5, temperature=TemperatureSchedule(name="exponential", final=100.0)
        ),
        optimizer=ADAM, batch_size=8, kept_epoch=LastEpoch(), **SHARED,
    )
    for rule in ("a*b", "a**2")
)
STARTS = (
    Union(masks=MASKS), Subnetwork(mask=MASKS[0]), RescaledTransfer(donor=DONOR, scale=0.25),
    RescaledTransfer(donor=DONOR, scale=0.5), RandomInit(model=DONOR.network),
)


def recipient(start, frozen=FrozenAlways()):
    return Transfer(
        start=start, task=task("a**2 + a*b"), rows=(Part(name="ambiguous", num_samples=12), Part(name="disambiguation",
        num_samples=12)), fresh_weights=Normal(std=0.02), frozen=frozen, optimizer=ADAM, batch_size=6,
        kept_epoch=LastEpoch(), stopping=NoEarlyStop(), **SHARED,
    )


def grid():
    cells = [*map(recipient, STARTS), *(recipient(start, FrozenFor(num_epochs=2)) for start in STARTS[:2])]
    asked = Additivity(task=task("a**2 + a*b"), num_inputs=100)
    measured = [Measure(of=cell, measurement=asked, seed=0, precision="float32") for cell in (DONOR, *MASKS, *cells)]
    return cells + measured
'''
NUM_RECIPIENTS = 7
NUM_NETWORKS = 1 + 2 + NUM_RECIPIENTS
NUM_RUNS = 2 * NUM_NETWORKS
ARMS = (
    "union", "subnetwork", "rescaled_transfer_0.25", "rescaled_transfer_0.5", "random_init",
    "union_unfrozen_after_2", "subnetwork_unfrozen_after_2",
)  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Folder, Ended]]:
    with folder(tmp_path_factory.mktemp("proofs")) as found:
        (found.path / found.grid).write_text(GRID)
        yield found, found.run("run")


@pytest.fixture(scope="module")
def rows(swept: tuple[Folder, Ended]) -> dict[str, dict[str, Any]]:
    found = pq.read_table(swept[0].path / "results" / "tiny.parquet").to_pylist()
    return {row["run_id"]: row for row in found}


def weights(here: Folder, run: str) -> dict[str, Any]:
    """The weights that a run has left."""
    (path,) = here.records()[run].parent.glob("weights*.safetensors")
    return load_file(path)


def test_sweep_of_all_finishes_every_run(swept: tuple[Folder, Ended]) -> None:
    _, end = swept
    assert (end.status, end.err) == (0, "")
    assert f"{NUM_RUNS} finished, 0 failed, 0 blocked, 0 running, 0 missing" in end.out


def test_recipients_that_are_asked_are_parents_and_leave_weights(
    swept: tuple[Folder, Ended], rows: dict[str, dict[str, Any]]
) -> None:
    asked = {row["parent_ids"][0] for row in rows.values() if row["stage"] == "measurement"}
    assert len(asked) == NUM_NETWORKS
    recipients = {run for run, row in rows.items() if row["stage"] == "transfer"}
    assert recipients < asked
    assert all(weights(swept[0], run) for run in recipients)


def test_rows_have_the_measurement_of_every_network(rows: dict[str, dict[str, Any]]) -> None:
    measured = [row for row in rows.values() if row["stage"] == "measurement"]
    for row in measured:
        values = dict(row["measurements"])
        assert (row["measurement"], row["status"]) == ("additivity", "finished")
        assert values["num_unseen_inputs"] == 100
        assert values["additivity"] <= 1
    assert {row["control"] for row in measured} == {None, *ARMS}


def test_what_a_recipient_keeps_frozen_is_the_donors_only_as_long_as_it_is_frozen(
    swept: tuple[Folder, Ended], rows: dict[str, dict[str, Any]]
) -> None:
    (donor,) = [run for run, row in rows.items() if row["stage"] == "donor"]
    given = weights(swept[0], donor)
    shares = {}
    for run, row in rows.items():
        if row["stage"] == "transfer":
            made = weights(swept[0], run)
            matrices = [name for name in made if name.endswith("c_fc.weight")]
            equal = sum(int((made[name] == given[name]).sum()) for name in matrices)
            shares[row["control"]] = equal / sum(made[name].numel() for name in matrices)
    assert shares.keys() == set(ARMS)
    for start in ("union", "subnetwork"):
        assert shares[f"{start}_unfrozen_after_2"] < 0.02 < 0.1 < shares[start]
    assert shares["subnetwork"] < shares["union"]


def test_page_has_the_starts_and_what_was_measured(swept: tuple[Folder, Ended]) -> None:
    page = (swept[0].path / "reports" / "tiny" / "index.html").read_text()
    assert ">Measurements</h2>" in page
    section = page[page.index(">Measurements</h2>") :]
    for words in ("additivity", "donor", "mask", *(arm.replace("_", " ") for arm in ARMS)):
        assert f">{words}<" in section
    assert "what no column of the rows tells" not in page


def test_status_counts_the_measurements(swept: tuple[Folder, Ended]) -> None:
    assert swept[0].status()["stages"]["measurement"]["finished"] == NUM_NETWORKS
