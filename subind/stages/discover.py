"""The stage that discovers the subnetwork of a network that computes a task."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from safetensors.torch import save
from torch import Tensor

from subind.masks import hard as masks
from subind.masks.method import packed
from subind.networks.network import State, patterns_match
from subind.specs.runs import Discover
from subind.specs.tuning import TuningValidation
from subind.stages.pack import TRAIN_LOSS, Pack
from subind.stages.parents import BESIDE_FILE, MASK_FILE, Parents, network_of
from subind.training.loop import Runtime
from subind.training.tensors import Inputs, Parameters, Tokens, stacked, trainable_on


def started(run: Discover, parents: Parents) -> State:
    """The network that a mask is discovered in. Raises ValueError if its file is damaged."""
    state = parents.state(run.donor)
    _beside(run, tuple(state.parameters), network_of(run).maskable)
    return state


class MaskDiscovery(Pack):
    """Trains mask logits over frozen networks, and what is named to train along with them."""

    terms: tuple[str, ...] = (TRAIN_LOSS, "penalty")

    def __init__(self, starts: Sequence[tuple[Discover, State]], runtime: Runtime) -> None:
        runs, first = [run for run, _ in starts], starts[0][0]
        self._is_tuned = isinstance(first.validation, TuningValidation)
        super().__init__(runs, runtime, judged="tuning" if self._is_tuned else "validation")
        parameters = stacked([state.parameters for _, state in starts])
        running = stacked([state.statistics for _, state in starts])
        self.method = packed(
            [run.method for run in runs], num_epochs=[run.num_epochs for run in runs], device=runtime.device
        )
        self.names = self.network.maskable
        beside = _beside(first, tuple(parameters), self.names)
        logits = self.method.initial({name: tuple(parameters[name].shape[1:]) for name in self.names})
        self.trainable = trainable_on(self.device, logits | {name: parameters[name] for name in beside})
        self.fix({name: tensor for name, tensor in parameters.items() if name not in beside})
        self._uses_batch = first.statistics == "batch"
        if self._uses_batch:
            self.statistics = {name: tensor.to(self.device).clone() for name, tensor in running.items()}
        else:
            self.fix(running, prefix="fixed_statistics")
        self._noise = self.draw("noise") if self.method.draws_noise else None

    def begin(self, epoch: int) -> bool:
        self.method.begin(epoch)
        return False

    def hold(self) -> None:
        """Nothing: every logit moves, and the network is not trained."""

    def losses(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, "term replica"]:
        logits = {name: self.trainable[name] for name in self.names}
        inputs, batch = self.tasks.batch(rows)
        num_masks = self.method.num_masks
        outputs = [self._outputs(logits, part) for part in _parts(inputs, num_masks)]
        penalties = self.method.penalties(logits, batch_size=rows.shape[1])
        joined = outputs[0] if num_masks == 1 else torch.cat(outputs, dim=1)
        return torch.stack([self.tasks.losses(joined, batch), penalties])

    def _outputs(self, logits: Parameters, inputs: Inputs) -> Tensor:
        fixed = self.constants_of("fixed")
        masked = self.method.masked({name: fixed[name] for name in self.names}, logits, self._noise)
        state = State(parameters=fixed | self._beside() | masked, statistics=self.all_statistics())
        return self.network.outputs(state, inputs, draws=None, training=self._uses_batch, precision=self.precision)

    def _beside(self) -> Parameters:
        return {name: tensor for name, tensor in self.trainable.items() if name not in self.names}

    # ---- evaluation

    @torch.no_grad()
    def evaluate(self) -> list[dict[str, float]]:
        logits = {name: self.trainable[name] for name in self.names}
        hard = {name: masks.binarise(each) for name, each in logits.items()}
        name = "tuning_accuracy" if self._is_tuned else "subtask_accuracy"
        judged = self._judged(hard)
        soft = self._judged(self.method.soft(logits)) if self._is_tuned else []
        found = []
        for index, (measured, of_method) in enumerate(zip(judged, self.method.measured(), strict=True)):
            own = {_renamed(each, name): value for each, value in measured.items()} | of_method
            if self._is_tuned:
                accuracy = soft[index]["validation_accuracy"]
                own |= {"soft_accuracy": accuracy, "soft_hard_gap": accuracy - own[name]}
            mask = {matrix: bits[index] for matrix, bits in hard.items()}
            own |= {"density": masks.density(mask)}
            found.append(own | {f"density.{matrix}": share for matrix, share in masks.densities(mask).items()})
        return found

    def _judged(self, factors: Parameters) -> list[dict[str, float]]:
        """What is measured of every network under a mask, hard or soft."""
        fixed = self.constants_of("fixed")
        masked = {name: fixed[name] * factor for name, factor in factors.items()}
        return self.tasks.evaluate(self.ask(fixed | self._beside() | masked, self.all_statistics()))

    @torch.no_grad()
    def outcome(self, index: int, best: Parameters) -> tuple[dict[str, float], dict[str, bytes]]:
        hard = {name: masks.binarise(best[name]) for name in self.names}
        fixed = self.one_of("fixed", index)
        beside = {name: tensor for name, tensor in best.items() if name not in hard}
        parameters = fixed | {name: fixed[name] * bits for name, bits in hard.items()}
        parameters |= {name: tensor for name, tensor in beside.items() if name not in self.statistics}
        statistics = self.one_of("fixed_statistics", index) | {name: best[name] for name in self.statistics}
        measured = self.tasks.final(self.ask_one(parameters, statistics), index)
        files = {MASK_FILE: masks.packed_bits(hard)}
        if beside:
            files[BESIDE_FILE] = save({name: tensor.cpu().contiguous() for name, tensor in beside.items()})
        return {_renamed(name, "subtask_accuracy"): value for name, value in measured.items()}, files

    def select(self, staying: Sequence[int], index: Int[Tensor, " chosen"]) -> None:
        super().select(staying, index)
        self.method.constants = {name: tensor[index] for name, tensor in self.method.constants.items()}
        self.method.select(staying)


def _renamed(name: str, accuracy: str) -> str:
    """An accuracy of the subtask by the name that it has of a mask."""
    return accuracy if name in ("validation_accuracy", "test_accuracy") else name


def _parts(inputs: Inputs, number: int) -> list[Inputs]:
    """The inputs of a batch cut into equal parts; the last may be smaller."""
    if isinstance(inputs, Tokens):
        return [replace(inputs, tokens=part) for part in inputs.tokens.chunk(number, dim=1)]
    return list(inputs.chunk(number, dim=1))


def _beside(run: Discover, names: tuple[str, ...], maskable: tuple[str, ...]) -> tuple[str, ...]:
    """The parameters that train along with the mask.

    Raises ValueError if a pattern fits none that a mask leaves out.
    """
    free = [name for name in names if name not in maskable]
    for pattern in run.beside:
        if not any(patterns_match(name, (pattern,)) for name in free):
            raise ValueError(f"beside has {pattern!r}, which fits no parameter outside the mask: give one of {free}")
    return tuple(name for name in free if patterns_match(name, run.beside))
