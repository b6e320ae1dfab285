"""Whole reports of rows at the ends of what can be: masks of nothing and of all, nothing measured, one cell, ties."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import write_report
from analysis.figures import tuning
from analysis.sections import audit
from subind.store.schemas import OVERLAP_SCHEMA, PART_SCHEMA, RECIPIENT_SCHEMA, side_table
from tests.analysis.rows import UNMASKED, Row, donor, mask, sweep, transfer
from tests.analysis.test_report import Page
from tests.analysis.test_tuning import trial
from tests.analysis.vision_rows import CLASSES, run, write

RowsFile = Callable[[list[Row]], Path]
RowsFrame = Callable[[list[Row]], pd.DataFrame]

NUM_WEIGHTS = 50
CONTROLS = ("subnetwork", "random_as_released", "full_transfer", "random_init")


def recipient(control: str, seed: int, *, kept: int) -> Row:
    """What is counted of a recipient whose mask keeps so many of a matrix's weights."""
    inherited = {"full_transfer": NUM_WEIGHTS, "random_init": 0, "random_as_released": NUM_WEIGHTS - kept}
    number = inherited.get(control, kept)
    return {
        "run_id": f"{control}-{seed}",
        "mask_id": f"mask-2-{seed}",
        "control": control,
        "matrix": "m",
        "num_layers": 2,
        "seed": seed,
        "num_weights": NUM_WEIGHTS,
        "num_subnetwork": kept,
        "num_inherited": number,
        "num_frozen": 0 if control in UNMASKED else number,
        "num_subnetwork_inherited": min(kept, number),
        "num_subnetwork_frozen": 0 if control in UNMASKED else min(kept, number),
    }


def counted(path: Path, kept: Iterable[int]) -> None:
    """The three files of counts beside the rows, of masks of seed 0, 1, … that keep so many of 50 weights."""
    each = list(enumerate(kept))
    parts = [
        {"mask_id": f"mask-2-{seed}", "matrix": "m", "part": part, "layer": 0, "num_weights": NUM_WEIGHTS}
        | {"num_kept": number, "head": head}
        for seed, number in each
        for part, head in (("query", 0), ("output", 0), ("mlp.c_fc", None))
    ]
    pairs = [
        {"first_id": "mask-2-0", "second_id": f"mask-2-{seed}", "matrix": matrix, "num_weights": size}
        | {"num_first": min(each[0][1], size), "num_second": min(number, size)}
        | {"num_both": min(each[0][1], number, size)}
        for seed, number in each[1:]
        for matrix, size in (("m", NUM_WEIGHTS), ("bias", 1))
    ]
    recipients = [recipient(control, seed, kept=number) for control in CONTROLS for seed, number in each]
    for name, rows, schema in (
        ("parts", parts, PART_SCHEMA),
        ("overlaps", pairs, OVERLAP_SCHEMA),
        ("recipients", recipients, RECIPIENT_SCHEMA),
    ):
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), side_table(str(path), name))  # type: ignore[arg-type]


def of_density(*densities: float | None) -> list[Row]:
    """Donors, masks of these densities and their recipients, a seed each."""
    made: list[Row] = []
    for seed, density in enumerate(densities):
        kept = {"kept_fraction": density, "frozen_fraction": density, "density": density}
        made += [donor(0.9, seed=seed), mask(0.26, density=density, seed=seed)]
        made += [
            transfer(name, 0.3, seed=seed, samples=samples, **(kept if name not in UNMASKED else {}))
            for samples in (0, 10)
            for name in CONTROLS
        ]
    return made


def _failed(row: Row) -> Row:
    measured = [name for name in row if "accuracy" in name or name.startswith("curve_") or name == "density"]
    return {**row, **dict.fromkeys(measured), "status": "failed", "failure": "OutOfMemory: no memory"}


