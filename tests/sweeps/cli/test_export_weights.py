"""`subind export-weights`: its file is what transformers loads, and a run without weights says how to have them."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from subind.identity.run_ids import run_id
from subind.specs.base import behaviour
from subind.specs.run import Run
from subind.stages.parents import network_of
from subind.store.store import Store
from subind.tasks.task import Key
from subind.training.draws import generator
from subind.training.tensors import Tokens
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.sweeps.conftest import Call
from tests.sweeps.fabricated import fabricated_record


def committed(folder: Path, run: Run) -> Store:
    """The store in the folder, with the run and fresh weights of its network."""
    store = Store(str(folder / "store"))
    network = network_of(run)
    state = network.initial(generator("donor/initial", run.seed))
    store.commit(run, fabricated_record(run), {"weights.safetensors": save(network.to_library(state))})
    return store


def answers(run: Run, tokens: Tensor) -> Tensor:
    """What the network computes whose weights `committed` writes."""
    network = network_of(run)
    state = network.initial(generator("donor/initial", run.seed))
    pack = type(state)(parameters={name: each[None] for name, each in state.parameters.items()}, statistics={})
    given = Tokens(tokens=tokens[None], read="all")
    return network.outputs(pack, given, draws=None, training=False, precision="float32")[0]


def test_weights_of_a_donor_are_loaded_by_transformers(subind: Call, tmp_path: Path) -> None:
    donor = tiny_donor()
    committed(tmp_path, donor)
    file = tmp_path / "new" / "donor.safetensors"
    status, out, _ = subind("export-weights", run_id(donor)[:8], "--output", str(file))
    assert status == 0
    assert str(file) in out
    config = GPT2Config(vocab_size=13, n_positions=4, n_embd=16, n_layer=2, n_head=2)
    model = GPT2LMHeadModel(config).eval()
    model.load_state_dict(load_file(file))
    key = Key(stage="donor", seed=0, rows="test")
    tokens = behaviour(donor.task).rows("test", num_rows=12, key=key)["tokens"][:, :3]
    torch.testing.assert_close(answers(donor, tokens), model(tokens).logits, rtol=1e-4, atol=1e-5)


def test_weights_of_a_kept_recipient_are_the_bytes_of_the_store(subind: Call, tmp_path: Path) -> None:
    recipient = tiny_transfer("random_init", seed=3)
    store = committed(tmp_path, recipient)
    file = tmp_path / "recipient.safetensors"
    assert subind("export-weights", run_id(recipient), "--output", str(file))[0] == 0
    assert file.read_bytes() == store.artifact(recipient, "weights.safetensors")


def test_recipient_without_weights_says_how_to_keep_them(subind: Call, tmp_path: Path) -> None:
    recipient = tiny_transfer("random_init")
    store = Store(str(tmp_path / "store"))
    store.commit(recipient, fabricated_record(recipient), {})
    status, _, err = subind("export-weights", run_id(recipient), "--output", str(tmp_path / "none"))
    assert status != 0
    assert "KEEP = True" in err
    assert "--keep" in err
    assert not (tmp_path / "none").exists()


def test_mask_names_the_donor_to_export(subind: Call, tmp_path: Path) -> None:
    mask = tiny_mask()
    store = Store(str(tmp_path / "store"))
    store.commit(mask, fabricated_record(mask), {"mask.safetensors": b"bits"})
    status, _, err = subind("export-weights", run_id(mask), "--output", str(tmp_path / "none"))
    assert status != 0
    assert f"export the donor {run_id(tiny_donor())}" in err


def test_run_that_is_not_finished_says_so(subind: Call, tmp_path: Path) -> None:
    store = committed(tmp_path, tiny_donor())
    Path(store.folder(tiny_donor()), "record.json").unlink()
    status, _, err = subind("export-weights", run_id(tiny_donor()), "--output", str(tmp_path / "none"))
    assert status != 0
    assert "not finished" in err
