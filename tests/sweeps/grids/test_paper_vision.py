"""The grid paper-vision: the protocol's numbers, a plan without ImageNet, and all of it in small on photographs."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from subind.networks.network import bound
from subind.specs.rows import Part, RepeatedPart, num_of
from subind.specs.run import Run, lineage
from subind.specs.runs import Discover, Train, Transfer
from subind.specs.starts import DataMixture, Subnetwork
from subind.specs.training import ImportedWeights
from subind.stages import run as stages
from subind.stages.parents import IMPORTED_FILE
from subind.store.store import Store
from subind.training.loop import Runtime
from sweeps.costs.cost_model import gpu_model
from sweeps.costs.memory import bytes_per_replica
from sweeps.grids import paper_vision as paper
from sweeps.grids.cells import planned_columns
from sweeps.inputs import preflight
from sweeps.inputs.published_weights import imported_weights
from sweeps.planning.plan import Plan, accounts, with_parents
from tests.photograph_specs import (
    BALANCED,
    MEAN_POOLED,
    NUM_CONFLICT,
    NUM_EVALUATION,
    NUM_TRANSFER,
    TASK,
    write_folder,
)
from tests.subind.records import small_record
from tests.sweeps.conftest import Call
from tests.vision_specs import RESNET, VIT

OF_BOTH = pytest.mark.parametrize("of", [paper.RESNET, paper.VIT], ids=["resnet", "vit"])


def recipients(of: paper.Setting, *, seed: int = 0) -> list[Transfer]:
    return [*paper.recipients(of, seed=seed)]


# ---- the numbers


@OF_BOTH
def test_heads_train_as_published(of: paper.Setting) -> None:
    donor = paper.pretrained(of, seed=0)
    assert (donor.held, donor.num_epochs, donor.batch_size) == ("all_but_head", 5, 64)
    assert (donor.optimizer.learning_rate, donor.optimizer.schedule) == (2e-3, "linear_decay")


@pytest.mark.parametrize(
    ("of", "epochs", "batch", "beside"),
    [(paper.RESNET, 100, 32, ()), (paper.VIT, 200, 128, ("class_token", "encoder.pos_embedding"))],
    ids=["resnet", "vit"],
)
def test_masks_are_found_as_published(of: paper.Setting, epochs: int, batch: int, beside: tuple[str, ...]) -> None:
    mask = paper.mask(of, paper.pretrained(of, seed=0))
    assert (mask.num_epochs, mask.batch_size, mask.beside) == (epochs, batch, beside)
    searched = {"penalty": 1e-8, "initial_logit": -0.1, "final_temperature": 100.0}
    assert mask.method.searched() == searched
    assert (mask.optimizer.learning_rate, mask.statistics, mask.task.part) == (1e-3, "donor", "balanced")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("of", "epochs", "mixture_epochs", "held"),
    [(paper.RESNET, 20, 5, "norms_and_head"), (paper.VIT, 40, 1, "norms")],
    ids=["resnet", "vit"],
)
def test_recipients_train_as_published(of: paper.Setting, epochs: int, mixture_epochs: int, held: str) -> None:
    for spec in recipients(of):
        sgd = spec.optimizer
        assert (sgd.learning_rate, sgd.momentum, sgd.weight_decay) == (1e-3, 0.9, 1e-4)  # type: ignore[union-attr]
        assert (spec.batch_size, spec.evaluations_per_epoch) == (128, 5)
        assert (spec.task.augmentation, spec.task.class_weights) == ("crop_and_flip", "inverse_frequency")
        mixed = isinstance(spec.start, DataMixture)
        assert spec.num_epochs == (mixture_epochs if mixed else epochs)
        if isinstance(spec.start, Subnetwork):
            assert spec.held == held


def test_photographs_are_resized_and_cut_as_published() -> None:
    for task in (paper.TRANSFER, paper.BALANCED):
        assert (task.num_images, task.num_per_class, task.segmenter) == (213_555, 1000, "sam")
        assert (task.shorter_side, task.image_size) == (256, 224)


def test_samples_fit_what_the_split_leaves_of_sixteen_full_classes_and_of_the_published_ones() -> None:
    for num_balanced, num_evaluation in ((16_000, 1600), (15_478, 1549 + 16)):
        assert num_balanced - num_evaluation >= paper.NUM_BALANCED
        assert 213_555 - num_evaluation >= paper.NUM_TRANSFER
    assert 2 * paper.NUM_EVALUATION <= 1549


@OF_BOTH
def test_every_start_is_there_once_a_seed(of: paper.Setting) -> None:
    counts = Counter(spec.start.name for spec in recipients(of))
    assert counts == {
        "subnetwork": 2, "subnetwork_trained_alone": 1, "subnetwork_trainable": 1, "random_subnetwork": 1,
        "complement_subnetwork": 1, "unmasked_only": 1, "full_transfer": 1, "new_head": 1, "random_init": 1,
        "data_mixture": 5,
    }  # fmt: skip
    masks = [spec.start.mask for spec in recipients(of) if isinstance(spec.start, Subnetwork)]
    assert [planned_columns(mask)["donor_kind"] for mask in masks] == ["imported", "untrained"]


def test_mixtures_have_the_published_images_as_they_are_and_one_to_one() -> None:
    found = [spec for spec in recipients(paper.RESNET) if isinstance(spec.start, DataMixture)]
    assert [(num_of(spec.rows, "original"), num_of(spec.rows, "mean_pooled")) for spec in found] == [
        (211_800, 0), (211_800, 13_900), (211_800, 70_600), (211_800, 211_800), (0, 13_900),
    ]  # fmt: skip


def test_runs_of_a_cell_have_its_seed() -> None:
    for cell in paper.grid():
        if isinstance(cell, Transfer):
            assert {spec.seed for spec in lineage(cell)} == {cell.seed}
    assert len(with_parents(paper.grid())) == 90 + 12 + 12 + 2


def test_published_networks_are_columns_of_their_own() -> None:
    models = {planned_columns(cell)["model"] for cell in paper.grid() if isinstance(cell, Train)}
    assert models == {"resnet18_1000", "vit_b_16_1000"}


# ---- a plan without ImageNet


def test_plan_of_paper_vision_needs_neither_imagenet_nor_weights(subind: Call) -> None:
    status, out, _ = subind("plan", "paper-vision", "--json", "--device-name", "NVIDIA H100 80GB HBM3")
    data = json.loads(out)
    assert (status, data["missing"]) == (0, 116)
    assert data["stages"] == {"donor": 14, "mask": 12, "transfer": 90}
    assert data["forecast_seconds"] > 3600


@OF_BOTH
def test_replica_fits_a_card_of_80_gigabytes_and_takes_the_time_that_is_known_of_such_cards(
    of: paper.Setting,
) -> None:
    """ResNet-18 trains on some thousands of images a second on an H100, ViT-B/16 on hundreds to two thousand."""
    spec = recipients(of)[0]
    assert bytes_per_replica(spec) < 40e9
    model = gpu_model("NVIDIA H100 80GB HBM3")
    assert model is not None
    a_second = spec.num_training_samples * spec.num_epochs / model.price(spec).each
    low, high = (2000, 12_000) if of is paper.RESNET else (400, 2000)
    assert low < a_second < high


# ---- what a run is refused for, before anything is computed


def test_run_without_published_weights_says_what_to_import(subind: Call) -> None:
    status, _, err = subind("run", "paper-vision", "--device", "cpu")
    assert status == 2
    assert "subind import resnet18-f37072fd.pth" in err.replace("\n", " ")
    assert len(err.splitlines()) == 1


def test_run_of_photographs_without_a_folder_says_which_option(subind: Call) -> None:
    status, _, err = subind("run", "paper-vision", "--where", "control=random_init", "--device", "cpu")
    assert status == 2
    assert "--images is not given" in err
    assert len(err.splitlines()) == 1


def test_submit_of_a_folder_that_nodes_do_not_share_is_refused(subind: Call) -> None:
    status, _, err = subind("submit", "paper-vision", "--store", "s3://bucket/store", "--images", "images")
    assert status == 2
    assert "--images is 'images': give the absolute path" in err


# ---- all of it in small


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_folder(tmp_path_factory.mktemp("photographs")))


def in_small(spec: Any, weights: ImportedWeights) -> Any:
    """The same run on tiny photographs, of a tiny network, in a fraction of a second."""
    few: dict[str, Any] = {"num_evaluation_samples": NUM_EVALUATION, "precision": "float32"}
    match spec:
        case Train():
            model = replace(tiny(spec.network), num_classes=spec.model.num_classes)
            own = weights if spec.imported() else spec.weights
            rows, epochs = (Part(name="original", num_samples=40),), min(1, spec.num_epochs)
            return replace(spec, task=BALANCED, model=model, weights=own, rows=rows, num_epochs=epochs, **few)
        case Discover():
            parent, rows = in_small(spec.donor, weights), (Part(name="mean_pooled", num_samples=40),)
            return replace(spec, donor=parent, task=MEAN_POOLED, rows=rows, num_epochs=2, batch_size=8, **few)
        case _:
            start, rows = start_in_small(spec.start, weights), tuple(map(part_in_small, spec.rows))
            return replace(spec, start=start, task=TASK, rows=rows, num_epochs=1, batch_size=8, **few)


def tiny(network: Any) -> Any:
    return {"ResNet": RESNET, "ViT": VIT}[type(network).__name__]


def part_in_small(part: Any) -> Any:
    if part.name == "original":
        return replace(part, num_samples=NUM_TRANSFER)
    return RepeatedPart(name=part.name, num_distinct=40, num_samples=60)


def start_in_small(start: Any, weights: ImportedWeights) -> Any:
    changes = {name: in_small(getattr(start, name), weights) for name in ("mask", "donor") if hasattr(start, name)}
    return replace(start, **changes) if changes else replace(start, model=tiny(start.model))


def small_plan(of: paper.Setting, store: Store) -> Plan:
    like = RESNET if of is paper.RESNET else VIT
    network = bound(replace(like, num_classes=1000), TASK.signature())
    state = network.to_library(network.initial(torch.Generator().manual_seed(0)))
    weights = ImportedWeights(sha256=store.add_weights(save(state)))
    cells = [in_small(spec, weights) for spec in (*recipients(of), paper.as_published(of))]
    return accounts("small", cells, finished=store.finished(), failed=())


def compute(plan: Plan, store: Store, folder: str) -> None:
    """Every run of the plan, parents first, through the store."""

    def read(parent: Run, file: str) -> bytes:
        weights = parent.imported()
        if file == IMPORTED_FILE:
            assert weights is not None
            return imported_weights(store, weights)
        return store.artifact(parent, file)

    runtime = Runtime(images=folder, checkpoint_seconds=float("inf"))
    for run in plan.missing:
        done = stages.run(
            [plan.runs[run]], read=read, runtime=runtime, save=lambda saved: None, report=lambda progress: None
        )
        for each in done:
            assert each.replica.failure == ""
            spec = each.replica.spec
            record = small_record(spec, measurements=each.measurements, curves=each.replica.curves)
            store.commit(spec, record, each.files)


@OF_BOTH
def test_whole_grid_in_small_goes_through_the_store_to_measurements(
    of: paper.Setting, folder: str, tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "store"))
    plan = small_plan(of, store)
    preflight.check_inputs(plan.to_compute, store, folder)
    compute(plan, store, folder)
    assert small_plan(of, store).missing == ()
    for spec in plan.runs.values():
        measured = store.record(spec).measurements
        names = ["subtask_accuracy", "density"] if isinstance(spec, Discover) else ["accuracy_mean_pooled"]
        assert all(0 <= measured[name] <= 1 for name in names)
        if not isinstance(spec, Discover):
            assert measured["num_cue_conflict"] == NUM_CONFLICT


def test_check_before_a_run_knows_every_number_of_images(folder: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    plan = small_plan(paper.RESNET, store)
    mixture: Any = next(spec for spec in plan.runs.values() if len(getattr(spec, "rows", ())) == 2)
    mask: Any = next(spec for spec in plan.runs.values() if spec.stage == "mask")
    originals, pooled = mixture.rows
    for spec, message in (
        (replace(mixture, rows=(replace(originals, num_samples=389), pooled)), "is 389 and .* has 388"),
        (replace(mixture, rows=(originals, replace(pooled, num_distinct=69))), "is 69 and .* has 68"),
        (replace(mixture, num_evaluation_samples=14), "num_evaluation_samples is 14 and .* has 13"),
        (replace(mixture, task=replace(TASK, num_cue_conflict=31)), "num_cue_conflict is 31 and .* has 32"),
        (replace(mask, rows=(replace(mask.rows[0], num_samples=69),)), "is 69 and .* has 68"),
    ):
        found = accounts("small", [spec], finished=store.finished(), failed=())
        with pytest.raises(ValueError, match=message):
            preflight.check_images(found.to_compute, folder)
