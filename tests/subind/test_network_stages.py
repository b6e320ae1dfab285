"""All stages on networks of a user's own module and on MLPs, against the fast path and against the runs alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load

from subind.specs.any_module import AnyModule
from subind.specs.digits import DigitsTask
from subind.specs.network import Network
from subind.specs.networks import MLP
from subind.specs.rows import Part
from subind.specs.runs import Discover, Train, Transfer
from subind.specs.starts import Subnetwork
from subind.specs.training import LastEpoch, NoEarlyStop, UniformFanIn
from subind.stages.parents import MASK_FILE, WEIGHTS_FILE, network_of
from subind.training.loop import Finished
from tests.specs import CONTROL_NAMES, tiny_donor, tiny_mask, tiny_model, tiny_transfer
from tests.subind import modules
from tests.subind.packs import HandMade, finished, hand_mask, perturbed

FAST = tiny_model()
SLOW = AnyModule(
    make=modules.transformers_gpt2,
    arguments={"num_layers": 2, "d_model": 16, "num_heads": 2, "vocabulary": 13},
    maskable=("*.c_attn.weight", "*.c_proj.weight", "*.c_fc.weight"),
)


def the_same_network(fast: Train, slow: Train) -> HandMade:
    """Both donors with the numbers of one."""
    state = perturbed(fast)
    return HandMade(donors={slow: network_of(slow).from_library(network_of(fast).to_library(state)), fast: state})


def only(run: Any, read: HandMade) -> Finished:
    (done,) = finished([run], read=read).values()
    assert done.replica.failure == ""
    return done


def assert_same_curves(found: Finished, expected: Finished, *, tolerance: float) -> None:
    curves = {name.replace("density.transformer.", "density."): each for name, each in found.replica.curves.items()}
    assert curves.keys() == expected.replica.curves.keys()
    for name, values in expected.replica.curves.items():
        assert curves[name] == pytest.approx(values, abs=tolerance), name


def test_mask_over_transformers_gpt2_is_that_of_the_fast_path() -> None:
    fast, slow = (tiny_mask(donor=tiny_donor(model=model), num_epochs=10) for model in (FAST, SLOW))
    read = the_same_network(fast.donor, slow.donor)  # type: ignore[arg-type]
    expected, found = only(fast, read), only(slow, read)
    assert 0 < expected.measurements["density"] < 1
    assert_same_curves(found, expected, tolerance=1e-4)
    bits = {name.removeprefix("transformer."): each for name, each in load(found.files[MASK_FILE]).items()}
    theirs = load(expected.files[MASK_FILE])
    assert bits.keys() == theirs.keys()
    assert all(torch.equal(bits[name], each) for name, each in theirs.items())


@pytest.mark.parametrize("start", [name for name in CONTROL_NAMES if name != "random_init"])
def test_recipient_of_transformers_gpt2_trains_as_that_of_the_fast_path(start: str) -> None:
    masks = [tiny_mask(donor=tiny_donor(model=model)) for model in (FAST, SLOW)]
    fast, slow = (tiny_transfer(start, mask=mask) for mask in masks)
    read = the_same_network(masks[0].donor, masks[1].donor)  # type: ignore[arg-type]
    bits = hand_mask(masks[0])
    read = replace(read, masks={masks[0]: bits, masks[1]: {f"transformer.{name}": each for name, each in bits.items()}})
    expected, found = only(fast, read), only(slow, read)
    assert_same_curves(found, expected, tolerance=1e-5)
    assert found.measurements["kept_fraction"] == expected.measurements["kept_fraction"]


# ---- digits, with dropout, BatchNorm and running statistics

DIGITS = DigitsTask(label_of="digit", num_outputs=10, evaluation_share=0.2, data_seed=0)
NETWORKS: dict[str, Network] = {
    "one_by_one": AnyModule(
        make=modules.with_batch_norm_and_dropout, arguments={}, maskable=("*.weight",), head=("4.*",)
    ),
    "vmap": AnyModule(
        make=modules.features, arguments={"inputs": 64, "outputs": 10}, maskable=("*.weight",), packing="vmap"
    ),
    "mlp": MLP(widths=(20,)),
}


def donor(network: Network, seed: int) -> Train:
    return tiny_donor(
        task=DIGITS,
        model=network,
        rows=(Part(name="digits", num_samples=60),),
        num_evaluation_samples=50,
        batch_size=16,
        kept_epoch=LastEpoch(),
        stopping=NoEarlyStop(),
        seed=seed,
    )


def mask(network: Network, seed: int, **changes: Any) -> Discover:
    return tiny_mask(
        donor=donor(network, seed),
        task=replace(DIGITS, label_of="parity"),
        rows=(Part(name="digits", num_samples=60),),
        num_evaluation_samples=50,
        batch_size=16,
        kept_epoch=LastEpoch(),
        seed=seed,
        **changes,
    )


def recipient(network: Network, seed: int) -> Transfer:
    return replace(
        tiny_transfer("subnetwork"),
        start=Subnetwork(mask=mask(network, seed)),
        task=replace(DIGITS, label_of="half"),
        rows=(Part(name="digits", num_samples=20),),
        fresh_weights=UniformFanIn(),
        num_evaluation_samples=50,
        kept_epoch=LastEpoch(),
        seed=seed,
    )


@pytest.mark.parametrize("stage", [donor, mask, recipient], ids=["donor", "mask", "recipient"])
@pytest.mark.parametrize("case", ["one_by_one", "mlp"])
def test_a_run_leaves_the_same_bytes_alone_and_in_a_pack(case: str, stage: Any) -> None:
    runs = [stage(NETWORKS[case], seed) for seed in range(3)]
    together = finished(runs, kept=frozenset(runs))
    for run in runs:
        alone = finished([run], kept=frozenset(runs))[run]
        assert alone.replica.failure == ""
        assert alone.files == together[run].files
        assert alone.measurements == together[run].measurements
        assert alone.replica.curves == together[run].replica.curves


@pytest.mark.parametrize("stage", [donor, mask, recipient], ids=["donor", "mask", "recipient"])
def test_a_vmapped_run_is_alone_and_in_a_pack_the_same_up_to_rounding(stage: Any) -> None:
    runs = [stage(NETWORKS["vmap"], seed) for seed in range(3)]
    together = finished(runs)
    alone = finished(runs[:1])[runs[0]]
    assert_same_curves(alone, together[runs[0]], tolerance=1e-4)


def test_donor_of_any_module_keeps_its_running_statistics() -> None:
    run = donor(NETWORKS["one_by_one"], 0)
    written = load(finished([run])[run].files[WEIGHTS_FILE])
    fresh = network_of(run).initial(torch.Generator())
    assert written["1.num_batches_tracked"] == 2 * 4
    assert not torch.equal(written["1.running_mean"], fresh.statistics["1.running_mean"])


def test_mask_by_batch_statistics_of_any_module_leaves_them() -> None:
    first, other = (mask(NETWORKS["one_by_one"], 0, statistics=each) for each in ("donor", "batch"))
    done = finished([other])[other]
    assert done.replica.failure == ""
    assert done.replica.curves != finished([first])[first].replica.curves


def test_recipient_with_all_but_the_head_held_moves_the_head_alone() -> None:
    run = replace(donor(NETWORKS["one_by_one"], 0), held="all_but_head")
    written, fresh = finished([run])[run].files[WEIGHTS_FILE], donor(NETWORKS["one_by_one"], 0)
    started = finished([replace(fresh, num_epochs=0)])[replace(fresh, num_epochs=0)].files[WEIGHTS_FILE]
    after, before = load(written), load(started)
    moved = {name for name, each in after.items() if not torch.equal(each, before[name])}
    assert moved == {"4.weight", "4.bias"}
