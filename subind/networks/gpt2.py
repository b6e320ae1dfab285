"""GPT-2 on packs: every parameter carries a leading replica axis, and R models run as one batched model.

Names and layouts are those of transformers' GPT2LMHeadModel without its prefix "transformer."; projections multiply
from the left, so their weights are (in, out). The head is the token embedding.
"""

from collections.abc import Collection, Mapping
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
from subind.networks.network import State, checked_state, fan_in, fresh_values, library_tensors
from subind.specs.networks import GPT2
from subind.specs.tasks import Signature
from subind.specs.tasks import Tokens as TaskTokens
from subind.specs.training import FreshLaw
from subind.training.draws import Draws
from subind.training.tensors import Inputs, Parameters, Tokens

INITIAL_STD = 0.02
EPSILON = 1e-5
PROJECTIONS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
"""The matrices of a layer that a mask covers."""
RESIDUAL_PROJECTIONS = ("attn.c_proj", "mlp.c_proj")


class Behaviour:
    """What computes with GPT-2s of one size."""

    def __init__(self, spec: GPT2) -> None:
        self._spec = spec

    def bound(self, signature: Signature) -> "PackedGPT2":
        """The network on the tokens of a task."""
        return PackedGPT2(self._spec, signature)


class PackedGPT2:
    """`subind.networks.network.Network` of a GPT-2 with the vocabulary of a task.

    There is a position for every token that is read and one more, for the answer: wpe has the rows of transformers'
    n_positions. The head is the token embedding, so `head` is empty.
    """

    head: tuple[str, ...] = ()
    can_be_captured = True

    def __init__(self, model: GPT2, signature: Signature) -> None:
        assert isinstance(signature.inputs, TaskTokens), "the spec checks the signature"
        self.model = model
        self.shapes = _shapes(model, signature.inputs.vocabulary_size, signature.inputs.length + 1)
        self.maskable = tuple(f"h.{layer}.{name}.weight" for layer in range(model.num_layers) for name in PROJECTIONS)
        self.norms = tuple(name for name in self.shapes if _is_norm(name))

    def initial(self, generator: torch.Generator) -> State:
        """A fresh GPT-2: N(0, 0.02), residual projections scaled by 1/√(2·depth), biases 0, LayerNorm 1."""
        residual_std = INITIAL_STD / sqrt(2 * self.model.num_layers)
        found: Parameters = {}
        for name, shape in self.shapes.items():
            if name.endswith(".bias"):
                found[name] = torch.zeros(shape)
            elif _is_norm(name):
                found[name] = torch.ones(shape)
            else:
                residual = name.endswith(tuple(f"{each}.weight" for each in RESIDUAL_PROJECTIONS))
                std = residual_std if residual else INITIAL_STD
                found[name] = torch.randn(shape, generator=generator) * std
        return State(parameters=found, statistics={})

    def fresh(self, name: str, law: FreshLaw, generator: torch.Generator) -> Tensor:
        size = fan_in(name, self.shapes, inputs_first=True)
        return fresh_values(self.shapes[name], law, fan_in=size, generator=generator)

    def outputs(
        self, state: State, inputs: Inputs, *, draws: Draws | None, training: bool, precision: str
    ) -> Float[Tensor, "replica batch position vocabulary"]:
        """The scores of the next token at every position, or at the last alone."""
        assert isinstance(inputs, Tokens)
        dropout = self._dropout(draws, *inputs.tokens.shape[1:])
        activations = hidden(state.parameters, inputs.tokens, self.model, dropout, precision=precision)
        if inputs.read == "last":
            activations = activations[:, :, -1:]
        return logits(state.parameters, activations, precision=precision)

    def _dropout(self, draws: Draws | None, batch: int, length: int) -> "Dropout | None":
        rate = self.model.dropout
        if draws is None or rate == 0:
            return None
        factors = draws.dropout(Dropout.num_factors(self.model, batch, length), rate)
        return Dropout(factors, batch, length, self.model)

    def to_library(self, state: State) -> Parameters:
        """The state dict of one model as GPT2LMHeadModel.load_state_dict takes it, head included."""
        found = {f"transformer.{name}": tensor for name, tensor in library_tensors(state).items()}
        return found | {"lm_head.weight": found["transformer.wte.weight"].clone()}

    def from_library(self, tensors: Mapping[str, Tensor], *, without: Collection[str] = ()) -> State:
        """One model from a state dict of GPT2LMHeadModel, its buffers left out; the head must be the token embedding.

        Raises ValueError where it is not.
        """
        named = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        named = {name: each for name, each in named.items() if not name.endswith((".attn.bias", ".attn.masked_bias"))}
        head = named.pop("lm_head.weight", None)
        if head is not None and head.device.type != "meta" and not _is_tied(head, named):
            raise ValueError("lm_head.weight differs from wte.weight: only models with a tied head can be loaded")
        return checked_state(named, self.shapes, {}, without=without)


def _shapes(model: GPT2, vocabulary_size: int, num_positions: int) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter of one model, by name."""
    width = model.d_model
    found: dict[str, tuple[int, ...]] = {"wte.weight": (vocabulary_size, width), "wpe.weight": (num_positions, width)}
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


def _is_norm(name: str) -> bool:
    return ".ln_" in name or name.startswith("ln_f.")


def _is_tied(head: Tensor, named: Mapping[str, Tensor]) -> bool:
    return torch.equal(head, named.get("wte.weight", head.new_empty(0)))


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
    precision: str = "float32",
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
    precision: str = "float32",
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
    parameters: Mapping[str, Tensor], precision: str, name: str, x: Tensor
) -> Float[Tensor, "replica token out"]:
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    if precision == "bfloat16":
        return products.product(_rounded(x, precision), _rounded(weight, precision)).float() + bias.unsqueeze(1)
    return products.affine(bias, x, weight)


def _rounded(operand: Tensor, precision: str) -> Tensor:
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
