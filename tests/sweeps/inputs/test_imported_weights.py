"""Donors that start from a user's own weights."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save, save_file

from subind.identity.run_ids import decode, encoded, run_id
from subind.networks.network import bound
from subind.specs.run import WEIGHTS_FILE
from subind.specs.runs import Train
from subind.specs.training import ImportedWeights
from subind.stages import run as stages
from subind.store.store import Store
from subind.training.loop import Runtime
from sweeps.grids import read_grid
from sweeps.inputs.architectures import check_architectures
from sweeps.inputs.imported_weights import import_weights
from sweeps.planning.plan import accounts
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import opened_store
from tests.specs import tiny_donor, tiny_model
from tests.sweeps.conftest import Call
from tests.vision_specs import image_donor

GRID = """
from subind.specs.starts import FullTransfer
from subind.specs.training import ImportedWeights
from tests.specs import tiny_donor, tiny_transfer
from dataclasses import replace


def grid():
    donor = replace(tiny_donor(), num_epochs=0, weights=ImportedWeights(sha256="{sha256}"))
    return (replace(tiny_transfer("full_transfer"), start=FullTransfer(donor=donor)),)
"""


def own_weights(donor: Train) -> dict[str, torch.Tensor]:
    """Weights that no seed of a donor draws, as transformers lays them out."""
    network = bound(donor.network, donor.task.signature())
    return network.to_library(network.initial(torch.Generator().manual_seed(12345)))


def test_donor_of_imported_weights_has_another_id_and_is_decoded() -> None:
    donor = replace(tiny_donor(), weights=ImportedWeights(sha256="a" * 64))
    assert run_id(donor) != run_id(tiny_donor())
    assert decode(encoded(donor)) == donor


def test_donor_of_no_epochs_is_the_imported_network(tmp_path: Path) -> None:
    store, weights = Store(str(tmp_path / "store")), own_weights(tiny_donor())
    save_file(weights, tmp_path / "model.safetensors")
    sha256 = import_weights(store, tmp_path / "model.safetensors")
    donor = replace(tiny_donor(), num_epochs=0, weights=ImportedWeights(sha256=sha256))
    (done,) = stages.run(
        [donor],
        read=lambda spec, file: store.weights(sha256),
        runtime=Runtime(),
        save=lambda saved: None,
        report=lambda progress: None,
    )
    kept = load(done.files[WEIGHTS_FILE])
    assert kept.keys() == weights.keys()
    assert all(torch.equal(kept[name], weights[name]) for name in weights)


def test_plan_of_weights_that_are_not_in_the_store_names_the_remedy(tmp_path: Path) -> None:
    grid = tmp_path / "own.py"
    grid.write_text(GRID.format(sha256="b" * 64))
    request = Request(grid=read_grid(str(grid)), where=(), store=str(tmp_path / "store"))
    with pytest.raises(ValueError, match="subind import FILE"):
        accounted(request, opened_store(request.store))


def test_plan_of_weights_that_are_in_the_store_holds_the_donor(tmp_path: Path) -> None:
    sha256 = Store(str(tmp_path / "store")).add_weights(save(own_weights(tiny_donor())))
    grid = tmp_path / "own.py"
    grid.write_text(GRID.format(sha256=sha256))
    request = Request(grid=read_grid(str(grid)), where=(), store=str(tmp_path / "store"))
    assert accounted(request, opened_store(request.store)).num_runs("donor") == 1


OTHERS = {
    "of another width": (lambda donor: replace(donor, model=tiny_model(d_model=32)), r".* has the shape"),
    "of fewer layers": (lambda donor: replace(donor, model=tiny_model(num_layers=1)), r"the weights lack h\.1\..*more"),
    "of more layers": (
        lambda donor: replace(donor, model=tiny_model(num_layers=3)),
        r"the weights have h\.2\..*, which the network lacks",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_plan_of_weights_of_another_architecture_names_the_tensor(tmp_path: Path, kind: str) -> None:
    changed, told = OTHERS[kind]
    sha256 = Store(str(tmp_path / "store")).add_weights(save(own_weights(changed(tiny_donor()))))
    grid = tmp_path / "own.py"
    grid.write_text(GRID.format(sha256=sha256))
    request = Request(grid=read_grid(str(grid)), where=(), store=str(tmp_path / "store"))
    with pytest.raises(ValueError, match=rf"Train\.weights is .*: {told}"):
        accounted(request, opened_store(request.store))


def test_plan_of_weights_of_an_image_model_names_the_tensor(tmp_path: Path) -> None:
    network = bound(image_donor().network, image_donor().task.signature())
    whole = network.to_library(network.initial(torch.Generator().manual_seed(0)))
    weights = {name: each for name, each in whole.items() if "running" not in name}
    sha256 = Store(str(tmp_path / "store")).add_weights(
        save({name: each.contiguous() for name, each in weights.items()})
    )
    donor = replace(image_donor(), weights=ImportedWeights(sha256=sha256))
    found = accounts("own", [donor], finished=(), failed=())
    with pytest.raises(ValueError, match=r"Train\.weights is .* lack bn1\.running_mean"):
        check_architectures(found.to_compute, Store(str(tmp_path / "store")))
    sha256 = Store(str(tmp_path / "store")).add_weights(save({name: each.contiguous() for name, each in whole.items()}))
    donor = replace(image_donor(), weights=ImportedWeights(sha256=sha256))
    check_architectures(accounts("own", [donor], finished=(), failed=()).to_compute, Store(str(tmp_path / "store")))


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 100, (9).to_bytes(8, "little") + b'{"a": []}'])
def test_plan_of_weights_without_a_header_says_that_they_are_damaged(tmp_path: Path, content: bytes) -> None:
    store = Store(str(tmp_path))
    donor = replace(tiny_donor(), weights=ImportedWeights(sha256=store.add_weights(content)))
    with pytest.raises(ValueError, match=r"damaged \(no header\): import the file again"):
        check_architectures(accounts("own", [donor], finished=(), failed=()).to_compute, store)


def test_import_of_a_model_with_a_head_of_its_own_is_refused(tmp_path: Path) -> None:
    weights = own_weights(tiny_donor())
    save_file({**weights, "lm_head.weight": weights["transformer.wte.weight"] + 1}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"lm_head\.weight unlike wte\.weight"):
        import_weights(Store(str(tmp_path / "store")), tmp_path / "model.safetensors")


@pytest.mark.parametrize("content", [b"", b"no tensors", save({"other": torch.zeros(2)})])
def test_import_of_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        import_weights(Store(str(tmp_path / "store")), tmp_path / "model.safetensors")


def test_damaged_weights_in_the_store_are_refused(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    sha256 = store.add_weights(b"some bytes")
    (tmp_path / "weights" / f"{sha256}.safetensors").write_bytes(b"other bytes")
    with pytest.raises(ValueError, match="damaged"):
        store.weights(sha256)


def saved_gpt2(folder: Path) -> bytes:
    """What `save_pretrained` of transformers writes."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=7, n_positions=5))
    model.save_pretrained(folder)
    return (folder / "model.safetensors").read_bytes()


def test_import_of_a_folder_of_save_pretrained_prints_the_line_for_a_grid(tmp_path: Path, subind: Call) -> None:
    content = saved_gpt2(tmp_path / "gpt2")
    status, out, _ = subind("import", "gpt2")
    assert status == 0
    digest = hashlib.sha256(content).hexdigest()
    first, *_, last = out.splitlines()
    assert first == "reading and checking gpt2"
    assert last == f'weights=ImportedWeights(sha256="{digest}"),'
    assert Store(str(tmp_path / "store")).weights(digest) == content


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_import_of_another_folder_is_refused_with_the_remedy(missing: str, tmp_path: Path) -> None:
    saved_gpt2(tmp_path / "gpt2")
    (tmp_path / "gpt2" / missing).unlink()
    with pytest.raises(ValueError, match="save_pretrained"):
        import_weights(Store(str(tmp_path / "store")), tmp_path / "gpt2")
