"""What packs cost. The oracles are PyTorch's own count of operations, and machines of known coefficients."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from subind.identity.run_ids import run_id
from subind.networks.network import State, bound
from subind.specs.any_module import AnyModule
from subind.specs.networks import GPT2
from subind.specs.rows import Part
from subind.specs.run import Run, Stage
from subind.specs.tasks import Task
from subind.store.results import RunRecord
from subind.training import tensors
from subind.training.draws import generator
from subind.training.tensors import Tokens
from sweeps.costs.cost_model import (
    SEQUENCES,
    Price,
    cpu_model,
    gpu_model,
    slowness,
)
from sweeps.costs.fit import fitted, observations
from sweeps.costs.work import operations
from sweeps.grids import protocol
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.sweeps.fabricated import fabricated_record


def _counted(model: GPT2, num_rows: int) -> float:
    """Operations of the forward pass over rows of three tokens, as PyTorch counts them."""
    network = bound(model, tiny_donor().task.signature())
    one = network.initial(generator("donor/initial", 0))
    pack = State(parameters=tensors.stacked([one.parameters]), statistics={})
    rows = Tokens(tokens=torch.zeros(1, num_rows, 3, dtype=torch.long), read="all")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.outputs(pack, rows, draws=None, training=False, precision="float32")
    return float(counter.get_total_flops())


def _record(spec: Run, *, seconds: float, pack_size: int = 1, started: str = "", device: str = "cpu") -> RunRecord:
    """A record of two epochs."""
    record = fabricated_record(spec, num_epochs=2, started=started)
    provenance = replace(record.provenance, seconds=seconds, pack_size=pack_size, device=device)
    return replace(record, provenance=provenance)


Finished = list[tuple[Run, RunRecord]]


@pytest.mark.parametrize("num_layers", [1, 3])
def test_operations_of_a_donor_are_those_that_pytorch_counts(num_layers: int) -> None:
    model = GPT2(num_layers=num_layers, d_model=32, num_heads=2, dropout=0.0)
    donor = tiny_donor(model=model, num_samples=24, num_evaluation_samples=12, num_epochs=5)
    counted = 5 * (3 * _counted(model, 24) + _counted(model, 12)) + _counted(model, 12)
    assert operations(donor) == pytest.approx(counted, rel=0.02)  # attention over three positions is not counted by us


def test_operations_of_a_transfer_grow_by_those_of_its_disambiguation_samples() -> None:
    control = protocol.starts(protocol.mask(2, seed=0))[0]
    none, many = (operations(protocol.transfer(control, num_disambiguation=n, seed=0)) for n in (0, 10000))
    num_parameters = 12 * 2 * 128**2 + 1001 * 128
    assert many - none == 100 * 10000 * 3 * 6 * num_parameters  # epochs, samples, positions, forward and backward


def test_donor_without_epochs_still_costs_its_evaluation() -> None:
    assert operations(tiny_donor(num_epochs=0)) > 0


# ---- the price of a pack


def _finished_pack(first: Run, *, seconds: float, size: int = 1, started: str = "", **changes: Any) -> Finished:
    """The records of a pack of runs that differ in their seed."""
    pack = [replace(first, seed=seed) for seed in range(size)]
    return [
        (spec, _record(spec, seconds=seconds, pack_size=size, started=started or run_id(first), **changes))
        for spec in pack
    ]


def _packs(stage: Stage) -> list[Run]:
    """Packs of one stage whose parts weigh differently: few and many rows, shallow and deep, small and large steps."""
    mask = tiny_mask(num_epochs=2)
    made: dict[Stage, Callable[[GPT2, int, int], Run]] = {
        "donor": lambda model, rows, batch: tiny_donor(model=model, num_samples=rows, batch_size=batch),
        "mask": lambda model, rows, batch: tiny_mask(
            num_epochs=2, donor=tiny_donor(model=model), num_samples=rows, batch_size=batch
        ),
        "transfer": lambda model, rows, batch: tiny_transfer(
            mask=replace(mask, donor=tiny_donor(model=model)), num_disambiguation=rows, batch_size=batch
        ),
    }
    models = [GPT2(num_layers=layers, d_model=width, num_heads=2, dropout=0.0) for layers, width in SIZES]
    return [made[stage](model, rows, batch) for model in models for rows in (100, 20_000) for batch in (10, 1000)]


SIZES = ((1, 512), (8, 16), (2, 64), (12, 128))


def test_price_of_a_pack_is_linear_in_its_replicas() -> None:
    price = cpu_model().price(protocol.donor(2, seed=0))
    assert price.seconds(9) - price.seconds(8) == pytest.approx(price.seconds(2) - price.seconds(1))


def test_price_of_packs_that_share_a_device_is_between_alone_and_in_turn() -> None:
    price = Price(start=1.0, passes=10.0, each=2.0)
    assert (price.seconds(3), price.seconds(3, sharing=2), price.seconds(3, sharing=4)) == (17.0, 17.0, 25.0)


def test_saturating_pack_spends_a_hundredth_on_its_passes() -> None:
    assert Price(start=1.0, passes=10.0, each=2.0).saturating() == 500


def test_price_of_twice_the_epochs_is_twice_but_for_the_start_and_the_final_evaluation() -> None:
    once, twice = (cpu_model().price(tiny_donor(num_epochs=number)) for number in (5, 10))
    assert (twice.start, twice.passes) == (once.start, pytest.approx(2 * once.passes, rel=0.03))
    assert twice.each == pytest.approx(2 * once.each, rel=0.03)


# ---- the fit


@pytest.mark.parametrize("stage", ["donor", "mask", "transfer"])
def test_fit_to_long_packs_of_a_slower_machine_forecasts_another_shape(stage: Stage) -> None:
    default, slower = cpu_model(), cpu_model().scaled(3.0)
    packs = [_finished_pack(each, seconds=slower.price(each).seconds(8), size=8) for each in _packs(stage)]
    model = fitted(default, [each for pack in packs for each in pack], device="cpu")
    asked = {"donor": protocol.donor, "mask": protocol.mask}.get(stage, protocol.donor)(4, seed=0)
    assert model.basis == "measured"
    assert model.price(asked).seconds(5) == pytest.approx(slower.price(asked).seconds(5), rel=0.1)


def test_fit_to_a_pack_of_a_moment_lengthens_its_start_and_hardly_the_work() -> None:
    spec = tiny_donor()
    model = fitted(cpu_model(), _finished_pack(spec, seconds=6.0), device="cpu")
    long = protocol.donor(2, seed=0)
    assert model.price(spec).seconds(1) == pytest.approx(6.0, rel=0.2)
    assert model.price(long).seconds(1) < 2 * cpu_model().price(long).seconds(1)


def test_fit_is_that_of_the_median_pack_whatever_one_took_that_was_resumed_at_its_end() -> None:
    slower = cpu_model().scaled(3.0)
    seconds = [slower.price(each).seconds(1) for each in _packs("donor")]
    seconds[3] *= 0.01
    packs = [_finished_pack(spec, seconds=each) for spec, each in zip(_packs("donor"), seconds, strict=True)]
    model = fitted(cpu_model(), [each for pack in packs for each in pack], device="cpu")
    asked = protocol.donor(4, seed=0)
    assert model.price(asked).seconds(1) == pytest.approx(slower.price(asked).seconds(1), rel=0.1)


def test_fit_of_one_stage_makes_the_others_as_many_times_longer() -> None:
    default = cpu_model()
    slower = default.scaled(4.0)
    packs = [_finished_pack(spec, seconds=slower.price(spec).seconds(1)) for spec in _packs("donor")]
    model = fitted(default, [each for pack in packs for each in pack], device="cpu")
    mask = protocol.mask(2, seed=0)
    assert model.price(mask).seconds(1) == pytest.approx(4 * default.price(mask).seconds(1), rel=0.1)


def test_fit_without_finished_runs_is_the_default() -> None:
    assert fitted(cpu_model(), [], device="cpu") == cpu_model()


def test_fit_is_to_packs_of_the_named_device_only() -> None:
    model = gpu_model("NVIDIA H200")
    assert model is not None
    assert fitted(model, _finished_pack(tiny_donor(), seconds=100.0), device="NVIDIA H200").basis == "assumed"


def test_coefficients_of_a_fit_are_never_negative() -> None:
    packs = [_finished_pack(spec, seconds=each) for spec, each in zip(_packs("donor"), range(1, 100), strict=False)]
    model = fitted(cpu_model(), [each for pack in packs for each in pack], device="cpu")
    assert min(asdict(model.coefficients["donor", SEQUENCES, "float32"]).values()) >= 0


# ---- packs as records tell of them


def test_records_of_one_pack_are_one_observation_of_its_whole_work() -> None:
    (found,) = observations(_finished_pack(tiny_donor(), seconds=8.0, size=5), device="cpu")
    assert (found.asked.operations, found.seconds) == (pytest.approx(5 * operations(tiny_donor())), 8.0)


def test_records_of_a_part_of_a_pack_stand_for_the_whole() -> None:
    (found,) = observations(_finished_pack(tiny_donor(), seconds=8.0, size=5)[:2], device="cpu")
    assert found.asked.operations == pytest.approx(5 * operations(tiny_donor()))


def test_packs_that_start_at_another_time_are_other_observations() -> None:
    first, second = (_finished_pack(tiny_donor(), seconds=8.0, size=5, started=time) for time in ("now", "then"))
    assert len(observations([*first, *second], device="cpu")) == 2


def test_pack_of_donors_that_stopped_early_has_done_their_part_of_the_work() -> None:
    (found,) = observations(_finished_pack(tiny_donor(num_epochs=8), seconds=8.0, size=2), device="cpu")
    assert found.asked.operations == pytest.approx(2 * operations(tiny_donor(num_epochs=8)) / 4)


def test_donors_that_stopped_early_teach_how_early() -> None:
    donor = tiny_donor(num_epochs=8)
    model = fitted(cpu_model(), _finished_pack(donor, seconds=8.0), device="cpu")
    whole = replace(model, shares={})
    assert (whole.may_stop_early(donor), model.may_stop_early(donor)) == (True, False)
    assert model.price(donor).each == pytest.approx(whole.price(donor).each / 4)


def test_donor_of_another_patience_is_not_known_to_stop_early() -> None:
    model = fitted(cpu_model(), _finished_pack(tiny_donor(num_epochs=8), seconds=8.0), device="cpu")
    assert model.may_stop_early(tiny_donor(num_epochs=8, patience=3))


def test_run_that_has_no_patience_to_lose_does_not_stop_early() -> None:
    assert not cpu_model().may_stop_early(tiny_donor(num_epochs=4, patience=4))
    assert not cpu_model().may_stop_early(tiny_mask())


# ---- networks of a user's own


@dataclass(frozen=True, kw_only=True)
class Letters(Task):
    """A task of a user's own."""


