"""From real runs on digits, images and arithmetic to rows, params of the mirror, and the page."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from analysis import load, write_report
from analysis.rows import images, recipients
from subind.computing import compute
from subind.identity.run_ids import run_id
from subind.measurements.per_class import PerClass
from subind.specs.digits import DigitsTask
from subind.specs.mask_methods import ContinuousSparsification
from subind.specs.networks import MLP
from subind.specs.optimizers import AdamW, NoClip
from subind.specs.rows import Part
from subind.specs.runs import Discover, Measure, Train, Transfer
from subind.specs.starts import FullTransfer, RandomInit, Start, Subnetwork
from subind.specs.temperature import TemperatureSchedule
from subind.specs.training import LastEpoch, NoEarlyStop, UniformFanIn, highest
from subind.store.store import Store
from sweeps.exporting.rows import export
from sweeps.mirror.content import metric_name, name, params, points
from sweeps.planning.plan import accounts
from tests.specs import tiny_transfer
from tests.vision_specs import RESNET, image_donor, image_mask, image_transfer

NETWORK = MLP(widths=(16,))
ADAM = AdamW(learning_rate=1e-2, weight_decay=0.0, schedule="constant", clip=NoClip())
ROWS = (Part(name="digits", num_samples=200),)


def task(label: Any) -> DigitsTask:
    return DigitsTask(label_of=label, num_outputs=10, evaluation_share=0.4, data_seed=0)


def donor(seed: int) -> Train:
    return Train(
        task=task("digit"),
        model=NETWORK,
        rows=ROWS,
        num_evaluation_samples=100,
        optimizer=ADAM,
        batch_size=50,
        num_epochs=2,
        kept_epoch=LastEpoch(),
        stopping=NoEarlyStop(),
        seed=seed,
        precision="float32",
    )


def mask(seed: int) -> Discover:
    schedule = TemperatureSchedule(name="exponential", final=100.0)
    return Discover(
        donor=donor(seed),
        task=task("parity"),
        rows=ROWS,
        num_evaluation_samples=100,
        method=ContinuousSparsification(initial_logit=0.1, penalty=1e-6, temperature=schedule),
        optimizer=ADAM,
        batch_size=50,
        num_epochs=2,
        kept_epoch=LastEpoch(),
        seed=seed,
        precision="float32",
    )


def recipient(start: Start, seed: int, *, num_samples: int) -> Transfer:
    return Transfer(
        start=start,
        task=task("parity"),
        rows=(Part(name="digits", num_samples=num_samples),),
        num_evaluation_samples=100,
        fresh_weights=UniformFanIn(),
        optimizer=ADAM,
        batch_size=10,
        num_epochs=2,
        kept_epoch=highest("validation_accuracy", ties="last"),
        stopping=NoEarlyStop(),
        seed=seed,
        precision="float32",
    )


CELLS = tuple(
    recipient(start, seed, num_samples=num)
    for seed in (0, 1)
    for num in (20, 50, 100)
    for start in (Subnetwork(mask=mask(seed)), FullTransfer(donor=donor(seed)), RandomInit(model=NETWORK))
)


ASKED = tuple(
    Measure(of=cell, measurement=PerClass(task=task("parity"), num_evaluation_samples=100), seed=0, precision="float32")
    for cell in CELLS
    if cell.rows[0].num_samples == 20
)
GRID = (*CELLS, *ASKED)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """All cells finished, and what is asked of some."""
    made = Store(str(tmp_path_factory.mktemp("digits") / "store"))
    for cell in GRID:
        compute(cell, store=made)
    return made


@pytest.fixture(scope="module")
def rows(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = accounts("digits", GRID, finished=store.finished(), failed=())
    return export(plan, store, tmp_path_factory.mktemp("rows") / "digits.parquet")


def test_rows_have_the_task_its_fields_and_every_measurement(store: Store, rows: Path) -> None:
    by_id = {row["run_id"]: row for row in pq.read_table(rows).to_pylist()}
    cell = CELLS[0]
    row, record = by_id[run_id(cell)], store.record(cell)
    assert (row["task"], row["model"], row["control"]) == ("parity", "mlp_16", "subnetwork")
    assert dict(row["fields"])["num_digits"] == "20"
    assert dict(row["measurements"]) == dict(record.measurements)
    assert row["test_accuracy"] == record.measurements["test_accuracy"]
    assert row["parent_ids"] == [run_id(mask(0)), run_id(donor(0))]
    assert row["density"] == store.record(mask(0)).measurements["density"]
    assert row["is_kept"]


def test_page_compares_the_starts_over_the_numbers_of_digits(rows: Path, tmp_path: Path) -> None:
    page = write_report(rows, tmp_path / "report").read_text()
    assert "Recipients learn parity; network mlp_16; 3 start(s), 2 seed(s)." in page
    for num in (20, 50, 100):
        assert f"digits {num}: highest mean test accuracy" in page
    table = pq.read_table(tmp_path / "report" / "starts.parquet").to_pandas()
    cells = {cell: table[(table["num_digits"] == cell) & (table["start"] == "subnetwork")] for cell in (20, 50, 100)}
    found = pq.read_table(rows).to_pandas()
    own = found[(found["stage"] == "transfer") & (found["control"] == "subnetwork")]
    for num, row in cells.items():
        values = [dict(each)["num_digits"] == str(num) for each in own["fields"]]
        assert row["mean"].item() == pytest.approx(own[values]["test_accuracy"].mean())


def test_page_has_what_was_asked_by_start(store: Store, rows: Path, tmp_path: Path) -> None:
    page = write_report(rows, tmp_path / "report").read_text()
    assert "<h2>Measurements</h2>" in page
    table = pq.read_table(tmp_path / "report" / "measurements.parquet").to_pandas()
    assert list(dict.fromkeys(table["start"])) == ["subnetwork", "full transfer", "random init"]
    for start, part in table.groupby("start"):
        own = [each for each in ASKED if each.columns()["control"].replace("_", " ") == start]
        values = [store.record(each).measurements for each in own]
        for value, mean, number in zip(part["name"], part["mean"], part["num_finished"], strict=True):
            known = [each[value] for each in values if value in each]
            assert (mean, number) == (pytest.approx(sum(known) / len(known)), len(known))


def test_mirror_of_a_run_has_params_and_points_of_its_task(store: Store) -> None:
    cell = CELLS[0]
    found = params(cell)
    expected = {"task": "parity", "label_of": "parity", "model": "mlp_16", "control": "subnetwork", "num_digits": "20"}
    assert {name: found.get(name) for name in expected} == expected
    assert found["mask_learning_rate"] == found["donor_learning_rate"] == "0.01"
    assert name(cell) == "subnetwork-mlp_16-n20-seed0"
    record = store.record(cell)
    logged = {(point.name, point.step): point.value for point in points(record)}
    for place, epoch in enumerate(record.curves["epoch"]):
        assert logged["curve/validation_loss", int(epoch)] == record.curves["validation_loss"][place]
    for key, value in record.measurements.items():
        is_part = "." in key and key.partition(".")[0] in record.measurements
        assert logged.get((metric_name(key), 0)) == (None if is_part else value)


def test_rows_of_images_have_the_sections_of_images(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    mask_of_images = image_mask(image_donor(RESNET))
    cells = [image_transfer(start, mask_of_images) for start in ("subnetwork", "random_init", "data_mixture")]
    for cell in cells:
        compute(cell, store=store)
    plan = accounts("images", cells, finished=store.finished(), failed=())
    path = export(plan, store, tmp_path / "images.parquet")
    assert recipients.rows(path).empty
    assert sorted(images.rows(path)["start"].dropna()) == [
        "data mixture, 40% mean-pooled", "donor", "random init", "subnetwork",
    ]  # fmt: skip
    page = write_report(path, tmp_path / "report").read_text()
    assert "Table 1: accuracy and shape bias by model and start" in page
    assert "First layers of the masks" in page
    assert "Which start wins" not in page


def test_rows_of_arithmetic_have_the_sections_of_arithmetic(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    cells = [tiny_transfer(start) for start in ("subnetwork", "random_init")]
    for cell in cells:
        compute(cell, store=store)
    plan = accounts("arithmetic", cells, finished=store.finished(), failed=())
    path = export(plan, store, tmp_path / "arithmetic.parquet")
    assert recipients.rows(path).empty
    assert set(load(path)["stage"]) == {"donor", "mask", "transfer"}
    page = write_report(path, tmp_path / "report").read_text()
    assert "Test accuracy against disambiguation samples" in page
    assert "Which start wins" not in page
