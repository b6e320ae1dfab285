"""The stages from spec to file: what each writes, and that the next one reads it."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from subind.masks import hard as masks
from subind.specs.run import Run
from subind.stages.parents import MASK_FILE, WEIGHTS_FILE, Parents, loaded, network_of
from subind.stages.run import run
from subind.tasks.arithmetic import Arithmetic
from subind.tasks.task import key
from subind.training.draws import generator
from tests.specs import tiny_donor, tiny_mask, tiny_model, tiny_transfer
from tests.subind.packs import ONE_THREAD, HandMade, finished, ignored, perturbed, same_bits
from tests.subind.reference import reference


def test_donor_of_no_epochs_is_the_fresh_initialisation() -> None:
    spec = tiny_donor(num_epochs=0)
    done = finished([spec])[spec]
    fresh = network_of(spec).initial(generator("donor/initial", spec.seed))
    written = network_of(spec).from_library(loaded(done.files[WEIGHTS_FILE]))
    assert same_bits(written.parameters, fresh.parameters)
    assert done.measurements.keys() == {"validation_loss", "validation_accuracy", "best_epoch"}
    assert done.replica.curves["epoch"] == [0]


def test_donor_file_is_loaded_by_transformers_with_the_recorded_loss(tmp_path: Path) -> None:
    spec = tiny_donor(num_epochs=3)
    done = finished([spec])[spec]
    (tmp_path / WEIGHTS_FILE).write_bytes(done.files[WEIGHTS_FILE])
    theirs = reference(spec.model, seed=0, vocabulary=13)
    theirs.load_state_dict(load_file(tmp_path / WEIGHTS_FILE), strict=True)
    rows = Arithmetic(spec.task).rows("validation", num_rows=12, key=key(spec, "validation"))["tokens"]
    found = theirs(rows, labels=rows)
    assert found.loss.item() == pytest.approx(done.measurements["validation_loss"], abs=1e-5)
    right = (found.logits[:, 2].argmax(-1) == rows[:, 3]).double().mean().item()
    assert right == done.measurements["validation_accuracy"]


def test_donor_pack_trains_the_loss_down() -> None:
    spec = tiny_donor(num_epochs=30, patience=30)
    losses = finished([spec])[spec].replica.curves["train_loss"]
    assert losses[-1] < losses[0] - 0.3


def test_mask_file_holds_the_bits_whose_density_is_recorded() -> None:
    spec = tiny_mask()
    done = finished([spec])[spec]
    bits = masks.unpacked_bits(done.files[MASK_FILE])
    assert bits.keys() == set(network_of(spec).maskable)
    assert masks.density(bits) == done.measurements["density"] > 0
    for name, share in masks.densities(bits).items():
        assert done.measurements[f"density.{name}"] == share


def test_mask_of_a_higher_penalty_is_sparser() -> None:
    weak, strong = tiny_mask(penalty=0.0), tiny_mask(penalty=1.0)
    done = finished([weak, strong])
    assert done[strong].replica.curves["density"][-1] < done[weak].replica.curves["density"][-1]


def test_mask_training_leaves_the_donor_alone() -> None:
    spec = tiny_mask()
    donor = perturbed(spec.donor)
    before = {name: tensor.clone() for name, tensor in donor.parameters.items()}
    finished([spec], read=HandMade(donors={spec.donor: donor}))
    assert same_bits(donor.parameters, before)


def test_transfer_writes_no_file_and_a_test_accuracy() -> None:
    spec = tiny_transfer()
    done = finished([spec])[spec]
    assert not done.files
    assert 0 <= done.measurements["test_accuracy"] <= 1


def test_stages_one_after_the_other_read_what_the_last_wrote() -> None:
    spec = tiny_transfer()
    mask = tiny_mask()
    files: dict[Run, dict[str, bytes]] = {}

    def read(parent: Run, file: str) -> bytes:
        return files[parent][file]

    for each in (mask.donor, mask, spec):
        (done,) = run([each], read=read, runtime=ONE_THREAD, save=print, report=ignored)
        assert not done.replica.failure
        files[each] = dict(done.files)
    assert done.measurements["kept_fraction"] == masks.density(masks.unpacked_bits(files[mask][MASK_FILE]))


def test_transfers_of_other_donors_share_a_pack() -> None:
    pack = [tiny_transfer("full_transfer", mask=tiny_mask(donor=tiny_donor(seed=seed))) for seed in range(2)]
    done = finished(pack)
    first, second = (done[spec].replica.curves["train_loss"] for spec in pack)
    assert first != second


def test_pack_of_two_shapes_is_refused() -> None:
    with pytest.raises(AssertionError, match="one shape"):
        finished([tiny_donor(), tiny_donor(model=tiny_model(num_layers=1))])


def test_network_of_no_safetensors_file_say_so() -> None:
    with pytest.raises(ValueError, match="the weights are no safetensors file"):
        Parents(lambda _run, _file: b"no weights").state(tiny_donor())
