"""The grids of images: what their recipients share, and what a plan says of them."""

from collections import defaultdict
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch

from subind.networks.network import bound
from subind.specs.images import ImageTask
from subind.specs.networks import ResNet, ViT
from subind.specs.rows import num_of, num_rows
from subind.specs.run import lineage, steps_per_epoch
from subind.specs.runs import Discover, Train, Transfer
from subind.specs.starts import DataMixture, LongerDonor, RandomInit, Subnetwork
from sweeps import grids
from sweeps.costs.cost_model import cpu_model, unknown_gpu_model
from sweeps.costs.memory import bytes_per_replica
from sweeps.costs.work import operations
from sweeps.grids.cells import chosen, condition, planned_columns
from sweeps.hosts.workers import Workers
from sweeps.inputs.imported_weights import import_weights
from sweeps.planning.preparation import prepared
from sweeps.planning.request import Request
from sweeps.planning.store_checks import opened_store
from tests.vision_specs import RESNET, VIT, image_donor, image_mask, image_transfer, shapes_task

NAMES = [name for name in grids.NAMES if name.startswith("vision")]


def cells(name: str) -> dict[tuple[object, ImageTask, int], list[Transfer]]:
    """The recipients of one network, task and seed."""
    found = defaultdict(list)
    for cell in grids.read_grid(name).cells:
        assert isinstance(cell, Transfer)
        found[planned_columns(cell)["model"], cell.task, cell.seed].append(cell)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_recipients_of_a_network_task_and_seed_differ_in_control_and_what_it_holds(name: str) -> None:
    for several in cells(name).values():
        own = [each for each in several if not isinstance(each.start, DataMixture)]
        alike = replace(own[0], start=RandomInit(model=own[0].network), held="nothing")
        assert {replace(each, start=alike.start, held="nothing") for each in own} == {alike}
        mixtures = [each for each in several if isinstance(each.start, DataMixture)]
        assert {replace(each, start=alike.start, rows=alike.rows) for each in mixtures} <= {alike}


@pytest.mark.parametrize("name", NAMES)
def test_runs_of_a_cell_have_its_seed_and_its_images(name: str) -> None:
    for (*_, seed), several in cells(name).items():
        for each in several:
            assert {spec.seed for spec in lineage(each)} == {seed}
            assert each.task.data_seed == seed


def test_vision_shapes_has_every_start_of_two_networks_at_five_seeds() -> None:
    found = cells("vision-shapes")
    assert sorted(seed for *_, seed in found) == sorted([*range(5), *range(5)])
    for several in found.values():
        names = sorted({each.start.name for each in several})
        assert names == [
            "complement_subnetwork", "data_mixture", "full_transfer", "longer_donor", "new_head", "random_init",
            "random_subnetwork", "subnetwork", "subnetwork_trainable", "unmasked_only",
        ]  # fmt: skip
        mixtures = [each for each in several if isinstance(each.start, DataMixture)]
        shares = [num_of(each.rows, "mean_pooled") / num_rows(each.rows) for each in mixtures]
        assert shares == [0.5, 0.75, 1.0]
        masks = [each.start.mask for each in several if isinstance(each.start, Subnetwork)]
        assert [mask.donor.num_epochs == 0 for mask in masks] == [False, True]


@pytest.mark.parametrize("name", ["vision-quickstart", "vision-shapes"])
def test_mixtures_train_on_as_many_distinct_mean_pooled_images_as_discovery(name: str) -> None:
    for several in cells(name).values():
        masks = {each.start.mask for each in several if isinstance(each.start, Subnetwork)}
        mixtures = [each for each in several if isinstance(each.start, DataMixture)]
        assert mixtures
        for each in mixtures:
            (pooled,) = (part for part in each.rows if part.name == "mean_pooled")
            assert {num_rows(mask.rows) for mask in masks} == {pooled.num_distinct}


@pytest.mark.parametrize("name", ["vision-quickstart", "vision-shapes"])
def test_longer_donor_has_the_steps_of_the_donor_and_of_its_mask(name: str) -> None:
    for several in cells(name).values():
        (longer,) = {each.parents()[0] for each in several if isinstance(each.start, LongerDonor)}
        mask = next(each.start.mask for each in several if isinstance(each.start, Subnetwork))
        own = mask.donor
        assert isinstance(longer, Train)
        steps = [each.num_epochs * steps_per_epoch(each) for each in (longer, own, mask)]
        assert steps[0] == steps[1] + steps[2]
        assert longer.length().fewest_epochs == longer.num_epochs
        assert replace(longer, num_epochs=own.num_epochs) == own


def test_vision_map_has_the_setting_of_vision_shapes_and_six_that_differ_from_it_in_one_parameter() -> None:
    common = set(grids.read_grid("vision-map").cells) & set(grids.read_grid("vision-shapes").cells)
    assert {(cell.start.name, cell.seed) for cell in common} == {
        (name, seed) for name in ("subnetwork", "random_subnetwork", "full_transfer") for seed in range(5)
    }
    (base,) = {replace(cell.task, data_seed=0) for cell in common if isinstance(cell, Transfer)}
    tasks = {replace(task, data_seed=0) for _, task, _ in cells("vision-map")}
    differing = [[name for name in base.__slots__ if getattr(task, name) != getattr(base, name)] for task in tasks]
    assert sorted(map(len, differing)) == [0, *[1] * 6]


