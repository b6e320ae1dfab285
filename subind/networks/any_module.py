"""Any torch.nn.Module as a network of packs.

One by one, each replica computes as the module does alone: with its own parameters, buffers and dropout, from copies
that begin where an allocation begins, so that its numbers do not depend, to the last bit, on its pack. By
torch.func.vmap all replicas are one call, equal to that up to rounding; what differs between replicas besides their
tensors (dropout, running statistics) is refused.

A module keeps what training changes in parameters and persistent buffers, and draws from torch's own generator alone.
"""

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.dropout import _DropoutNd

from subind.networks.network import State, checked_state, fan_in, fresh_values, library_tensors, patterns_match
from subind.specs.any_module import AnyModule
from subind.specs.base import qualified_name
from subind.specs.quoting import quoted, shortened
from subind.specs.tasks import Features, Images, Signature
from subind.specs.tasks import Tokens as TaskTokens
from subind.specs.training import FreshLaw
from subind.training.draws import Draws
from subind.training.tensors import Inputs, Parameters, Tokens, stacked

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
INPUTS_FIRST = ("Conv1D",)
"""Classes of modules whose weights are (in, out), as transformers' GPT-2 has them."""

MOST_NAMES = 4
"""In a message."""

BATCH = 2
"""Rows on which a module is tried out."""


class Behaviour:
    """What computes with the modules of one function and arguments."""

    def __init__(self, spec: AnyModule) -> None:
        self._spec = spec

    def bound(self, signature: Signature) -> "PackedModule":
        """The network. Raises ValueError if the function gives no module, or one that the spec does not describe."""
        return PackedModule(self._spec)

    def check_built(self, signature: Signature) -> None:
        """Raise ValueError unless the module computes what the task wants, reproducibly."""
        _check_built(self._spec, signature)


@cache
def _check_built(spec: AnyModule, signature: Signature) -> None:
    network = PackedModule(spec)
    first, again = (network.initial(torch.Generator().manual_seed(0)) for _ in range(2))
    if not all(torch.equal(each, again.parameters[name]) for name, each in first.parameters.items()):
        raise ValueError(
            f"{network.label} gives other weights from the same torch.manual_seed: draw them from it alone"
        )
    with torch.random.fork_rng(devices=[]):
        network.try_out(first, signature)


class _ModuleError(ValueError):
    """What this module says of a user's module, to tell it from what that raises."""


