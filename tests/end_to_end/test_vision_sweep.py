"""A sweep of runs on images as a user runs it, from donors to rows."""

from pathlib import Path

import pyarrow.parquet as pq

from tests.end_to_end.sweeps import folder

GRID = '''"""One seed of two starts, on drawn images of 16 pixels."""

from dataclasses import replace

from subind import *

TASK = ShapesTask(
    image_size=16, shape_predictivity=0.9, texture_predictivity=0.9, shape_contrast=0.5, texture_contrast=0.5,
    data_seed=0, pooled=False, augmentation="none", class_weights="equal", num_cue_conflict=48,
)
MODEL = ResNet(widths=(4, 6), num_blocks=(1, 1), stem="small", num_classes=16)
ADAM = AdamW(learning_rate=1e-2, weight_decay=0.0, schedule="constant", clip=NoClip())
SHARED = dict(
    num_evaluation_samples=20, optimizer=ADAM, batch_size=16, num_epochs=2, seed=0, precision="float32"
)
ORIGINALS = Part(name="original", num_samples=32)
DONOR = Train(
    task=TASK, model=MODEL, rows=(ORIGINALS,), kept_epoch=lowest("validation_loss"),
    stopping=EarlyStop(patience=5), **SHARED,
)
MASK = Discover(
    donor=DONOR, task=replace(TASK, pooled=True), rows=(Part(name="mean_pooled", num_samples=32),),
    method=ContinuousSparsification(
        initial_logit=-0.1, penalty=1e-4, temperature=TemperatureSchedule(name="exponential", final=100.0)
    ),
    statistics="batch", kept_epoch=highest("subtask_accuracy", ties="last"), **SHARED,
)
MIXED = (ORIGINALS, RepeatedPart(name="mean_pooled", num_distinct=8, num_samples=32))


def grid():
    starts = {Subnetwork(mask=MASK): (ORIGINALS,), DataMixture(donor=DONOR): MIXED}
    return tuple(
        Transfer(
            start=start, task=TASK, rows=rows, fresh_weights=UniformFanIn(), evaluations_per_epoch=2,
            kept_epoch=LastEpoch(), stopping=NoEarlyStop(), **SHARED,
        )
        for start, rows in starts.items()
    )
'''


def test_sweep_on_images_ends_with_a_finished_row_per_run(tmp_path: Path) -> None:
    with folder(tmp_path) as here:
        (here.path / "tiny.py").write_text(GRID)
        here.run("run")
        rows = {row["run_id"]: row for row in pq.read_table(here.path / "results" / "tiny.parquet").to_pylist()}
        assert rows.keys() == here.records().keys()
    assert {row["status"] for row in rows.values()} == {"finished"}
    assert sorted(row["control"] or row["stage"] for row in rows.values()) == [
        "data_mixture",
        "donor",
        "mask",
        "subnetwork",
    ]
    (mixture,) = [row for row in rows.values() if row["control"] == "data_mixture"]
    assert (mixture["model"], mixture["mixture_share"], mixture["num_training_images"]) == ("resnet6_4", 0.5, 64)
    assert mixture["curve_epoch"] == [1, 1, 2, 2]
    assert mixture["shape_rate"] + mixture["texture_rate"] + mixture["other_rate"] == 1
    decided = [dict(mixture[f"cue_{cue}"]) for cue in ("shape", "texture", "other")]
    assert sum(sum(each.values()) for each in decided) == mixture["num_cue_conflict"] == 48
