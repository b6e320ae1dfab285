"""The contact sheet of photographs: the test images of a task, the same mean-pooled, and the published conflicts."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from subind.store.schemas import IMAGE_SCHEMA, picture_table
from subind.tasks.cue_conflict import IMAGENET16
from subind.tasks.photographs import folder as photographs
from sweeps.exporting.contact_sheets import IMAGES_ACROSS, contact_sheet, write_photograph_sheet
from sweeps.planning.plan import accounts
from tests.photograph_specs import NUM_EVALUATION, TASK, photograph_transfer, write_folder
from tests.specs import tiny_transfer


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_folder(tmp_path_factory.mktemp("photographs")))


def test_sheet_shows_test_images_of_several_classes_and_the_same_mean_pooled(images: str) -> None:
    rows = contact_sheet(TASK, num_images=NUM_EVALUATION, folder=images)
    for kind in ("original", "mean_pooled"):
        pixels, labels = photographs.evaluation_images(TASK, "test", kind, NUM_EVALUATION, folder=images)
        known = {
            (each.permute(1, 2, 0).numpy().tobytes(), IMAGENET16[label])
            for each, label in zip(pixels, labels.tolist(), strict=True)
        }
        shown = {(row["pixels"], row["caption"]) for row in rows if row["kind"] == kind}
        assert shown <= known
        assert len(shown) == min(IMAGES_ACROSS, len(set(labels.tolist())))


def test_sheet_shows_conflicts_of_two_classes_each_of_another_shape(images: str) -> None:
    rows = [
        row for row in contact_sheet(TASK, num_images=NUM_EVALUATION, folder=images) if row["kind"] == "cue_conflict"
    ]
    pairs = [row["caption"].split("\n") for row in rows]
    assert len({shape for shape, _ in pairs}) == IMAGES_ACROSS
    assert all(shape != texture for shape, texture in pairs)
    folder = Path(images, "cue-conflict", pairs[0][0])
    (path,) = folder.glob(f"{pairs[0][0]}*-{pairs[0][1]}1.png")
    assert rows[0]["pixels"] == Image.open(path).convert("RGB").tobytes()


def test_sheet_of_a_grid_of_photographs_stands_beside_its_rows(images: str, tmp_path: Path) -> None:
    rows = tmp_path / "results" / "grid.parquet"
    plan = accounts("grid", [photograph_transfer("full_transfer")], finished=(), failed=())
    write_photograph_sheet(plan, images, rows)
    assert pq.read_schema(picture_table(str(rows), "photographs")).names == IMAGE_SCHEMA.names


def test_grid_of_arithmetic_has_no_sheet(images: str, tmp_path: Path) -> None:
    plan = accounts("grid", [tiny_transfer("subnetwork")], finished=(), failed=())
    write_photograph_sheet(plan, images, tmp_path / "grid.parquet")
    assert list(tmp_path.iterdir()) == []
