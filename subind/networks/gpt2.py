"""GPT-2 on packs: every parameter carries a leading replica axis, and R models run as one batched model.

Names and layouts are those of transformers' GPT2LMHeadModel without its prefix "transformer."; projections multiply
from the left, so their weights are (in, out). The head is the token embedding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from subind.kernels import functions as cpu
from subind.kernels import products
from subind.specs.runs import GPT2, Precision
from subind.training.tensors import Parameters

NUM_POSITIONS = 4
INITIAL_STD = 0.02
EPSILON = 1e-5
PROJECTIONS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
"""The matrices of a layer that a mask covers."""
RESIDUAL_PROJECTIONS = ("attn.c_proj", "mlp.c_proj")


def shapes(model: GPT2, vocabulary_size: int) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter of one model, by name."""
    width = model.d_model
    found: dict[str, tuple[int, ...]] = {
        "wte.weight": (vocabulary_size, width),
        "wpe.weight": (NUM_POSITIONS, width),
    }
    for layer in range(model.num_layers):
        sizes = {
            "attn.c_attn": (width, 3 * width),
            "attn.c_proj": (width, width),
            "mlp.c_fc": (width, 4 * width),
            "mlp.c_proj": (4 * width, width),
        }
        for norm in ("ln_1", "ln_2"):
            found |= {f"h.{layer}.{norm}.weight": (width,), f"h.{layer}.{norm}.bias": (width,)}
        for name, (rows, columns) in sizes.items():
            found |= {f"h.{layer}.{name}.weight": (rows, columns), f"h.{layer}.{name}.bias": (columns,)}
    return found | {"ln_f.weight": (width,), "ln_f.bias": (width,)}


def matrices(model: GPT2) -> tuple[str, ...]:
    """The names of the projection matrices, which are what a mask covers."""
    return tuple(f"h.{layer}.{name}.weight" for layer in range(model.num_layers) for name in PROJECTIONS)


def initial(model: GPT2, vocabulary_size: int, generator: torch.Generator) -> Parameters:
    """One freshly initialised model: N(0, 0.02), residual projections scaled by 1/√(2·depth), biases 0, LayerNorm 1."""
    residual_std = INITIAL_STD / sqrt(2 * model.num_layers)
    found: Parameters = {}
    for name, shape in shapes(model, vocabulary_size).items():
        if name.endswith(".bias"):
            found[name] = torch.zeros(shape)
        elif ".ln_" in name or name.startswith("ln_f"):
            found[name] = torch.ones(shape)
        else:
            residual = name.endswith(tuple(f"{each}.weight" for each in RESIDUAL_PROJECTIONS))
            std = residual_std if residual else INITIAL_STD
            found[name] = torch.randn(shape, generator=generator) * std
    return found


def to_transformers(parameters: Mapping[str, Tensor]) -> Parameters:
    """The state dict of one model as GPT2LMHeadModel.load_state_dict takes it, head included."""
    found = {f"transformer.{name}": tensor.contiguous() for name, tensor in parameters.items()}
    return found | {"lm_head.weight": found["transformer.wte.weight"].clone()}


def from_transformers(state: Mapping[str, Tensor], model: GPT2, vocabulary_size: int) -> Parameters:
    """One model from a state dict of GPT2LMHeadModel, its buffers left out; float32.

    Raises ValueError where a parameter is absent, unknown or of another shape, or the head is not the token embedding.
    """
    named = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
    named = {name: tensor for name, tensor in named.items() if not name.endswith((".attn.bias", ".attn.masked_bias"))}
    head = named.pop("lm_head.weight", None)
    if head is not None and not torch.equal(head, named.get("wte.weight", head.new_empty(0))):
        raise ValueError("lm_head.weight differs from wte.weight: only models with a tied head can be loaded")
    wanted = shapes(model, vocabulary_size)
    if difference := set(named) ^ set(wanted):
        raise ValueError(f"the parameters {sorted(difference)} are absent or unknown: give a model like {model}")
    for name, shape in wanted.items():
        if tuple(named[name].shape) != shape:
            raise ValueError(f"{name} has the shape {tuple(named[name].shape)}, not {shape}: give a model like {model}")
    return {name: named[name].to(torch.float32).clone() for name in wanted}