ARITHMETIC: dict[str, tuple[list[Row], tuple[int, ...]]] = {
    "masks of nothing": (of_density(0.0, 0.0), (0, 0)),
    "a mask of nothing beside another": (of_density(0.0, 0.2), (0, 10)),
    "masks of all": (of_density(1.0, 1.0), (NUM_WEIGHTS, NUM_WEIGHTS)),
    "masks of unknown density": (of_density(None, None), ()),
    "all failed": ([_failed(row) for row in of_density(0.1, 0.1)], ()),
    "one cell": ([transfer("subnetwork", 0.5)], ()),
    "one mask of nothing": ([mask(0.26, density=0.0)], (0,)),
    "all ties": ([{**row, "test_accuracy": 0.5} for row in sweep(CONTROLS, [0, 10], range(3), [2])], ()),
    "all ties at nothing": ([{**row, "test_accuracy": 0.0} for row in sweep(CONTROLS, [0, 10], range(3), [2])], ()),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "masks of nothing" else pytest.mark.slow) for kind in ARITHMETIC]
)
def test_report_of_arithmetic_at_an_extreme_is_written(rows_file: RowsFile, tmp_path: Path, kind: str) -> None:
    rows, kept = ARITHMETIC[kind]
    path = rows_file(rows)
    if kept:
        counted(path, kept)
    text = Page(write_report(path, tmp_path / "report")).text
    assert "nan" not in text.lower().split()
    assert ("(empty)" in text) == (0 in kept)


def test_mask_of_nothing_is_told_as_empty_in_every_table_of_masks(rows_file: RowsFile, tmp_path: Path) -> None:
    path = rows_file(of_density(0.0, 0.2))
    counted(path, (0, 10))
    folder = tmp_path / "report"
    page = Page(write_report(path, folder))
    assert "1 of 2 finished masks keeps nothing (empty)" in page.text
    for name in ("masks", "overlap"):
        assert "empty" in (folder / f"{name}.md").read_text()
    assert "empty masks" in (folder / "masks_by_depth.md").read_text()


def test_share_of_an_empty_subnetwork_is_absent_and_not_infinite(rows_frame: RowsFrame) -> None:
    recipients = pd.DataFrame([recipient(control, 0, kept=0) for control in CONTROLS])
    found = audit.table(rows_frame(of_density(0.0)), recipients)
    assert set(found["control"]) == set(CONTROLS)
    for name in ("contained_share", "expected_contained_share", "size_ratio"):
        assert found[name].isna().all()
    assert set(audit.shown(found)["kept / subnetwork's size"]) == {"–"}
    assert audit.sentences(found) == []


def _decided(row: Row, *, shape: int, texture: int) -> Row:
    """A row whose images of every class were decided so often for a cue, and for neither else."""
    counts: dict[str, Any] = {"shape": shape, "texture": texture, "other": 50 - shape - texture}
    rates = {f"{cue}_rate": number / 50 for cue, number in counts.items()}
    cues = {f"cue_{cue}": [(name, number) for name in CLASSES] for cue, number in counts.items()}
    bias = shape / (shape + texture) if shape + texture else None
    biases = {"shape_bias": bias, "shape_bias_class_mean": bias, "shape_bias_low": None, "shape_bias_high": None}
    return {**row, **rates, **cues, **biases}


def images(bias: float | None = 0.5, *, density: float | None = 0.1) -> list[Row]:
    """A donor, its mask and three recipients for each of two seeds."""
    made = []
    for seed in (0, 1):
        made += [run(start, bias, seed=seed) for start in ("donor", "random_init", "full_transfer")]
        of_mask = {"stage": "mask", "run_id": f"mask-{seed}", "control": None, "subtask_accuracy": 0.06}
        made.append({**run("subnetwork", bias, seed=seed), **of_mask, "density": density})
        made.append({**run("subnetwork", bias, seed=seed, density=density), "parent_id": f"mask-{seed}"})
    return made


IMAGES: dict[str, list[Row]] = {
    "masks of nothing": images(density=0.0),
    "masks of all": images(density=1.0),
    "masks of unknown density": images(density=None),
    "nothing measured": images(None),
    "one cell": [run("subnetwork", 0.5)],
    "no decision for a cue": [_decided(row, shape=0, texture=0) for row in images()],
    "all for shape": [_decided(row, shape=50, texture=0) for row in images()],
    "all ties": [{**row, "accuracy_original": 0.0, "accuracy_mean_pooled": 0.0} for row in images()],
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "masks of nothing" else pytest.mark.slow) for kind in IMAGES]
)
def test_report_of_images_at_an_extreme_is_written(tmp_path: Path, kind: str) -> None:
    page = Page(write_report(write(tmp_path / "rows.parquet", IMAGES[kind]), tmp_path / "report"))
    assert "nan" not in page.text.lower().split()
    assert ("finished masks keep nothing (empty)" in page.text) == (kind == "masks of nothing")


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_pictures_of_a_study_at_an_extreme_are_drawn(density: float) -> None:

    import pandas as pd

    trials = pd.DataFrame([trial(number, 0.5, density) for number in range(3)])
    for draw in (tuning.front, tuning.parallel):
        draw(trials, title="a study").canvas.draw()
