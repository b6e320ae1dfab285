"""Pictures beside rows: contact sheets that are the task's own images, and first layers with all their weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from subind.store.schemas import FIRST_LAYER_SCHEMA, IMAGE_SCHEMA, picture_table
from subind.tasks.drawn import shapes
from subind.tasks.drawn.outlines import SHAPES
from subind.tasks.drawn.textures import TEXTURES
from subind.tasks.photographs.mean_pool import mean_pooled
from sweeps.exporting.contact_sheets import (
    IMAGES_ACROSS,
    LARGEST_SIDE,
    MOST_MASKS,
    NUM_DRAWN,
    _write,
    contact_sheet,
    first_layer,
    shown_masks,
    shown_tasks,
)
from tests.specs import tiny_donor
from tests.vision_specs import image_donor, image_mask, shapes_task

TASK = shapes_task(texture_predictivity=1.0, data_seed=3)


def _pixels(row: dict) -> np.ndarray:
    return np.frombuffer(row["pixels"], np.uint8).reshape(row["height"], row["width"], 3)


def test_contact_sheet_has_as_many_images_of_each_kind_and_fits_its_schema() -> None:
    rows = contact_sheet(TASK, num_images=NUM_DRAWN)
    kinds = [row["kind"] for row in rows]
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(
        ("original", "mean_pooled", "cue_conflict"), IMAGES_ACROSS
    )
    assert all(set(row) == set(IMAGE_SCHEMA.names) for row in rows)


def test_contact_sheet_shows_images_of_the_task_and_the_same_mean_pooled() -> None:
    rows = contact_sheet(TASK, num_images=NUM_DRAWN)
    drawn = shapes.drawn(TASK, 2**31 + np.arange(NUM_DRAWN))  # of the test
    known = {image.tobytes(): place for place, image in enumerate(drawn.images)}
    pooled = {row["place"]: row for row in rows if row["kind"] == "mean_pooled"}
    labels = set()
    for row in rows[:IMAGES_ACROSS]:
        place = known[row["pixels"]]
        labels.add(int(drawn.labels[place]))
        segments = np.stack([drawn.segments[place] == number for number in range(3)])
        assert np.array_equal(_pixels(pooled[row["place"]]), mean_pooled(drawn.images[place], segments))
        shape, texture = list(SHAPES)[drawn.shapes[place]], list(TEXTURES)[drawn.textures[place]]
        assert row["caption"] == f"{shape}\n{texture}".replace("_", " ")
    assert len(labels) == IMAGES_ACROSS


def test_contact_sheet_of_conflicts_names_two_classes_of_different_numbers() -> None:
    rows = [row for row in contact_sheet(TASK, num_images=NUM_DRAWN) if row["kind"] == "cue_conflict"]
    conflicts = [row["caption"].replace(" ", "_").split("\n") for row in rows]
    assert all(list(SHAPES).index(shape) != list(TEXTURES).index(texture) for shape, texture in conflicts)
    assert len({shape for shape, _ in conflicts}) == IMAGES_ACROSS


def test_arithmetic_runs_draw_no_images() -> None:
    assert shown_tasks([tiny_donor()], of_folder=False) == []


def test_tasks_that_differ_in_their_seed_alone_have_one_sheet() -> None:
    drawn = [image_donor(task=replace(TASK, data_seed=seed, shape_contrast=contrast)) for seed, contrast in _SETTINGS]
    shown = shown_tasks(drawn, of_folder=False)
    assert [(task.data_seed, task.shape_contrast) for task in shown] == [(3, 0.5), (4, 0.7)]


def test_task_and_the_same_mean_pooled_have_one_sheet() -> None:
    mask = image_mask(image_donor(task=TASK))
    assert shown_tasks([mask.donor, mask], of_folder=False) == [TASK]


def test_larger_images_are_made_smaller() -> None:
    rows = contact_sheet(replace(TASK, image_size=2 * LARGEST_SIDE), num_images=20)
    assert {(row["height"], row["width"]) for row in rows} == {(LARGEST_SIDE, LARGEST_SIDE)}


_SETTINGS = ((3, 0.5), (4, 0.5), (4, 0.7), (5, 0.7))


def test_masks_that_are_shown_are_of_every_kind_of_donor_alike() -> None:
    trained = [image_mask(image_donor(seed=seed)) for seed in range(MOST_MASKS)]
    untrained = [image_mask(image_donor(seed=seed, num_epochs=0)) for seed in range(MOST_MASKS)]
    shown = shown_masks([tiny_donor(), *trained, *untrained])
    assert shown == [*trained[: MOST_MASKS // 2], *untrained[: MOST_MASKS // 2]]


def test_first_layer_of_a_resnet_has_every_weight() -> None:
    bits = np.random.default_rng(0).random((64, 3, 7, 7)) < 0.2
    row = first_layer({"conv1.weight": bits}, "conv1.weight")
    assert (row["num_filters"], row["num_shown"], row["num_weights"]) == (64, 64, 64 * 3 * 49)
    assert row["num_kept"] == bits.sum()
    assert np.array_equal(np.frombuffer(row["bits"], np.uint8).reshape(64, 3, 7, 7), bits)


def test_first_layer_of_many_filters_shows_the_first_and_counts_all() -> None:
    bits = np.ones((768, 3, 16, 16), np.bool_)
    row = first_layer({"conv_proj.weight": bits}, "conv_proj.weight")
    assert (row["num_filters"], row["num_shown"], row["num_kept"]) == (768, 64, 768 * 768)
    assert set(row) | {"mask_id", "model", "seed"} == set(FIRST_LAYER_SCHEMA.names)


def test_pictures_of_an_earlier_export_are_removed_where_there_are_none(tmp_path: Path) -> None:
    rows = tmp_path / "grid.parquet"
    _write(rows, "images", contact_sheet(TASK, num_images=NUM_DRAWN))
    path = Path(picture_table(str(rows), "images"))
    assert pq.read_schema(path).names == IMAGE_SCHEMA.names
    _write(rows, "images", [])
    assert not list(tmp_path.iterdir())