@dataclass(frozen=True, slots=True)
class Dropout:
    """The factors of one step by which activations are multiplied: 0 where dropped, else 1/(1 - p).

    A flat row of factors per replica is cut into the places of dropout: the embedding, and per layer the attention
    weights and the two residual branches.
    """

    factors: Float[Tensor, "replica element"]
    batch: int
    length: int
    model: GPT2

    @staticmethod
    def num_factors(model: GPT2, batch: int, length: int) -> int:
        """How many factors one replica needs for a step of `batch` rows of `length` positions."""
        residual, attention = batch * length * model.d_model, batch * model.num_heads * length**2
        return residual + model.num_layers * (2 * residual + attention)

    def at_embedding(self) -> Float[Tensor, "replica token d_model"]:
        return self._residual(0)

    def at_attention(self, layer: int) -> Float[Tensor, "replica batch head query key"]:
        heads = self.model.num_heads
        start = self._layer_start(layer)
        size = self.batch * heads * self.length**2
        cut = self.factors[:, start : start + size]
        return cut.view(-1, self.batch, heads, self.length, self.length)

    def at_residual(self, layer: int, branch: int) -> Float[Tensor, "replica token d_model"]:
        attention = self.batch * self.model.num_heads * self.length**2
        return self._residual(self._layer_start(layer) + attention + branch * self._residual_size())

    def _residual_size(self) -> int:
        return self.batch * self.length * self.model.d_model

    def _layer_start(self, layer: int) -> int:
        attention = self.batch * self.model.num_heads * self.length**2
        return self._residual_size() + layer * (2 * self._residual_size() + attention)

    def _residual(self, start: int) -> Float[Tensor, "replica token d_model"]:
        cut = self.factors[:, start : start + self._residual_size()]
        return cut.view(-1, self.batch * self.length, self.model.d_model)


def hidden(
    parameters: Mapping[str, Tensor],
    tokens: Int[Tensor, "replica batch position"],
    model: GPT2,
    dropout: Dropout | None,
    *,
    precision: Precision = "float32",
) -> Float[Tensor, "replica batch position d_model"]:
    """The activations after the last LayerNorm. Without `dropout` the model is in evaluation mode."""
    projected = partial(_projected, parameters, precision)
    x = _embedded(parameters, tokens)
    if dropout is not None:
        x = x * dropout.at_embedding()
    heads = (*tokens.shape, 3, model.num_heads, -1)
    for layer in range(model.num_layers):
        at = f"h.{layer}."
        normed = _normed(parameters, f"{at}ln_1", x)
        joined = projected(f"{at}attn.c_attn", normed).view(heads)
        mixed = _attended(joined, None if dropout is None else dropout.at_attention(layer))
        attended = projected(f"{at}attn.c_proj", mixed.reshape(x.shape))
        x = _residual(x, attended, layer=layer, branch_index=0, dropout=dropout)
        inner = _gelu_new(projected(f"{at}mlp.c_fc", _normed(parameters, f"{at}ln_2", x)))
        x = _residual(x, projected(f"{at}mlp.c_proj", inner), layer=layer, branch_index=1, dropout=dropout)
    return _normed(parameters, "ln_f", x).view(*tokens.shape, model.d_model)


def logits(
    parameters: Mapping[str, Tensor],
    activations: Float[Tensor, "replica batch position d_model"],
    *,
    precision: Precision = "float32",
) -> Float[Tensor, "replica batch position vocabulary"]:
    """The head, tied to the token embedding, on activations of `hidden`."""
    replicas, batch, length, width = activations.shape
    flat = activations.reshape(replicas, batch * length, width)
    scores: Tensor = _TiedHead.apply(_rounded(flat, precision), _rounded(parameters["wte.weight"], precision))
    return scores.float().view(replicas, batch, length, -1)


