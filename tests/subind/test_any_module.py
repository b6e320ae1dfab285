"""Any module as a network: against the module alone, and against the fast path of GPT-2."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from subind.networks.any_module import PackedModule
from subind.networks.network import Network, State, bound
from subind.specs.any_module import AnyModule
from subind.specs.networks import GPT2
from subind.specs.tasks import AnyInputs, Features, Images, Signature
from subind.specs.training import Normal, UniformFanIn
from subind.training.draws import Draws
from subind.training.tensors import Inputs, Tokens, stacked
from tests.subind import modules
from tests.subind.reference import tokens_signature

VOCABULARY = 13
IMAGES = Signature(inputs=Images(image_size=8, num_channels=3), num_outputs=10)
TOKENS = tokens_signature(VOCABULARY)
FEATURES = Signature(inputs=Features(num_features=64), num_outputs=10)

CONVOLUTIONS = AnyModule(
    make=modules.convolutions, arguments={"channels": 12}, maskable=("conv.weight", "fc.weight"), head=("fc.*",)
)
TAGGER = AnyModule(make=modules.tagger, arguments={"vocabulary": VOCABULARY, "width": 24}, maskable=("lstm.weight*",))
ATTENDING = AnyModule(
    make=modules.attending, arguments={"vocabulary": VOCABULARY, "width": 24}, maskable=("block.*.weight",)
)
CASES = {"convolutions": (CONVOLUTIONS, IMAGES), "tagger": (TAGGER, TOKENS), "attending": (ATTENDING, TOKENS)}


def of(make: Callable[..., Any], *, packing: str = "one_by_one", **arguments: Any) -> AnyModule:
    return AnyModule(make=make, arguments=arguments, maskable=("*weight",), packing=packing)  # type: ignore[arg-type]


def packed(spec: AnyModule, signature: Signature) -> PackedModule:
    made = bound(spec, signature)
    assert isinstance(made, PackedModule)
    return made


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inputs_for(signature: Signature, replicas: int, *, batch: int = 6, seed: int = 7) -> Tensor:
    match signature.inputs:
        case Images():
            return torch.randn(replicas, batch, 3, 8, 8, generator=generator(seed))
        case Features():
            return torch.randn(replicas, batch, 64, generator=generator(seed))
    return torch.randint(VOCABULARY, (replicas, batch, 3), generator=generator(seed))


def as_inputs(signature: Signature, given: Tensor) -> Inputs:
    return Tokens(tokens=given, read="all") if signature == TOKENS else given


def draws(seeds: Iterable[int], *, step: int = 0) -> Draws:
    made = Draws("donor/dropout", list(seeds), "cpu")
    made.at(step)
    return made


def pack_of(states: Sequence[State]) -> State:
    parameters = {name: each.requires_grad_() for name, each in stacked([own.parameters for own in states]).items()}
    return State(parameters=parameters, statistics=stacked([own.statistics for own in states]))


def loss_of(outputs: Tensor) -> Tensor:
    return outputs.square().mean(tuple(range(1, outputs.dim())))


def trained(network: Network, signature: Signature, seeds: Sequence[int], *, steps: int = 3) -> list[Tensor]:
    """Losses and gradients of every step, parameters and statistics after the last, of replicas with these seeds."""
    state = pack_of([network.initial(generator(seed)) for seed in seeds])
    found = []
    for step in range(steps):
        given = torch.stack([inputs_for(signature, 1, seed=1000 * seed + step)[0] for seed in seeds])
        outputs = network.outputs(
            state, as_inputs(signature, given), draws=draws(seeds, step=step), training=True, precision="float32"
        )
        losses = loss_of(outputs)
        gradients = torch.autograd.grad(losses.sum(), list(state.parameters.values()))
        with torch.no_grad():
            for tensor, gradient in zip(state.parameters.values(), gradients, strict=True):
                tensor.sub_(gradient, alpha=0.3)
        found += [losses.detach(), *gradients]
    return [*found, *(each.detach() for each in state.parameters.values()), *state.statistics.values()]


@pytest.mark.parametrize("replicas", [2, 5, 25])
@pytest.mark.parametrize("case", CASES)
def test_training_of_a_replica_does_not_depend_on_its_pack(case: str, replicas: int) -> None:
    spec, signature = CASES[case]
    network, seeds = packed(spec, signature), range(replicas)
    whole = trained(network, signature, seeds)
    for index in range(0, replicas, max(1, replicas // 3)):
        alone = trained(network, signature, seeds[index : index + 1])
        assert all(torch.equal(own[0], pack[index]) for own, pack in zip(alone, whole, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_replica_is_bit_for_bit_the_module_alone(case: str) -> None:
    spec, signature = CASES[case]
    network = packed(spec, signature)
    states, given = [network.initial(generator(seed)) for seed in range(3)], inputs_for(signature, 3)
    pack, step = pack_of(states), draws(range(3))
    outputs = network.outputs(pack, as_inputs(signature, given), draws=step, training=True, precision="float32")
    loss_of(outputs).sum().backward()
    for index, seed in enumerate(draws(range(3)).seeds()):
        module = spec.make(**dict(spec.arguments)).train()
        module.load_state_dict(network.to_library(states[index]), strict=True)
        torch.manual_seed(seed)
        expected = module(given[index].clone())
        loss_of(expected[None]).backward()
        assert torch.equal(outputs[index], expected)
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                gradient = pack.parameters[name].grad
                assert gradient is not None
                assert torch.equal(gradient[index], parameter.grad)
        own = State(
            parameters={name: tensor[index] for name, tensor in pack.parameters.items()},
            statistics={name: tensor[index] for name, tensor in pack.statistics.items()},
        )
        after = network.to_library(own)
        assert all(torch.equal(after[name], each) for name, each in module.state_dict().items())


def test_buffers_that_a_module_replaces_are_the_replicas_own() -> None:
    network, given = packed(of(modules.averaging), FEATURES), inputs_for(FEATURES, 2)
    pack = pack_of([network.initial(generator(seed)) for seed in range(2)])
    network.outputs(pack, given, draws=draws(range(2)), training=True, precision="float32")
    assert torch.equal(pack.statistics["running_mean"], torch.stack([0.5 * each.mean(0) for each in given]))


# ---- training and evaluation


def test_evaluation_has_no_dropout_and_leaves_the_statistics() -> None:
    network, given = packed(CONVOLUTIONS, IMAGES), inputs_for(IMAGES, 2)
    states = [network.initial(generator(seed)) for seed in range(2)]
    pack = pack_of(states)
    outputs = network.outputs(pack, given, draws=None, training=False, precision="float32")
    for index, state in enumerate(states):
        module = modules.Convolutions(12).eval()
        module.load_state_dict(network.to_library(state))
        assert torch.equal(outputs[index], module(given[index]))
    assert all(torch.equal(each, pack_of(states).statistics[name]) for name, each in pack.statistics.items())


def test_evaluation_of_a_module_that_always_changes_its_buffers_leaves_the_statistics() -> None:
    network, given = packed(of(modules.summing), FEATURES), inputs_for(FEATURES, 2)
    pack = pack_of([network.initial(generator(seed)) for seed in range(2)])
    network.outputs(pack, given, draws=None, training=False, precision="float32")
    assert pack.statistics["sum"].count_nonzero() == 0
    network.outputs(pack, given, draws=draws(range(2)), training=True, precision="float32")
    assert torch.equal(pack.statistics["sum"], given.sum(1))


def test_training_with_held_statistics_has_dropout_and_leaves_them() -> None:
    network, given = packed(CONVOLUTIONS, IMAGES), inputs_for(IMAGES, 2)
    pack, held = (pack_of([network.initial(generator(seed)) for seed in range(2)]) for _ in range(2))
    with_dropout = network.outputs(pack, given, draws=draws(range(2)), training=False, precision="float32")
    without = network.outputs(pack, given, draws=None, training=False, precision="float32")
    assert not torch.equal(with_dropout, without)
    assert all(torch.equal(pack.statistics[name], each) for name, each in held.statistics.items())


def test_training_without_draws_has_no_dropout_and_moves_the_statistics() -> None:
    network, given = packed(CONVOLUTIONS, IMAGES), inputs_for(IMAGES, 2)
    first, again = (pack_of([network.initial(generator(seed)) for seed in range(2)]) for _ in range(2))
    outputs = [
        network.outputs(state, given, draws=None, training=True, precision="float32") for state in (first, again)
    ]
    assert torch.equal(*outputs)
    assert first.statistics["norm.num_batches_tracked"].tolist() == [1, 1]


def test_dropout_of_another_step_or_seed_is_another() -> None:
    network = packed(of(modules.with_dropout, rate=0.5), FEATURES)
    given, states = inputs_for(FEATURES, 1), pack_of([network.initial(generator(0))])
    first, again, later, other = (
        network.outputs(states, given, draws=draws([seed], step=step), training=True, precision="float32")
        for seed, step in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert not torch.equal(first, other)


def test_outputs_read_at_the_last_position_are_cut_there() -> None:
    network, given = packed(TAGGER, TOKENS), inputs_for(TOKENS, 2)
    pack = pack_of([network.initial(generator(seed)) for seed in range(2)])
    whole, last = (
        network.outputs(pack, Tokens(tokens=given, read=read), draws=None, training=False, precision="float32")
        for read in ("all", "last")
    )
    assert torch.equal(last, whole[:, :, -1:])


def test_torchs_own_generator_stays_where_it_was() -> None:
    before = torch.get_rng_state()
    network = packed(CONVOLUTIONS, IMAGES)
    trained(network, IMAGES, [0, 1])
    CONVOLUTIONS.check_built(IMAGES)
    assert torch.equal(torch.get_rng_state(), before)


# ---- transformers' GPT-2 against the fast path


SIZES = {"num_layers": 2, "d_model": 64, "num_heads": 4}


def gpt2_of_transformers(*, packing: str = "one_by_one") -> AnyModule:
    arguments = {**SIZES, "vocabulary": VOCABULARY}
    patterns = ("*.c_attn.weight", "*.c_proj.weight", "*.c_fc.weight")
    return AnyModule(
        make=modules.transformers_gpt2,
        arguments=arguments,  # type: ignore[arg-type]
        maskable=patterns,
        packing=packing,  # type: ignore[arg-type]
    )


def adamw_losses(network: Network, states: Sequence[State], *, num_steps: int) -> Tensor:
    pack = pack_of(states)
    optimiser = torch.optim.AdamW(pack.parameters.values(), lr=1e-3, weight_decay=0.1)
    found = []
    for step in range(num_steps):
        rows = torch.randint(VOCABULARY, (len(states), 16, 4), generator=generator(step % 8))
        rows[:, :, 2] = VOCABULARY - 1
        inputs = Tokens(tokens=rows[:, :, :3], read="all")
        scores = network.outputs(pack, inputs, draws=draws([0, 1, 2], step=step), training=True, precision="float32")
        each = zip(scores, rows, strict=True)
        losses = torch.stack([F.cross_entropy(own.flatten(0, 1), row[:, 1:].flatten()) for own, row in each])
        optimiser.zero_grad()
        losses.sum().backward()
        optimiser.step()
        found.append(losses.detach())
    return torch.stack(found)


def test_transformers_gpt2_trains_as_the_fast_path_does() -> None:
    fast, slow = bound(GPT2(**SIZES, dropout=0.0), TOKENS), packed(gpt2_of_transformers(), TOKENS)
    states = [fast.initial(generator(seed)) for seed in range(3)]
    expected = adamw_losses(fast, states, num_steps=50)
    found = adamw_losses(slow, [slow.from_library(fast.to_library(each)) for each in states], num_steps=50)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert bool((expected[-1] < expected[0] - 0.5).all())


def test_transformers_gpt2_has_the_names_of_the_fast_path() -> None:
    fast, slow = bound(GPT2(**SIZES, dropout=0.0), TOKENS), packed(gpt2_of_transformers(), TOKENS)
    assert slow.shapes == {f"transformer.{name}": shape for name, shape in fast.shapes.items()}
    assert slow.maskable == tuple(f"transformer.{name}" for name in fast.maskable)
    assert slow.norms == tuple(f"transformer.{name}" for name in fast.norms)
    assert slow.to_library(slow.initial(generator(0))).keys() == fast.to_library(fast.initial(generator(0))).keys()


def test_uniform_weights_of_transformers_gpt2_have_the_spread_of_the_fast_path() -> None:
    fast, slow = bound(GPT2(**SIZES, dropout=0.0), TOKENS), packed(gpt2_of_transformers(), TOKENS)
    for name in ("h.0.mlp.c_proj.weight", "h.0.mlp.c_fc.bias"):
        found, expected = (
            network.fresh(own, UniformFanIn(), generator(0))
            for network, own in ((slow, f"transformer.{name}"), (fast, name))
        )
        assert torch.equal(found, expected)


# ---- vmap


@pytest.mark.parametrize("case", ["attending", "features"])
def test_vmapped_replicas_equal_those_one_by_one(case: str) -> None:
    if case == "attending":
        make, arguments, signature = modules.attending, {"vocabulary": VOCABULARY, "width": 24}, TOKENS
    else:
        make, arguments, signature = modules.features, {"inputs": 64, "outputs": 10}, FEATURES
    apart, together = (of(make, packing=packing, **arguments) for packing in ("one_by_one", "vmap"))
    together.check_built(signature)
    expected, found = (trained(packed(spec, signature), signature, range(3)) for spec in (apart, together))
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, atol=1e-5, rtol=1e-4)


UNPACKABLE = {
    "its Dropout differs": of(modules.with_dropout, packing="vmap", rate=0.5),
    "its BatchNorm1d differs": of(modules.with_batch_norm, packing="vmap"),
    "and Branching cannot": of(modules.branching, packing="vmap"),
    "and FunctionalDropout cannot": of(modules.functional_dropout, packing="vmap"),
    "it changes 'sum'": of(modules.summing, packing="vmap"),
}


@pytest.mark.parametrize("message", UNPACKABLE)
def test_a_module_that_vmap_cannot_pack_is_refused_with_the_remedy(message: str) -> None:
    with pytest.raises(ValueError, match=r"give packing='one_by_one'") as raised:
        UNPACKABLE[message].check_built(FEATURES)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "make",
    [
        modules.branching,
        modules.functional_dropout,
        modules.with_batch_norm,
        modules.summing,
        modules.unused_without_gradient,
    ],
)
def test_what_vmap_cannot_pack_goes_one_by_one(make: Callable[[], nn.Module]) -> None:
    of(make).check_built(FEATURES)


def test_dropout_of_rate_zero_can_be_packed_by_vmap() -> None:
    of(modules.with_dropout, packing="vmap", rate=0.0).check_built(FEATURES)


# ---- fresh values and files


def test_initial_is_the_modules_own_initialisation() -> None:
    state = packed(TAGGER, TOKENS).initial(generator(3))
    torch.manual_seed(int(torch.randint(2**63 - 1, (), generator=generator(3))))
    theirs = modules.tagger(VOCABULARY, 24)
    assert state.parameters.keys() == dict(theirs.named_parameters()).keys()
    assert all(torch.equal(state.parameters[name], each) for name, each in theirs.named_parameters())


def test_initial_of_one_generator_state_is_the_same_and_of_another_is_not() -> None:
    network = packed(CONVOLUTIONS, IMAGES)
    first, again, other = (network.initial(generator(seed)).parameters for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in network.maskable)


def test_fresh_values_of_a_law_have_its_spread() -> None:
    network = packed(of(modules.features, inputs=64, outputs=1000), FEATURES)
    normal, uniform = (network.fresh("3.weight", law, generator(0)) for law in (Normal(std=0.5), UniformFanIn()))
    bias = network.fresh("3.bias", UniformFanIn(), generator(0))
    assert normal.std().item() == pytest.approx(0.5, rel=0.02)
    for tensor in (uniform, bias):
        assert 0.98 * 24**-0.5 < tensor.abs().max().item() <= 24**-0.5


def test_statistics_are_persistent_buffers_and_parameters_without_gradients() -> None:
    assert set(packed(CONVOLUTIONS, IMAGES).initial(generator(0)).statistics) == {
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    }
    assert set(packed(ATTENDING, TOKENS).initial(generator(0)).statistics) == {"positions"}


def test_head_and_norms_are_found_by_pattern_and_type() -> None:
    network = packed(CONVOLUTIONS, IMAGES)
    assert network.head == ("fc.weight", "fc.bias")
    assert network.norms == ("norm.weight", "norm.bias")
    assert network.maskable == ("conv.weight", "fc.weight")


@pytest.mark.parametrize("case", CASES)
def test_to_library_is_loaded_strictly_and_comes_back_the_same(case: str) -> None:
    spec, signature = CASES[case]
    network = packed(spec, signature)
    state = network.initial(generator(0))
    module = spec.make(**dict(spec.arguments))
    module.load_state_dict(network.to_library(state), strict=True)
    again = network.from_library(module.state_dict())
    for own, other in ((state.parameters, again.parameters), (state.statistics, again.statistics)):
        assert own.keys() == other.keys()
        assert all(torch.equal(other[name], each) for name, each in own.items())


def test_a_tied_weight_is_one_parameter_with_all_its_names_in_files() -> None:
    network = packed(TAGGER, TOKENS)
    assert "head.weight" not in network.shapes
    tensors = network.to_library(network.initial(generator(0)))
    assert torch.equal(tensors["head.weight"], tensors["embedding.weight"])
    by_other_name = {name: each for name, each in tensors.items() if name != "embedding.weight"}
    found = network.from_library(by_other_name).parameters["embedding.weight"]
    assert torch.equal(found, tensors["embedding.weight"])


def test_a_file_with_untied_weights_is_refused() -> None:
    network = packed(TAGGER, TOKENS)
    tensors = network.to_library(network.initial(generator(0)))
    with pytest.raises(ValueError, match=r"another head.weight than embedding.weight, and the module ties the two"):
        network.from_library(tensors | {"head.weight": tensors["head.weight"] + 1})


def test_a_file_with_another_head_is_refused_unless_it_is_left_out() -> None:
    network = packed(CONVOLUTIONS, IMAGES)
    tensors = network.to_library(network.initial(generator(0))) | {"fc.weight": torch.ones(1000, 192)}
    with pytest.raises(ValueError, match=r"fc.weight has the shape \(1000, 192\), not \(10, 192\)"):
        network.from_library(tensors)
    found = network.from_library(tensors, without=network.head).parameters
    assert found.keys() == network.shapes.keys() - set(network.head)


# ---- refusals at planning time


REFUSED = {
    "raised KeyError: 'no such size': mend it": of(modules.raising),
    "gave a dict: let it return a torch.nn.Module": of(modules.no_module),
    "without parameters": of(modules.no_parameters),
    "leaves the size of 'weight' open": of(modules.lazy),
    "as torch.float64 on cpu: make float32": of(modules.double),
    "raised TypeError": of(modules.features, nonsense=3),
    "AnyModule.maskable has 'none.*', which fits no parameter: they are named 0.weight, 0.bias": AnyModule(
        make=modules.features, arguments={"inputs": 64, "outputs": 10}, maskable=("none.*",)
    ),
    "AnyModule.head has 'last.*', which fits no parameter": AnyModule(
        make=modules.features, arguments={"inputs": 64, "outputs": 10}, maskable=("*.weight",), head=("last.*",)
    ),
}

REFUSED_WHEN_TRIED = {
    "gives other weights from the same torch.manual_seed": of(modules.not_reproducible),
    "draws random numbers in evaluation": of(modules.always_noisy),
    "changes the buffer 'count': register it with persistent=True": of(modules.counting),
    "the buffer 'count'": of(modules.replacing),
    "does not use 'pooler.weight': give it requires_grad=False": of(modules.unused),
    "gave a module with a tuple as output": of(modules.pair),
    "with outputs (2, 7) for 2 rows, and the task wants (2, 10)": of(modules.features, inputs=64, outputs=7),
    "gave a Sequential that raised RuntimeError: addmm: mat1": of(modules.features, inputs=63, outputs=10),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_wrong_function_is_refused_when_it_is_bound_and_at_planning_time(message: str) -> None:
    for refuse in (lambda: REFUSED[message].check_built(FEATURES), lambda: bound(REFUSED[message], FEATURES)):
        with pytest.raises(ValueError, match=r"AnyModule\.\w+ (is|has) ") as raised:
            refuse()
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("message", REFUSED_WHEN_TRIED)
def test_a_wrong_module_is_refused_at_planning_time(message: str) -> None:
    with pytest.raises(ValueError, match=r"AnyModule\.make is '.*modules:\w+', which") as raised:
        REFUSED_WHEN_TRIED[message].check_built(FEATURES)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_module_for_inputs_of_its_author_is_not_tried_out() -> None:
    of(modules.features, inputs=63, outputs=10).check_built(Signature(inputs=AnyInputs(), num_outputs=0))


# ---- the spec


def test_arguments_in_another_order_or_as_pairs_are_the_same_network() -> None:
    first = of(modules.features, inputs=64, outputs=10)
    assert first == of(modules.features, outputs=10, inputs=64)
    assert first == AnyModule(make=modules.features, arguments=(("outputs", 10), ("inputs", 64)), maskable=("*weight",))


def test_name_tells_modules_of_other_arguments_apart() -> None:
    assert of(modules.features, inputs=64, outputs=10).name == "features_inputs64_outputs10"
    long, other = (of(modules.features, path="a/" * 40 + end) for end in ("x", "y"))
    assert len(long.name) == len(other.name) == 60
    assert "/" not in long.name
    assert long.name != other.name


@pytest.mark.parametrize(
    "arguments", [{1: 2, "a": 3}, {"a": None}, {"a": [1]}, {"not a name": 1}, (("a", 1), ("a", 2)), ("ab",), 3]
)
def test_arguments_that_are_none_are_refused(arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"AnyModule.arguments is"):
        AnyModule(make=modules.features, arguments=arguments, maskable=("*weight",))
