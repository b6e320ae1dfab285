"""The packed GPT-2 against transformers' GPT2LMHeadModel."""

from math import log, prod, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from subind.networks import gpt2
from subind.networks.gpt2 import Dropout
from subind.specs.runs import GPT2
from subind.stages.sequences import sequence_loss
from subind.training import tensors
from tests.specs import tiny_model
from tests.subind.packs import same_bits
from tests.subind.reference import VOCABULARY, packed, reference

PAPER = {"d_model": 128, "num_heads": 4, "dropout": 0.0}


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(replicas: int, batch: int, *, vocabulary: int = VOCABULARY) -> Tensor:
    return torch.randint(0, vocabulary, (replicas, batch, 4), generator=draws(7))


@pytest.mark.parametrize("num_layers", [2, 12])
def test_logits_of_three_replicas_equal_transformers(num_layers: int) -> None:
    model = GPT2(num_layers=num_layers, **PAPER)
    references, tokens = [reference(model, seed=seed) for seed in range(3)], rows(3, 5)
    parameters = packed(references, model)
    found = gpt2.logits(parameters, gpt2.hidden(parameters, tokens, model, None))
    for index, each in enumerate(references):
        torch.testing.assert_close(found[index], each(tokens[index]).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("num_layers", [2, 12])
def test_losses_and_gradients_of_three_replicas_equal_transformers(num_layers: int) -> None:
    model = GPT2(num_layers=num_layers, **PAPER)
    references, tokens = [reference(model, seed=seed) for seed in range(3)], rows(3, 5)
    parameters = {name: tensor.requires_grad_() for name, tensor in packed(references, model).items()}
    losses = sequence_loss(parameters, tokens, model, None)
    losses.sum().backward()
    for index, each in enumerate(references):
        loss = each(tokens[index], labels=tokens[index]).loss
        loss.backward()
        torch.testing.assert_close(losses[index], loss, atol=1e-5, rtol=0)
        for name, parameter in each.transformer.named_parameters():
            found = parameters[name].grad
            assert found is not None
            torch.testing.assert_close(found[index], parameter.grad, atol=1e-5, rtol=0, msg=f"gradient of {name}")


def test_hidden_of_fewer_positions_equals_the_first_of_all() -> None:
    model = tiny_model()
    parameters, tokens = packed([reference(model, seed=0)], model), rows(1, 5)
    whole = gpt2.hidden(parameters, tokens, model, None)
    part = gpt2.hidden(parameters, tokens[:, :, :3], model, None)
    torch.testing.assert_close(part, whole[:, :, :3], atol=1e-6, rtol=0)


class Factors(nn.Module):
    """In place of transformers' dropout: multiplies by given factors."""

    def __init__(self, factors: Tensor) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factors.view(x.shape)


def test_dropout_of_given_factors_acts_where_transformers_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch, length = tiny_model(), 5, 3
    references, tokens = [reference(model, seed=seed) for seed in range(2)], rows(2, batch)[:, :, :length]
    count = Dropout.num_factors(model, batch, length)
    factors = torch.randint(0, 2, (2, count), generator=draws()).float() / 0.5
    dropout = Dropout(factors, batch, length, model)
    parameters = packed(references, model)
    found = gpt2.logits(parameters, gpt2.hidden(parameters, tokens, model, dropout))
    for index, each in enumerate(references):
        each.transformer.drop = Factors(dropout.at_embedding()[index])
        in_attention = iter([dropout.at_attention(layer)[index] for layer in range(model.num_layers)])
        # transformers' attention is the only caller left of torch's function, once per layer
        monkeypatch.setattr(torch.nn.functional, "dropout", lambda x, **_: x * next(in_attention))  # noqa: B023
        for layer, block in enumerate(each.transformer.h):
            block.attn.resid_dropout = Factors(dropout.at_residual(layer, 0)[index])
            block.mlp.dropout = Factors(dropout.at_residual(layer, 1)[index])
        torch.testing.assert_close(found[index], each(tokens[index]).logits, atol=1e-5, rtol=0)


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
    model, tokens = tiny_model(), rows(2, 5)[:, :, :3]
    parameters = packed([reference(model, seed=seed) for seed in range(2)], model)
    ones = Dropout(torch.ones(2, Dropout.num_factors(model, 5, 3)), 5, 3, model)
    assert torch.equal(gpt2.hidden(parameters, tokens, model, ones), gpt2.hidden(parameters, tokens, model, None))


# ---- weights both ways


def test_from_transformers_of_a_saved_state_dict_gives_its_numbers(tmp_path: Path) -> None:
    model = GPT2(num_layers=2, **PAPER)
    state = reference(model, seed=0).state_dict()
    save_file({name: tensor.clone() for name, tensor in state.items()}, tmp_path / "donor.safetensors")
    found = gpt2.from_transformers(load_file(tmp_path / "donor.safetensors"), model, VOCABULARY)
    assert same_bits(found, {name: state[f"transformer.{name}"] for name in found})


def test_from_transformers_of_a_saved_pretrained_model_gives_its_numbers(tmp_path: Path) -> None:
    model = GPT2(num_layers=2, **PAPER)
    saved = reference(model, seed=0)
    saved.save_pretrained(tmp_path)
    found = gpt2.from_transformers(load_file(tmp_path / "model.safetensors"), model, VOCABULARY)
    assert same_bits(found, {name: saved.state_dict()[f"transformer.{name}"] for name in found})


def test_to_transformers_is_loaded_strictly_and_gives_the_same_logits(tmp_path: Path) -> None:
    model, tokens = GPT2(num_layers=2, **PAPER), rows(1, 5)
    parameters = gpt2.initial(model, VOCABULARY, draws())
    save_file(gpt2.to_transformers(parameters), tmp_path / "ours.safetensors")
    theirs = reference(model, seed=0)
    theirs.load_state_dict(load_file(tmp_path / "ours.safetensors"), strict=True)
    pack = tensors.stacked([parameters])
    found = gpt2.logits(pack, gpt2.hidden(pack, tokens, model, None))
    torch.testing.assert_close(found[0], theirs(tokens[0]).logits, atol=1e-5, rtol=0)


def test_from_transformers_of_to_transformers_gives_the_same_bits() -> None:
    model = tiny_model()
    parameters = gpt2.initial(model, 13, draws())
    assert same_bits(gpt2.from_transformers(gpt2.to_transformers(parameters), model, 13), parameters)


def test_from_transformers_of_buffers_and_half_precision_gives_float32() -> None:
    model = tiny_model()
    state = {name: each.half() for name, each in gpt2.to_transformers(gpt2.initial(model, 13, draws())).items()}
    state["transformer.h.0.attn.bias"] = torch.ones(1, 1, 4, 4).tril()
    found = gpt2.from_transformers(state, model, 13)
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


def refused(change: dict[str, Any], *, without: str = "") -> str:
    model = tiny_model()
    state = gpt2.to_transformers(gpt2.initial(model, 13, draws())) | change
    with pytest.raises(ValueError, match=r".") as raised:
        gpt2.from_transformers({name: each for name, each in state.items() if name != without}, model, 13)
    return str(raised.value)


def test_from_transformers_without_a_parameter_names_it() -> None:
    assert "h.1.mlp.c_fc.bias" in refused({}, without="transformer.h.1.mlp.c_fc.bias")


def test_from_transformers_of_an_unknown_parameter_names_it() -> None:
    assert "h.2.ln_1.weight" in refused({"transformer.h.2.ln_1.weight": torch.ones(16)})


def test_from_transformers_of_another_shape_names_both_shapes() -> None:
    message = refused({"transformer.h.0.attn.c_attn.weight": torch.ones(48, 16)})
    assert message.startswith("h.0.attn.c_attn.weight has the shape (48, 16), not (16, 48)")


def test_from_transformers_of_an_untied_head_is_refused() -> None:
    assert "tied head" in refused({"lm_head.weight": torch.ones(13, 16)})


def test_from_transformers_without_an_embedding_is_refused() -> None:
    assert refused({}, without="transformer.wte.weight")


# ---- initialisation and packs


@pytest.mark.parametrize("num_layers", [2, 12])
def test_initial_weights_have_gpt2s_deviations(num_layers: int) -> None:
    parameters = gpt2.initial(GPT2(num_layers=num_layers, **PAPER), VOCABULARY, draws())
    for name, tensor in parameters.items():
        if name.endswith(".weight") and "ln_" not in name:
            expected = 0.02 / sqrt(2 * num_layers) if "c_proj" in name else 0.02
            error = 5 / sqrt(tensor.numel())
            assert abs(log(tensor.std().item() / expected)) < error, name
            assert abs(tensor.mean().item()) < error * expected, name


def test_initial_biases_are_zero_and_layer_norms_one() -> None:
    for name, tensor in gpt2.initial(tiny_model(), 13, draws()).items():
        if name.endswith(".bias"):
            assert tensor.count_nonzero() == 0
        elif "ln_" in name:
            assert bool((tensor == 1).all())


def test_initial_same_state_gives_same_bits() -> None:
    first, second = (gpt2.initial(tiny_model(), 13, draws(1)) for _ in range(2))
    assert same_bits(first, second)


def test_initial_other_state_gives_other_bits() -> None:
    first, second = (gpt2.initial(tiny_model(), 13, draws(seed)) for seed in (1, 2))
    assert not torch.equal(first["wte.weight"], second["wte.weight"])


def test_initial_shapes_are_those_of_transformers() -> None:
    model = GPT2(num_layers=2, **PAPER)
    expected = {name: tuple(each.shape) for name, each in reference(model, seed=0).transformer.named_parameters()}
    found = {name: tuple(each.shape) for name, each in gpt2.initial(model, VOCABULARY, draws()).items()}
    assert found == expected == gpt2.shapes(model, VOCABULARY)


def test_matrices_of_the_paper_are_four_per_layer_and_cover_the_projections() -> None:
    model = GPT2(num_layers=2, **PAPER)
    shapes = gpt2.shapes(model, VOCABULARY)
    assert len(gpt2.matrices(model)) == 8
    assert sum(prod(shapes[name]) for name in gpt2.matrices(model)) == 2 * 12 * 128**2


def test_replica_of_stacked_models_is_a_copy_of_one() -> None:
    models = [gpt2.initial(tiny_model(), 13, draws(seed)) for seed in range(3)]
    pack = tensors.stacked(models)
    found = tensors.replica(pack, 1)
    pack["wte.weight"].zero_()
    assert same_bits(found, models[1])