class _TiedHead(torch.autograd.Function):
    """x·Eᵀ per replica, whose gradient for E comes in E's own layout; that of a plain product would be copied over."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(x, table)
        return products.product(x, table.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, table = ctx.saved_tensors
        (gradient,) = gradients
        of_x = products.product(gradient, table) if ctx.needs_input_grad[0] else None
        of_table = products.product(gradient.transpose(1, 2), x) if ctx.needs_input_grad[1] else None
        return of_x, of_table


def _embedded(parameters: Mapping[str, Tensor], tokens: Tensor) -> Float[Tensor, "replica token d_model"]:
    table = parameters["wte.weight"]
    replicas, size, width = table.shape
    offsets = torch.arange(replicas, device=tokens.device).view(-1, 1, 1) * size
    found = F.embedding(tokens + offsets, table.reshape(replicas * size, width))
    positions = parameters["wpe.weight"][:, None, : tokens.shape[2]]
    return (found + positions).view(replicas, -1, width)


def _normed(parameters: Mapping[str, Tensor], name: str, x: Tensor) -> Float[Tensor, "replica token d_model"]:
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return cpu.layer_norm(x, weight, bias) if cpu.takes(x) else layer_norm(x, weight, bias)


def layer_norm(
    x: Float[Tensor, "replica token d_model"],
    weight: Float[Tensor, "replica d_model"],
    bias: Float[Tensor, "replica d_model"],
) -> Float[Tensor, "replica token d_model"]:
    """LayerNorm with each replica's own weight and bias."""
    return torch.addcmul(bias.unsqueeze(1), F.layer_norm(x, x.shape[-1:], eps=EPSILON), weight.unsqueeze(1))


def _projected(
    parameters: Mapping[str, Tensor], precision: Precision, name: str, x: Tensor
) -> Float[Tensor, "replica token out"]:
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    if precision == "bfloat16":
        return products.product(_rounded(x, precision), _rounded(weight, precision)).float() + bias.unsqueeze(1)
    return products.affine(bias, x, weight)


def _rounded(operand: Tensor, precision: Precision) -> Tensor:
    """An operand of a product as the product reads it; TF32 is rounded by the device."""
    return operand.bfloat16() if precision == "bfloat16" else operand


def _attended(joined: Tensor, factors: Tensor | None) -> Float[Tensor, "replica batch position head d_head"]:
    return (cpu.causal_attention if cpu.takes(joined) else causal_attention)(joined, factors)


def causal_attention(
    joined: Float[Tensor, "replica batch position 3 head d_head"],
    factors: Float[Tensor, "replica batch head query key"] | None,
) -> Float[Tensor, "replica batch position head d_head"]:
    """softmax(q·k/√d_head) over the past, times the dropout `factors`, applied to v; `joined` holds q, k and v."""
    length, size = joined.shape[2], joined.shape[-1]
    query, key, value = joined.permute(3, 0, 1, 4, 2, 5).unbind(0)
    scores = query @ key.transpose(-1, -2) / sqrt(size)
    future = torch.ones(length, length, dtype=torch.bool, device=joined.device).triu(1)
    weights = scores.masked_fill(future, float("-inf")).softmax(-1)
    if factors is not None:
        weights = weights * factors
    return (weights @ value).transpose(2, 3)


def _gelu_new(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return cpu.gelu_new(x) if cpu.takes(x) else F.gelu(x, approximate="tanh")


def _residual(x: Tensor, branch: Tensor, *, layer: int, branch_index: int, dropout: Dropout | None) -> Tensor:
    if dropout is None:
        return x + branch
    return torch.addcmul(x, branch, dropout.at_residual(layer, branch_index))
