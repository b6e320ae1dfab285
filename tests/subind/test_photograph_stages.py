"""Runs on photographs against plain loops over torchvision's transforms and networks."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor
from torchvision.transforms import v2

from subind.specs.networks import ResNet
from subind.specs.rows import AnyPart, Part, RepeatedPart
from subind.specs.run import Run
from subind.specs.runs import SecondTask
from subind.specs.starts import DataMixture, NewHead
from subind.specs.training import ImportedWeights
from subind.stages.parents import IMPORTED_FILE, network_of
from subind.stages.run import method_of
from subind.stages.train import NetworkTraining
from subind.tasks import images
from subind.tasks.cue_conflict import sixteen_way
from subind.tasks.photographs.imagenet16 import logits_of_classes
from subind.tasks.photographs.stored_images import StoredImages
from subind.training.loop import Finished, Runtime, Saved, Trainer
from tests.photograph_specs import (
    NUM_EVALUATION,
    NUM_TRANSFER,
    TASK,
    photograph_donor,
    photograph_mask,
    photograph_transfer,
    write_coloured_folder,
    write_folder,
)
from tests.subind.packs import EVERY_STEP, ONE_THREAD, PARENTS, finished, perturbed, resumed_at
from tests.subind.test_image_networks import _reference_resnet
from tests.vision_specs import CONTROLS, MOMENTUM, RESNET, VIT

NORMALISE = v2.Compose(
    [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])]
)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return replace(ONE_THREAD, images=str(write_folder(tmp_path_factory.mktemp("photographs"))))


def run_of(pack: Sequence[Run], runtime: Runtime) -> dict[Run, Finished]:
    return finished(pack, runtime=runtime)


def method_in(pack: Sequence[Run], runtime: Runtime) -> tuple[Trainer, NetworkTraining]:
    method, failed = method_of(pack, PARENTS, runtime)
    assert isinstance(method, NetworkTraining)
    assert not failed
    return Trainer(method, runtime), method


def middles(of: StoredImages) -> Tensor:
    """What CenterCrop leaves of the photographs, normalised as torchvision does."""
    pictures = [of.caches[0].image(place) for place in of.places]
    cut = [v2.CenterCrop(of.size)(torch.from_numpy(each.copy()).permute(2, 0, 1)) for each in pictures]
    found: Tensor = NORMALISE(torch.stack(cut))
    return found


def test_donor_step_on_photographs_is_that_of_a_plain_loop_over_torchvision(runtime: Runtime) -> None:
    spec = photograph_donor(optimizer=MOMENTUM, augmentation="none", class_weights="inverse_frequency")
    trainer, method = method_in([spec], runtime)
    start = {name: each[0].detach().clone() for name, each in (method.trainable | method.statistics).items()}
    given = images.training_images(spec.task, "original", spec.num_training_samples, folder=runtime.images)
    assert isinstance(given, StoredImages)
    batches = [torch.arange(8) + step for step in range(3)]
    method.expect(1, [rows[None] for rows in batches])
    for rows in batches:
        trainer.advance(rows[None])
    network = _reference_resnet(RESNET)
    network.load_state_dict(start, strict=False)
    sgd = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    weights = spec.num_training_samples / (16 * torch.bincount(given.labels, minlength=16).clamp(min=1))
    for rows in batches:
        loss = F.cross_entropy(network(middles(given)[rows]), given.labels[rows], weight=weights)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    state = network.state_dict()
    for name, tensor in (method.trainable | method.statistics).items():
        torch.testing.assert_close(tensor[0], state[name], rtol=1e-4, atol=1e-5)


def test_accuracy_of_a_donor_is_that_of_a_plain_loop_over_torchvision(runtime: Runtime) -> None:
    spec = photograph_donor(num_epochs=0)
    found = run_of([spec], runtime)[spec]
    network = _reference_resnet(RESNET).eval()
    network.load_state_dict(load(found.files["weights.safetensors"]), strict=False)
    for kind in ("original", "mean_pooled"):
        given = images.images(TASK, "test", kind, NUM_EVALUATION, folder=runtime.images)
        with torch.no_grad():
            answers = network(NORMALISE(given.pixels)).argmax(1)
        assert found.measurements[f"accuracy_{kind}"] == int((answers == given.labels).sum()) / NUM_EVALUATION


def test_weights_of_classes_are_those_of_the_images_that_train(runtime: Runtime) -> None:
    spec = photograph_transfer("full_transfer")
    _, method = method_in([spec], runtime)
    given = images.training_images(TASK, "original", NUM_TRANSFER, folder=runtime.images)
    for label in range(16):
        count = max(1, int((given.labels == label).sum()))
        assert float(method.tasks.constants["class_weights"][0, label]) == pytest.approx(NUM_TRANSFER / (16 * count))


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_every_control_trains_on_photographs_to_finite_measurements(name: str, runtime: Runtime) -> None:
    spec = photograph_transfer(name, evaluations_per_epoch=2)
    found = run_of([spec], runtime)[spec]
    assert found.replica.failure == ""
    assert 0 <= found.measurements["accuracy_mean_pooled"] <= 1
    assert found.measurements["num_cue_conflict"] == 32
    assert found.replica.curves["epoch"] == [1, 1, 2, 2]


def test_second_task_on_photographs_resumed_within_an_epoch_has_the_bits_of_one_that_was_not(runtime: Runtime) -> None:
    plain = photograph_transfer("random_init", num_epochs=1)
    second = SecondTask(task=TASK, rows=plain.rows, batch_size=8, weight=0.5)
    spec, saved = replace(plain, second_task=second), list[Saved]()
    expected = finished([spec], runtime=replace(runtime, checkpoint_seconds=-1.0), checkpoints=saved)[spec]
    assert not expected.replica.failure
    resumed = finished([spec], runtime=runtime, resumed=resumed_at(saved[1], [spec]))[spec]
    assert resumed.replica.curves == expected.replica.curves
    assert resumed.measurements == expected.measurements


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, (300, 0)), (30 / 330, (300, 30)), (0.5, (300, 300)), (1.0, (0, 30))],
    ids=["none", "as they are", "one to one", "only"],
)
def test_mixture_of_photographs_has_its_counts(share: float, expected: tuple[int, int], runtime: Runtime) -> None:
    pooled: AnyPart = RepeatedPart(name="mean_pooled", num_distinct=30, num_samples=expected[1])
    rows = tuple(part for part in (Part(name="original", num_samples=expected[0]), pooled) if part.num_samples)
    spec = replace(photograph_transfer(DataMixture(donor=photograph_donor())), rows=rows)
    assert spec.columns()["mixture_share"] == pytest.approx(share)
    _, method = method_in([spec], runtime)
    given = method.tasks._sources[0].images
    is_pooled = torch.tensor([given.caches[number].settings.pooling is not None for number in given.cache_of])
    assert (int((~is_pooled).sum()), int(is_pooled.sum())) == expected
    assert method.num_rows == sum(expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_steps_on_a_gpu_have_the_losses_of_steps_on_a_cpu(runtime: Runtime) -> None:
    """With as many steps of two sizes that most of them are replayed from CUDA graphs."""
    pack = [photograph_transfer("full_transfer", seed=seed) for seed in range(2)]
    found = []
    for device in ("cpu", "cuda"):
        trainer, method = method_in(pack, replace(runtime, device=device))
        order = torch.stack([trainer._order(replica.spec) for replica in method.replicas])
        batches = [rows for part in order.split(30, dim=1) for rows in part.split([20, 10], dim=1)]
        method.expect(1, batches)
        found.append(torch.stack([trainer.advance(rows.to(device)).clone().cpu() for rows in batches]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)


def test_donor_of_coloured_classes_knows_their_photographs_and_prefers_the_cue_of_colour(tmp_path: Path) -> None:
    """Photographs, labels, parts and both cues would all have to be mixed up for this to come out by chance."""
    spec = photograph_donor(
        ResNet(widths=(16, 16), num_blocks=(1, 1), stem="small", num_classes=16), task=TASK, num_samples=300,
        num_epochs=24, batch_size=32, class_weights="inverse_frequency",
    )  # fmt: skip
    found = run_of([spec], replace(ONE_THREAD, images=str(write_coloured_folder(tmp_path))))[spec].measurements
    assert found["accuracy_original"] > 0.9
    assert found["accuracy_mean_pooled"] > 0.9
    assert found["texture_rate"] > 0.9
    assert found["shape_bias"] < 0.1


# ---- classifiers of 1,000 classes

THOUSAND = replace(RESNET, num_classes=1000)


def test_network_as_published_decides_by_the_mean_probability_of_its_classes(runtime: Runtime) -> None:
    spec = photograph_donor(
        THOUSAND, num_epochs=0, weights=ImportedWeights(sha256="0" * 64), precision="float32", num_cue_conflict=32
    )
    draws = torch.Generator().manual_seed(5)
    fresh = network_of(spec).initial(draws)
    state = {**fresh.parameters, **fresh.statistics}
    state["fc.weight"] = 3 * torch.randn(state["fc.weight"].shape, generator=draws)

    def read(parent: object, file: str) -> bytes:
        assert file == IMPORTED_FILE
        return save(state)

    found = finished([spec], read=read, runtime=runtime)[spec]
    network = _reference_resnet(THOUSAND).eval()
    network.load_state_dict(state, strict=False)

    def decided(pixels: Tensor) -> np.ndarray:
        with torch.no_grad():
            return sixteen_way(network(NORMALISE(pixels)).softmax(1).numpy(), logits_of_classes())

    for kind in ("original", "mean_pooled"):
        given = images.images(TASK, "test", kind, NUM_EVALUATION, folder=runtime.images)
        right = int((decided(given.pixels) == given.labels.numpy()).sum())
        assert found.measurements[f"accuracy_{kind}"] == right / NUM_EVALUATION
    conflict = images.conflict_images(TASK, 32, folder=runtime.images)
    answers = decided(conflict.pixels)
    assert len(set(answers.tolist())) > 1
    assert found.measurements["shape_rate"] == (answers == conflict.shapes).mean()
    assert found.measurements["texture_rate"] == (answers == conflict.textures).mean()


# ---- a result depends on its own spec alone

DONORS = [photograph_donor(seed=seed, task=replace(photograph_donor().task, data_seed=seed % 1)) for seed in range(2)]
MASKS = [photograph_mask(seed=seed) for seed in range(2)]
VIT_MASK = photograph_mask(photograph_donor(VIT), beside=("class_token", "encoder.pos_embedding"))
VITS = [photograph_transfer("subnetwork", VIT_MASK, seed=seed, held="norms") for seed in range(2)]
TRANSFERS = [photograph_transfer(name, seed=1) for name in ("subnetwork", "full_transfer")]
PACKS = pytest.mark.parametrize("pack", [DONORS, MASKS, VITS, TRANSFERS], ids=["donors", "masks", "vits", "transfers"])


@PACKS
def test_replica_alone_has_the_bits_that_it_has_in_a_pack(pack: list[Run], runtime: Runtime) -> None:
    together = run_of(pack, runtime)
    for spec in pack:
        alone = run_of([spec], runtime)[spec]
        assert together[spec].measurements == alone.measurements
        assert together[spec].replica.curves == alone.replica.curves
        assert together[spec].files == alone.files


@PACKS
def test_pack_resumed_within_an_epoch_has_the_bits_of_one_that_was_not_interrupted(
    pack: list[Run], runtime: Runtime
) -> None:
    saved: list[Saved] = []
    often = replace(EVERY_STEP, images=runtime.images)
    expected = finished(pack, runtime=often, checkpoints=saved)
    resumed = finished(pack, runtime=runtime, resumed=resumed_at(saved[3], pack))
    for spec in pack:
        assert resumed[spec].measurements == expected[spec].measurements
        assert resumed[spec].files == expected[spec].files


def test_head_of_a_donor_trains_alone_on_photographs(runtime: Runtime) -> None:
    spec = photograph_donor(held="all_but_head", weights=ImportedWeights(sha256="0" * 64))
    state = perturbed(photograph_donor())

    def read(parent: object, file: str) -> bytes:
        assert (parent, file) == (spec, IMPORTED_FILE)
        return save({**state.parameters, **state.statistics})

    trained = finished([spec], read=read, runtime=runtime)[spec]
    assert trained.replica.failure == ""
    own = load(trained.files["weights.safetensors"])
    moved = {name for name in state.parameters if not torch.equal(own[name], state.parameters[name])}
    assert moved == {*network_of(spec).head}


def test_new_head_on_photographs_keeps_the_donors_base(runtime: Runtime) -> None:
    spec = photograph_transfer(NewHead(donor=photograph_donor()), held="all_but_head")
    trainer, method = method_in([spec], runtime)
    method.expect(1, [])
    trainer.advance(torch.arange(8)[None])
    donor = perturbed(photograph_donor()).parameters
    assert {*method.trainable} == {*method.network.head}
    parameters = method.constants_of("fixed")
    assert torch.equal(parameters["conv1.weight"][0], donor["conv1.weight"])


def test_photograph_that_is_smaller_than_the_squares_fails_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--images is"):
        run_of([photograph_donor()], replace(ONE_THREAD, images=str(tmp_path)))