# ---- columns and conditions


def test_columns_of_a_mixture_say_its_share_and_its_images() -> None:
    found = planned_columns(image_transfer("data_mixture"))
    assert (found["mixture_share"], found["num_training_images"], found["model"]) == (0.4, 50, "resnet6_4")
    assert planned_columns(image_transfer())["mixture_share"] == 0


def test_columns_of_a_recipient_say_what_it_descends_from() -> None:
    found = planned_columns(image_transfer(mask=image_mask(image_donor(seed=4), seed=5), seed=6))
    assert (found["seed"], found["mask_seed"], found["donor_seed"]) == (6, 5, 4)
    assert (found["subtask"], found["donor_kind"], found["shape_contrast"]) == ("mean_pooled", "trained", 0.5)


def test_cells_are_chosen_by_columns_of_images() -> None:
    several = [image_transfer(name, seed=seed) for name, seed in product(("subnetwork", "full_transfer"), (0, 1))]
    found = chosen(several, [condition("control=subnetwork"), condition("seed=1"), condition("model=resnet6_4")])
    assert found == (several[1],)
    assert chosen(several, [condition("subtask=mean_pooled")]) == (several[0], several[1])


# ---- cost and memory


@pytest.mark.parametrize("model", [RESNET, VIT], ids=["resnet", "vit"])
def test_parameters_are_counted_as_the_network_has_them(model: ResNet | ViT) -> None:
    network, size = bound(model, shapes_task().signature()), model.size(shapes_task().signature(), "float32")
    numbers = {name: torch.Size(shape).numel() for name, shape in network.shapes.items()}
    assert size.num_parameters == sum(numbers.values())
    assert size.num_masks == len(network.maskable)
    assert size.num_maskable == sum(numbers[name] for name in network.maskable)


@pytest.mark.parametrize(
    "spec", [image_donor(), image_mask(), image_transfer(), image_donor(VIT)], ids=["donor", "mask", "transfer", "vit"]
)
def test_more_images_and_epochs_cost_more_on_every_device(spec: Train | Discover | Transfer) -> None:
    longer, larger = (
        replace(spec, num_epochs=2 * spec.num_epochs),
        replace(spec, rows=(replace(spec.rows[0], num_samples=60),)),
    )
    for model in (cpu_model(), unknown_gpu_model()):
        assert model.price(longer).each > model.price(spec).each
        assert model.price(larger).each > model.price(spec).each
    assert bytes_per_replica(larger) > bytes_per_replica(spec)


def test_operations_are_six_a_weight_and_image_of_a_linear_map() -> None:
    spec = image_donor(VIT, num_evaluation_samples=1, num_cue_conflict=1, num_samples=10**6, num_epochs=1)
    tokens, d_model, d_mlp = 17, 8, 12
    layer = (4 * d_model**2 + 2 * d_model * d_mlp) * tokens + 2 * d_model * tokens**2
    products = layer + 48 * d_model * tokens + 16 * d_model
    assert operations(spec) == pytest.approx(6e6 * products, rel=1e-4)


def test_plan_of_a_grid_of_images_has_packs_and_a_forecast(tmp_path: Path) -> None:
    request = Request(grid=grids.read_grid("vision-quickstart"), where=(), store=str(tmp_path / "store"))
    found = prepared(request, opened_store(request.store), Workers(device="cpu", num_workers=2, free_bytes=8e9))
    assert sum(len(pack.specs) for pack in found.plan.packs) == len(found.plan.missing) == 18
    assert found.forecast is not None
    assert found.forecast.seconds > 0


def test_plan_refuses_imported_weights_of_images_that_the_store_has_not(tmp_path: Path) -> None:
    (tmp_path / "imported.py").write_text(
        "from dataclasses import replace\n"
        "from subind import *\n"
        "from sweeps.grids import vision_quickstart as own, shapes_experiment as experiment\n"
        "def grid():\n"
        "    donor = experiment.donor(own.setting(), seed=0)\n"
        "    donor = replace(donor, weights=ImportedWeights(sha256='0' * 64))\n"
        "    return [experiment.transfer(own.setting(), FullTransfer(donor=donor), seed=0)]\n"
    )
    request = Request(grid=grids.read_grid(str(tmp_path / "imported.py")), where=(), store=str(tmp_path / "store"))
    with pytest.raises(ValueError, match="put it there with `subind import FILE`"):
        prepared(request, opened_store(request.store), Workers(device="cpu", num_workers=1))


def test_import_takes_a_state_dict_of_torchvision(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from subind.store.store import Store

    network = bound(RESNET, shapes_task().signature())
    save_file(network.to_library(network.initial(torch.Generator())), tmp_path / "resnet.safetensors")
    digest = import_weights(Store(str(tmp_path / "store")), tmp_path / "resnet.safetensors")
    assert len(digest) == 64


def test_task_of_other_images_makes_another_run() -> None:
    donors = {image_donor(), image_donor(task=shapes_task(data_seed=1))}
    assert len({image_mask(each).parents() for each in donors}) == 2
