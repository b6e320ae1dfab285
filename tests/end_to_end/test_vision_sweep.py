"""A sweep of runs on images as a user runs it, from donors to rows."""

from pathlib import Path

import pyarrow.parquet as pq

from tests.end_to_end.sweeps import folder

GRID = '''"""One seed of two starts, on drawn images of 16 pixels."""

from subind.specs.runs import *

TASK = ShapesTask(
    image_size=16, shape_predictivity=0.9, texture_predictivity=0.9, shape_contrast=0.5, texture_contrast=0.5,
    data_seed=0,
)
MODEL = ResNet(widths=(4, 6), num_blocks=(1, 1), stem="small", num_classes=16)
ADAM = AdamW(learning_rate=1e-2, weight_decay=0.0, schedule="constant", clip=NoClip())
SHARED = dict(num_samples=32, num_evaluation_samples=20, batch_size=16, num_epochs=2, seed=0, precision="float32")
DONOR = ImageDonor(
    task=TASK, model=MODEL, num_cue_conflict=48, augmentation="none", class_weights="equal", optimizer=ADAM,
    patience=5, trained="everything", weights=FreshWeights(), kept_epoch="first_best", **SHARED,
)
MASK = ImageMask(
    donor=DONOR, subtask=TASK, initial_logit=-0.1, penalty=1e-4, beside="nothing", statistics="batch",
    temperature=TemperatureSchedule(name="exponential", final=100.0), optimizer=ADAM, kept_epoch="last_best", **SHARED,
)


def grid():
    starts = (Subnetwork(mask=MASK), DataMixture(donor=DONOR, num_mean_pooled=8, mean_pooled_share=0.5))
    return tuple(
        ImageTransfer(
            control=start, task=TASK, num_cue_conflict=48, evaluations_per_epoch=2, augmentation="none",
            class_weights="equal", held="nothing", optimizer=ADAM, **SHARED,
        )
        for start in starts
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