def linear(width: int) -> torch.nn.Module:
    return torch.nn.Linear(width, width, bias=False)


def _of_module(width: int, *, rows: int = 100) -> Run:
    network = AnyModule(make=linear, arguments={"width": width}, maskable=("weight",))
    letters = (Part(name="letters", num_samples=rows),)
    return replace(tiny_donor(), task=Letters(), model=network, rows=letters, num_evaluation_samples=10)


def test_run_of_any_module_multiplies_with_each_of_its_parameters_for_every_row() -> None:
    epochs, rows, evaluated = 2, 100, 10
    assert operations(_of_module(8)) == 64 * 6 * (epochs * rows + (epochs + 1) * evaluated / 3)


def test_replicas_of_any_module_cost_the_same_in_one_pack_as_apart() -> None:
    price = cpu_model().price(_of_module(8))
    assert price.passes == 0
    assert price.seconds(5) - price.start == pytest.approx(5 * (price.seconds(1) - price.start))


def test_fit_to_packs_of_any_module_is_of_its_own_kind() -> None:
    """A machine that takes ten times as long for such a module."""
    slower = cpu_model().scaled(10.0)
    several = [_of_module(width, rows=10**6) for width in (64, 128, 256, 512)]
    packs = [_finished_pack(each, seconds=slower.price(each).seconds(1), started=str(each)) for each in several]
    model = fitted(cpu_model(), [each for pack in packs for each in pack], device="cpu")
    asked = _of_module(384, rows=10**6)
    assert model.price(asked).seconds(1) == pytest.approx(slower.price(asked).seconds(1), rel=0.25)
    assert model.num_packs == {("donor", "linear", "float32"): 4}


# ---- defaults


def test_card_of_an_unknown_name_has_no_model() -> None:
    assert gpu_model("Abacus 3000") is None


@pytest.mark.parametrize(
    ("name", "peak"), [("NVIDIA H100 PCIe", 51e12), ("NVIDIA H100 80GB HBM3", 67e12), ("NVIDIA L4", 30.3e12)]
)
def test_model_of_a_card_is_that_of_its_own_name(name: str, peak: float) -> None:
    model = gpu_model(name)
    assert model is not None
    assert model.coefficients["donor", SEQUENCES, "float32"].operation == pytest.approx(1 / (0.4 * peak))


def test_slowness_of_this_machine_is_that_of_a_computer() -> None:
    assert 1e-3 < slowness() < 1e3