class PackedModule:
    """`subind.networks.network.Network` of the modules that a spec describes.

    Names are those of `named_parameters()`, so tied weights are one parameter. Statistics are the persistent buffers
    and the parameters without gradients.
    """

    can_be_captured = False

    def __init__(self, spec: AnyModule) -> None:
        self._spec = spec
        self.label = f"AnyModule.make is {quoted(qualified_name(spec.make))}, which"
        self._module = self._made(seed=0)
        self._device = torch.device("cpu")
        self._modes = [(module, _has_running_statistics(module)) for module in self._module.modules()]
        trained, self._fresh_statistics = self._tensors_of(self._module)
        self.shapes = {name: tuple(each.shape) for name, each in trained.items()}
        self._constants = self._buffers_besides_statistics()
        self._aliases = _aliases(self._module, (*trained, *self._fresh_statistics))
        self.maskable = self._matching("maskable", spec.maskable)
        self.head = self._matching("head", spec.head)
        self.norms = _owned(self._module, _is_norm, self.shapes)
        self._inputs_first = _owned(self._module, _is_inputs_first, self.shapes)
        if spec.packing == "vmap":
            self._check_packing()

    # ---- the module

    def _made(self, *, seed: int) -> nn.Module:
        with _seeded(seed, torch.device("cpu")):
            try:
                made = self._spec.make(**dict(self._spec.arguments))
            except Exception as error:
                raise _ModuleError(
                    f"{self.label} raised {_in_one_line(error)}: mend it or AnyModule.arguments"
                ) from error
        if not isinstance(made, nn.Module):
            raise _ModuleError(f"{self.label} gave a {type(made).__name__}: let it return a torch.nn.Module")
        return made

    def _tensors_of(self, module: nn.Module) -> tuple[Parameters, Parameters]:
        """The trained parameters and the statistics of a module. Raises ValueError if they cannot be trained."""
        parameters = dict(module.named_parameters())
        for name, each in parameters.items():
            if nn.parameter.is_lazy(each):
                raise _ModuleError(
                    f"{self.label} leaves the size of {quoted(name)} open: give lazy modules their sizes"
                )
            if each.device.type != "cpu" or each.dtype != torch.float32:
                raise _ModuleError(
                    f"{self.label} made {quoted(name)} as {each.dtype} on {each.device}: make float32 on the CPU"
                )
        persistent = module.state_dict(keep_vars=True)
        buffers = {name: each for name, each in module.named_buffers() if name in persistent}
        trained = {name: each.detach() for name, each in parameters.items() if each.requires_grad}
        held = {name: each.detach() for name, each in parameters.items() if not each.requires_grad}
        if not trained:
            raise _ModuleError(
                f"{self.label} gave a {type(module).__name__} without parameters: there is nothing to train"
            )
        return trained, held | buffers

    def _buffers_besides_statistics(self) -> Parameters:
        """Buffers that are no part of a state dict, and are the same for all replicas."""
        return {name: each for name, each in self._module.named_buffers() if name not in self._fresh_statistics}

    def _matching(self, field: str, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not any(patterns_match(name, (pattern,)) for name in self.shapes):
                names = ", ".join(shortened(name) for name in list(self.shapes)[:MOST_NAMES])
                raise _ModuleError(
                    f"AnyModule.{field} has {quoted(pattern)}, which fits no parameter: they are named {names}, ..."
                )
        return tuple(name for name in self.shapes if patterns_match(name, patterns))

    def _check_packing(self) -> None:
        for module in self._module.modules():
            dropout = isinstance(module, _DropoutNd) and module.p > 0
            if dropout or _has_running_statistics(module):
                raise _ModuleError(self.unpackable(f"its {type(module).__name__} differs between replicas"))

    def unpackable(self, why: str) -> str:
        """The message that the module cannot be packed by vmap."""
        name = type(self._module).__name__
        return f"AnyModule.packing is 'vmap', and {name} cannot be packed so ({why}): give packing='one_by_one'"

    # ---- values

    def initial(self, generator: torch.Generator) -> State:
        """A fresh module as its own initialisation draws it, from a seed that is drawn from the generator."""
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        parameters, statistics = self._tensors_of(self._made(seed=seed))
        return checked_state({**parameters, **statistics}, self.shapes, self._fresh_statistics)

    def fresh(self, name: str, law: FreshLaw, generator: torch.Generator) -> Tensor:
        size = fan_in(name, self.shapes, inputs_first=name in self._inputs_first)
        return fresh_values(self.shapes[name], law, fan_in=size, generator=generator)

    def to_library(self, state: State) -> Parameters:
        """The module's own state dict, in which a tied weight has all its names."""
        tensors = library_tensors(state)
        named = {alias: tensors[name] for alias, name in self._aliases.items()}
        return {alias: each if alias in tensors else each.clone() for alias, each in named.items()}

    def from_library(self, tensors: Mapping[str, Tensor], *, without: Collection[str] = ()) -> State:
        """One module from its state dict. A tied weight has any of its names, or several with the same values."""
        named: Parameters = {}
        for alias, tensor in tensors.items():
            name = self._aliases.get(alias, alias)
            if name in self._constants or name in without:
                continue
            known = named.setdefault(name, tensor)
            if known is not tensor and known.device.type != "meta" and not torch.equal(known, tensor):
                raise _ModuleError(f"the weights have another {alias} than {name}, and the module ties the two")
        counts = {name: each for name, each in self._fresh_statistics.items() if name.endswith("num_batches_tracked")}
        return checked_state(counts | named, self.shapes, self._fresh_statistics, without=without)

    # ---- outputs

    def outputs(self, state: State, inputs: Inputs, *, draws: Draws | None, training: bool, precision: str) -> Tensor:
        """Outputs [replica batch ...], of `Tokens` [replica batch position ...].

        Modules with running statistics are in training mode while `training`, all others where there are draws.
        """
        given = inputs.tokens if isinstance(inputs, Tokens) else inputs
        self._prepare(given.device, training=training, drawing=draws is not None)
        if self._spec.packing == "vmap":
            outputs = self._together(state, given)
        else:
            outputs = self._one_by_one(state, given, draws.seeds() if draws is not None else None, keeps=training)
        return outputs[:, :, -1:] if isinstance(inputs, Tokens) and inputs.read == "last" else outputs

    def _prepare(self, device: torch.device, *, training: bool, drawing: bool) -> None:
        if device != self._device:
            self._module.to(device)
            self._device, self._constants = device, self._buffers_besides_statistics()
        for module, has_statistics in self._modes:
            module.training = training if has_statistics else drawing

    def _together(self, state: State, inputs: Tensor) -> Tensor:
        # the fused attention of CPUs has no batching rule, so that vmap goes through the replicas and warns
        fused = inputs.device.type != "cpu"
        with warnings.catch_warnings(), nullcontext() if fused else sdpa_kernel(SDPBackend.MATH):
            warnings.filterwarnings("ignore", message="There is a performance drop")
            return vmap(self._output)(state.parameters, state.statistics, inputs)

    def _one_by_one(self, state: State, inputs: Tensor, seeds: Sequence[int] | None, *, keeps: bool) -> Tensor:
        cut = {name: tensor.unbind() for name, tensor in state.parameters.items()}
        outputs = []
        for index, own in enumerate(inputs):
            parameters = {name: _Copied.apply(tensors[index]) for name, tensors in cut.items()}
            running = {name: tensor[index].clone() for name, tensor in state.statistics.items()}
            with _seeded(None if seeds is None else seeds[index], inputs.device):
                outputs.append(_Copied.apply(self._output(parameters, running, own.clone())))
            if keeps:
                for name, tensor in running.items():
                    state.statistics[name][index] = tensor.detach()
        return torch.stack(outputs)

    def _output(self, parameters: Parameters, statistics: Parameters, inputs: Tensor) -> Tensor:
        """The output of one module. Statistics that the module changes or replaces are changed in the dictionary."""
        before = {name: each._version for name, each in self._constants.items()}
        given = parameters | statistics | self._constants
        output = functional_call(self._module, given, (inputs,))
        for name, tensor in self._constants.items():
            if given[name] is not tensor or tensor._version != before[name]:
                raise _ModuleError(f"{self.label} changes the buffer {quoted(name)}: register it with persistent=True")
        statistics.update({name: given[name] for name in statistics})
        scores = getattr(output, "logits", output)
        if not isinstance(scores, Tensor):
            kind = type(scores).__name__
            raise _ModuleError(
                f"{self.label} gave a module with a {kind} as output: let it return a tensor, or .logits"
            )
        return scores.float()

    # ---- at planning time

    def try_out(self, fresh: State, signature: Signature) -> None:
        """Raise ValueError unless the module computes what the task wants; AnyInputs are not tried."""
        inputs = _example(signature)
        if inputs is None:
            return
        for training, drawing in ((True, True), (True, False), (False, False)):
            pack = State(parameters=stacked([fresh.parameters] * 2), statistics=stacked([fresh.statistics] * 2))
            for tensor in pack.parameters.values():
                tensor.requires_grad_()
            before = torch.get_rng_state()
            outputs = self._tried(pack, inputs, signature, training=training, drawing=drawing)
            if not torch.equal(torch.get_rng_state(), before):
                raise _ModuleError(
                    f"{self.label} draws random numbers in evaluation: let nothing but training draw them"
                )
            self._check_outputs(outputs, inputs, signature)

    def _tried(self, pack: State, inputs: Tensor, signature: Signature, *, training: bool, drawing: bool) -> Tensor:
        """Outputs of two replicas one by one, whose gradients and whose outputs by vmap are what they should be."""
        self._prepare(torch.device("cpu"), training=training, drawing=drawing)
        before = {name: tensor.clone() for name, tensor in pack.statistics.items()}
        try:
            alone = self._one_by_one(pack, inputs, [0, 1] if drawing else None, keeps=True)
            parameters = list(pack.parameters.values())
            gradients: Sequence[Tensor | None] = torch.autograd.grad(alone.sum(), parameters, allow_unused=True)
        except _ModuleError:
            raise
        except Exception as error:
            raise _ModuleError(
                f"{self.label} gave a {type(self._module).__name__} that raised {_in_one_line(error)} on "
                f"{tuple(inputs.shape[1:])} {inputs.dtype}: give a module for {signature.inputs}"
            ) from error
        if unused := [name for name, each in zip(pack.parameters, gradients, strict=True) if each is None]:
            raise _ModuleError(f"{self.label} does not use {quoted(unused[0])}: give it requires_grad=False")
        if self._spec.packing == "vmap":
            if changed := [name for name, each in before.items() if not torch.equal(each, pack.statistics[name])]:
                raise _ModuleError(self.unpackable(f"it changes {quoted(changed[0])}"))
            self._check_packed(pack, inputs, alone)
        return alone

    def _check_packed(self, pack: State, inputs: Tensor, alone: Tensor) -> None:
        try:
            together = self._together(pack, inputs)
        except Exception as error:
            raise _ModuleError(self.unpackable(_in_one_line(error))) from error
        if not torch.allclose(together, alone, atol=1e-4, rtol=1e-3):
            raise _ModuleError(self.unpackable("its outputs are others than one by one"))

    def _check_outputs(self, outputs: Tensor, inputs: Tensor, signature: Signature) -> None:
        """`outputs` are [replica batch output], or [replica batch position output] for tokens."""
        leading = inputs.shape if isinstance(signature.inputs, TaskTokens) else inputs.shape[:2]
        wanted = (*leading[1:], signature.num_outputs or outputs.shape[-1])
        given = tuple(outputs.shape[1:])
        if given != wanted:
            raise _ModuleError(
                f"{self.label} gave a {type(self._module).__name__} with outputs {given} for {BATCH} rows, and the "
                f"task wants {wanted}: give another module or AnyModule.arguments"
            )


def _example(signature: Signature) -> Tensor | None:
    """Inputs of two replicas; None where only the network's author knows what they look like."""
    draws = torch.Generator().manual_seed(0)
    match signature.inputs:
        case TaskTokens(vocabulary_size=size, length=length):
            return torch.randint(size, (2, BATCH, length), generator=draws)
        case Images(image_size=side, num_channels=channels):
            return torch.randn(2, BATCH, channels, side, side, generator=draws)
        case Features(num_features=count):
            return torch.randn(2, BATCH, count, generator=draws)
        case _:
            return None


class _Copied(torch.autograd.Function):
    """A copy, whose gradient is copied too: both begin where an allocation does, whatever they are parts of."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone(memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].clone(memory_format=torch.contiguous_format)


@contextmanager
def _seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Torch's generators at a seed, and afterwards as they were; with None nothing is changed."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _aliases(module: nn.Module, names: Collection[str]) -> dict[str, str]:
    """The parameter or buffer behind every name of the module's state dict, and behind its own."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    name_of = {id(tensor): name for name, tensor in tensors.items() if name in names}
    saved = module.state_dict(keep_vars=True)
    aliases = {alias: name_of[id(each)] for alias, each in saved.items() if id(each) in name_of}
    return aliases | {name: name for name in names}


def _owned(module: nn.Module, fits: Any, names: Collection[str]) -> tuple[str, ...]:
    """The parameters that stand directly in modules of a kind."""
    owned = {
        f"{path}.{name}" if path else name
        for path, each in module.named_modules()
        if fits(each)
        for name, _ in each.named_parameters(recurse=False)
    }
    return tuple(name for name in names if name in owned)


def _is_norm(module: nn.Module) -> bool:
    """A normalisation of torch, or one of a library's own by the end of its name, such as LlamaRMSNorm."""
    return isinstance(module, NORMS) or type(module).__name__.endswith("Norm")


def _is_inputs_first(module: nn.Module) -> bool:
    return type(module).__name__ in INPUTS_FIRST


def _has_running_statistics(module: nn.Module) -> bool:
    return any(name == "running_mean" for name, _ in module.named_buffers(recurse=False))


def _in_one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {shortened(text, 200)}"
