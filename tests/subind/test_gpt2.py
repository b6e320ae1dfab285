"""The packed GPT-2 against transformers' GPT2LMHeadModel."""

from collections.abc import Iterable
from math import log, prod, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from subind.networks import gpt2
from subind.networks.gpt2 import Dropout, PackedGPT2
from subind.networks.network import State, bound
from subind.specs.networks import GPT2
from subind.specs.training import Normal, UniformFanIn
from subind.training import tensors
from subind.training.draws import Draws
from subind.training.tensors import Tokens
from tests.subind.reference import VOCABULARY, packed, reference, tokens_signature

PAPER = {"d_model": 128, "num_heads": 4, "dropout": 0.0}


def tiny_model(*, num_layers: int = 2, dropout: float = 0.0) -> GPT2:
    return GPT2(num_layers=num_layers, d_model=16, num_heads=2, dropout=dropout)


def bound_gpt2(model: GPT2, vocabulary: int = VOCABULARY) -> PackedGPT2:
    made = bound(model, tokens_signature(vocabulary))
    assert isinstance(made, PackedGPT2)
    return made


def scores(network: PackedGPT2, state: State, rows: Tensor, *, draws: Draws | None = None) -> Tensor:
    inputs = Tokens(tokens=rows, read="all")
    return network.outputs(state, inputs, draws=draws, training=draws is not None, precision="float32")


def same_bits(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(replicas: int, batch: int, *, vocabulary: int = VOCABULARY) -> Tensor:
    return torch.randint(0, vocabulary, (replicas, batch, 4), generator=draws(7))


@pytest.mark.parametrize("num_layers", [2, 12])
def test_logits_of_three_replicas_equal_transformers(num_layers: int) -> None:
    model = GPT2(num_layers=num_layers, **PAPER)
    references, tokens, network = [reference(model, seed=seed) for seed in range(3)], rows(3, 5), bound_gpt2(model)
    found = scores(network, packed(references, network), tokens)
    for index, each in enumerate(references):
        torch.testing.assert_close(found[index], each(tokens[index]).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("num_layers", [2, 12])
def test_losses_and_gradients_of_three_replicas_equal_transformers(num_layers: int) -> None:
    model = GPT2(num_layers=num_layers, **PAPER)
    references, tokens, network = [reference(model, seed=seed) for seed in range(3)], rows(3, 5), bound_gpt2(model)
    state = packed(references, network)
    for tensor in state.parameters.values():
        tensor.requires_grad_()
    found = scores(network, state, tokens[:, :, :3])
    losses = [
        F.cross_entropy(each.flatten(0, 1), own[:, 1:].flatten()) for each, own in zip(found, tokens, strict=True)
    ]
    torch.stack(losses).sum().backward()
    for index, each in enumerate(references):
        loss = each(tokens[index], labels=tokens[index]).loss
        loss.backward()
        torch.testing.assert_close(losses[index], loss, atol=1e-5, rtol=0)
        for name, parameter in each.transformer.named_parameters():
            gradient = state.parameters[name].grad
            assert gradient is not None
            torch.testing.assert_close(gradient[index], parameter.grad, atol=1e-5, rtol=0, msg=f"gradient of {name}")


def test_outputs_of_fewer_positions_equal_the_first_of_all() -> None:
    network, tokens = bound_gpt2(tiny_model()), rows(1, 5)
    state = packed([reference(network.model, seed=0)], network)
    whole, part = scores(network, state, tokens), scores(network, state, tokens[:, :, :3])
    torch.testing.assert_close(part, whole[:, :, :3], atol=1e-6, rtol=0)


def test_outputs_read_at_the_last_position_equal_those_of_all_positions_there() -> None:
    network, tokens = bound_gpt2(tiny_model()), rows(2, 5)[:, :, :3]
    state = packed([reference(network.model, seed=seed) for seed in range(2)], network)
    inputs = Tokens(tokens=tokens, read="last")
    last = network.outputs(state, inputs, draws=None, training=False, precision="float32")
    assert last.shape == (2, 5, 1, VOCABULARY)
    torch.testing.assert_close(last, scores(network, state, tokens)[:, :, -1:], atol=1e-6, rtol=0)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("replicas", [2, 5, 25])
def test_outputs_and_gradients_of_a_replica_do_not_depend_on_its_pack(replicas: int, dropout: float) -> None:
    network = bound_gpt2(GPT2(num_layers=2, d_model=128, num_heads=4, dropout=dropout))
    several = [network.initial(draws(seed)).parameters for seed in range(replicas)]
    tokens = rows(replicas, 7)[:, :, :3]
    whole, gradients = outputs_and_gradients(network, several, tokens, range(replicas))
    for index in (0, replicas - 1):
        alone, own = outputs_and_gradients(network, several[index : index + 1], tokens[index : index + 1], [index])
        assert torch.equal(alone[0], whole[index])
        assert all(torch.equal(own[name][0], gradients[name][index]) for name in network.shapes)


def outputs_and_gradients(
    network: PackedGPT2, several: list[dict[str, Tensor]], tokens: Tensor, seeds: Iterable[int]
) -> tuple[Tensor, dict[str, Tensor]]:
    parameters = {name: tensor.requires_grad_() for name, tensor in tensors.stacked(several).items()}
    step = Draws("donor/dropout", list(seeds), "cpu")
    step.at(3)
    found = scores(network, State(parameters=parameters, statistics={}), tokens, draws=step)
    gradients = torch.autograd.grad(found.square().mean((1, 2, 3)).sum(), list(parameters.values()))
    return found.detach(), dict(zip(parameters, gradients, strict=True))


class Factors(nn.Module):
    """In place of transformers' dropout: multiplies by given factors."""

    def __init__(self, factors: Tensor) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factors.view(x.shape)


def test_dropout_of_drawn_factors_acts_where_transformers_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch, length = tiny_model(dropout=0.5), 5, 3
    network, tokens = bound_gpt2(model), rows(2, batch)[:, :, :length]
    references = [reference(model, seed=seed) for seed in range(2)]
    step, again = (Draws("donor/dropout", [0, 1], "cpu") for _ in range(2))
    for each in (step, again):
        each.at(0)
    dropout = Dropout(again.dropout(Dropout.num_factors(model, batch, length), 0.5), batch, length, model)
    found = scores(network, packed(references, network), tokens, draws=step)
    for index, each in enumerate(references):
        each.transformer.drop = Factors(dropout.at_embedding()[index])
        in_attention = iter([dropout.at_attention(layer)[index] for layer in range(model.num_layers)])
        # transformers' attention is the only caller left of torch's function, once per layer
        monkeypatch.setattr(torch.nn.functional, "dropout", lambda x, **_: x * next(in_attention))  # noqa: B023
        for layer, block in enumerate(each.transformer.h):
            block.attn.resid_dropout = Factors(dropout.at_residual(layer, 0)[index])
            block.mlp.dropout = Factors(dropout.at_residual(layer, 1)[index])
        torch.testing.assert_close(found[index], each(tokens[index]).logits, atol=1e-5, rtol=0)


def test_dropout_of_rate_zero_draws_nothing() -> None:
    network, tokens = bound_gpt2(tiny_model()), rows(2, 5)[:, :, :3]
    state = packed([reference(network.model, seed=seed) for seed in range(2)], network)
    without_a_step = Draws("donor/dropout", [0, 1], "cpu")
    assert torch.equal(scores(network, state, tokens, draws=without_a_step), scores(network, state, tokens))


def test_dropout_places_use_every_factor_exactly_once() -> None:
    model, batch, length = tiny_model(num_layers=3), 5, 3
    count = Dropout.num_factors(model, batch, length)
    dropout = Dropout(torch.arange(count).float().repeat(2, 1), batch, length, model)
    places = [dropout.at_embedding()]
    for layer in range(3):
        places += [dropout.at_attention(layer), dropout.at_residual(layer, 0), dropout.at_residual(layer, 1)]
    used = torch.cat([place.flatten(1) for place in places], dim=1)
    assert torch.equal(used.sort(dim=1).values, dropout.factors)


def test_dropout_of_ones_equals_evaluation_bit_for_bit() -> None:
    network, tokens = bound_gpt2(tiny_model()), rows(2, 5)[:, :, :3]
    model, parameters = (
        network.model,
        packed([reference(network.model, seed=seed) for seed in range(2)], network).parameters,
    )
    ones = Dropout(torch.ones(2, Dropout.num_factors(model, 5, 3)), 5, 3, model)
    assert torch.equal(gpt2.hidden(parameters, tokens, model, ones), gpt2.hidden(parameters, tokens, model, None))


# ---- weights both ways


def test_from_library_of_a_saved_state_dict_gives_its_numbers(tmp_path: Path) -> None:
    model = GPT2(num_layers=2, **PAPER)
    state = reference(model, seed=0).state_dict()
    save_file({name: tensor.clone() for name, tensor in state.items()}, tmp_path / "donor.safetensors")
    found = bound_gpt2(model).from_library(load_file(tmp_path / "donor.safetensors")).parameters
    assert same_bits(found, {name: state[f"transformer.{name}"] for name in found})


def test_from_library_of_a_saved_pretrained_model_gives_its_numbers(tmp_path: Path) -> None:
    model = GPT2(num_layers=2, **PAPER)
    saved = reference(model, seed=0)
    saved.save_pretrained(tmp_path)
    found = bound_gpt2(model).from_library(load_file(tmp_path / "model.safetensors")).parameters
    assert same_bits(found, {name: saved.state_dict()[f"transformer.{name}"] for name in found})


def test_to_library_is_loaded_strictly_and_gives_the_same_logits(tmp_path: Path) -> None:
    network, tokens = bound_gpt2(GPT2(num_layers=2, **PAPER)), rows(1, 5)
    state = network.initial(draws())
    save_file(network.to_library(state), tmp_path / "ours.safetensors")
    theirs = reference(network.model, seed=0)
    theirs.load_state_dict(load_file(tmp_path / "ours.safetensors"), strict=True)
    found = scores(network, State(parameters=tensors.stacked([state.parameters]), statistics={}), tokens)
    torch.testing.assert_close(found[0], theirs(tokens[0]).logits, atol=1e-5, rtol=0)


def test_from_library_of_to_library_gives_the_same_bits() -> None:
    network = bound_gpt2(tiny_model(), 13)
    state = network.initial(draws())
    assert same_bits(network.from_library(network.to_library(state)).parameters, state.parameters)


def test_from_library_of_buffers_and_half_precision_gives_float32() -> None:
    network = bound_gpt2(tiny_model(), 13)
    tensors_of_file = {name: each.half() for name, each in network.to_library(network.initial(draws())).items()}
    tensors_of_file["transformer.h.0.attn.bias"] = torch.ones(1, 1, 4, 4).tril()
    found = network.from_library(tensors_of_file).parameters
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


def test_from_library_of_shapes_alone_is_accepted() -> None:
    network = bound_gpt2(tiny_model(), 13)
    header = {name: each.to("meta") for name, each in network.to_library(network.initial(draws())).items()}
    assert network.from_library(header).parameters.keys() == network.shapes.keys()


def refused(change: dict[str, Any], *, lacking: str = "") -> str:
    network = bound_gpt2(tiny_model(), 13)
    state = network.to_library(network.initial(draws())) | change
    with pytest.raises(ValueError, match=r".") as raised:
        network.from_library({name: each for name, each in state.items() if name != lacking})
    return str(raised.value)


def test_from_library_without_a_parameter_names_it() -> None:
    assert "lack h.1.mlp.c_fc.bias" in refused({}, lacking="transformer.h.1.mlp.c_fc.bias")


def test_from_library_of_an_unknown_parameter_names_it() -> None:
    assert "have h.2.ln_1.weight" in refused({"transformer.h.2.ln_1.weight": torch.ones(16)})


def test_from_library_of_another_shape_names_both_shapes() -> None:
    message = refused({"transformer.h.0.attn.c_attn.weight": torch.ones(48, 16)})
    assert message.startswith("h.0.attn.c_attn.weight has the shape (48, 16), not (16, 48)")


def test_from_library_of_an_untied_head_is_refused() -> None:
    assert "tied head" in refused({"lm_head.weight": torch.ones(13, 16)})


def test_from_library_without_an_embedding_is_refused() -> None:
    assert refused({}, lacking="transformer.wte.weight")


# ---- initialisation


@pytest.mark.parametrize("num_layers", [2, 12])
def test_initial_weights_have_gpt2s_deviations(num_layers: int) -> None:
    parameters = bound_gpt2(GPT2(num_layers=num_layers, **PAPER)).initial(draws()).parameters
    for name, tensor in parameters.items():
        if name.endswith(".weight") and "ln_" not in name:
            expected = 0.02 / sqrt(2 * num_layers) if "c_proj" in name else 0.02
            error = 5 / sqrt(tensor.numel())
            assert abs(log(tensor.std().item() / expected)) < error, name
            assert abs(tensor.mean().item()) < error * expected, name


def test_initial_biases_are_zero_and_layer_norms_one() -> None:
    network = bound_gpt2(tiny_model(), 13)
    for name, tensor in network.initial(draws()).parameters.items():
        if name.endswith(".bias"):
            assert tensor.count_nonzero() == 0
        elif "ln_" in name:
            assert name in network.norms
            assert bool((tensor == 1).all())


def test_initial_same_state_gives_same_bits() -> None:
    first, second = (bound_gpt2(tiny_model(), 13).initial(draws(1)).parameters for _ in range(2))
    assert same_bits(first, second)


def test_initial_other_state_gives_other_bits() -> None:
    first, second = (bound_gpt2(tiny_model(), 13).initial(draws(seed)).parameters for seed in (1, 2))
    assert not torch.equal(first["wte.weight"], second["wte.weight"])


def test_initial_shapes_are_those_of_transformers() -> None:
    network = bound_gpt2(GPT2(num_layers=2, **PAPER))
    theirs = reference(network.model, seed=0).transformer
    expected = {name: tuple(each.shape) for name, each in theirs.named_parameters()}
    found = {name: tuple(each.shape) for name, each in network.initial(draws()).parameters.items()}
    assert found == expected == network.shapes


def test_fresh_values_of_a_law_have_its_spread() -> None:
    network, name = bound_gpt2(GPT2(num_layers=2, **PAPER)), "h.0.mlp.c_proj.weight"
    normal, uniform = (network.fresh(name, law, draws()) for law in (Normal(std=0.5), UniformFanIn()))
    assert normal.shape == uniform.shape == (512, 128)
    assert normal.std().item() == pytest.approx(0.5, rel=0.02)
    # a weight of GPT-2 is (in, out)
    assert 0.999 * 512**-0.5 < uniform.abs().max().item() <= 512**-0.5
    bias = network.fresh("h.0.mlp.c_proj.bias", UniformFanIn(), draws())
    assert 0.9 * 512**-0.5 < bias.abs().max().item() <= 512**-0.5


def test_fresh_values_of_one_generator_state_are_the_same_and_of_another_are_not() -> None:
    network, law = bound_gpt2(tiny_model(), 13), Normal(std=0.5)
    first, again, other = (network.fresh("h.0.mlp.c_fc.weight", law, draws(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_maskable_of_the_paper_are_four_per_layer_and_cover_the_projections() -> None:
    network = bound_gpt2(GPT2(num_layers=2, **PAPER))
    assert len(network.maskable) == 8
    assert sum(prod(network.shapes[name]) for name in network.maskable) == 2 * 12 * 128**2
