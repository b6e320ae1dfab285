"""The stages that train networks: a donor from fresh or imported weights, a recipient from its start."""

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors.torch import save
from torch import Tensor

from subind.masks import hard as masks
from subind.networks.network import Network, State, bound
from subind.specs.runs import Distillation, SecondTask, Train, Transfer
from subind.specs.training import FreshWeights, FrozenFor, UniformFanIn
from subind.stages.freezing import put_back, without_gradient
from subind.stages.pack import TRAIN_LOSS, Pack
from subind.stages.parents import WEIGHTS_FILE, Parents, network_of
from subind.starts.recipient import Given, Recipient, recipient
from subind.tasks.task import PackOrder, TaskPack, packed
from subind.training.draws import generator
from subind.training.loop import Runtime
from subind.training.tensors import Inputs, Parameters, stacked, trainable_on

TrainingRun = Train | Transfer
Started = tuple[Recipient, "State | None"]
"""The network that a run starts from, and its teacher's, masked where it is."""


def started(run: TrainingRun, parents: Parents) -> Started:
    """What a run starts from. Raises ValueError if it does not exist, or a parent's file is damaged."""
    held_names(network_of(run), run.held)
    return _initial(run, parents), _teacher(run, parents)


def _initial(run: TrainingRun, parents: Parents) -> Recipient:
    network = network_of(run)
    if isinstance(run, Transfer):
        own = run.start.parents()
        given = Given(
            network=network,
            states=parents.states(own),
            masks=parents.masks(own),
            fresh_weights=run.fresh_weights,
            seed=run.seed,
        )
        return recipient(run.start, given)
    nothing = {name: torch.zeros(network.shapes[name], dtype=torch.bool) for name in network.maskable}
    return Recipient(state=_donor(run, network, parents), kept=nothing, inherited=nothing)


def _donor(run: Train, network: Network, parents: Parents) -> State:
    """What a donor starts from; where only a head trains on imported weights, with a fresh one."""
    if isinstance(run.weights, FreshWeights):
        return network.initial(generator("donor/initial", run.seed))
    tensors = parents.imported(run)
    if run.held != "all_but_head":
        return network.from_library(tensors)
    draws = generator("donor/head", run.seed)
    state = network.from_library(tensors, without=network.head)
    fresh = {name: network.fresh(name, UniformFanIn(), draws) for name in network.head}
    return State(parameters={**state.parameters, **fresh}, statistics=state.statistics)


def _teacher(run: TrainingRun, parents: Parents) -> State | None:
    if not isinstance(run.teacher, Distillation):
        return None
    if not run.teacher.masks:
        return parents.state(run.teacher.network)
    (mask,) = run.teacher.masks
    state, bits = parents.state(mask), parents.mask(mask)
    masked = {name: state.parameters[name] * kept for name, kept in bits.items()}
    return State(parameters=state.parameters | masked, statistics=state.statistics)


def held_names(network: Network, held: str) -> tuple[str, ...]:
    """The parameters that training holds. Raises ValueError if the network has no such ones."""
    match held:
        case "nothing":
            return ()
        case "norms":
            names = network.norms
        case "norms_and_head":
            names = (*network.norms, *network.head)
        case "all_but_head":
            names = tuple(name for name in network.shapes if name not in network.head)
        case _:
            raise AssertionError(held)
    if not names or (held != "norms" and not network.head):
        raise ValueError(f"held is {held!r}, and the network names no such parameters: give 'nothing'")
    return names


class NetworkTraining(Pack):
    """Trains whole networks, or what is not held of them.

    `trainable` holds what is frozen within a tensor too: it has no gradient, and `hold` undoes its decay.
    """

    def __init__(self, starts: Sequence[tuple[TrainingRun, Started]], runtime: Runtime, *, kept: Set[Any]) -> None:
        runs, first = [run for run, _ in starts], starts[0][0]
        super().__init__(runs, runtime)
        self._kept = kept
        self._shares = {run: _shares(own) for run, (own, _) in starts if isinstance(run, Transfer)}
        self._place([own for _, (own, _) in starts], held=first.held)
        self._dropout = self.draw("dropout")
        self._uses_batch = first.held == "nothing"
        self._thaws_after = _frozen_epochs(first)
        self.terms = (TRAIN_LOSS,)
        self._taught: Network | None = None
        self._second: TaskPack | None = None
        if isinstance(first.teacher, Distillation):
            self._add_teacher([teacher for _, (_, teacher) in starts])
        if isinstance(first.second_task, SecondTask):
            self._add_second(runs)

    def _place(self, recipients: Sequence[Recipient], *, held: str) -> None:
        """Put the networks on the device: what trains, what is held, and what is frozen within a tensor."""
        own = stacked([each.state.parameters for each in recipients])
        running = stacked([each.state.statistics for each in recipients])
        names = held_names(self.network, held)
        self.trainable = trainable_on(self.device, {name: each for name, each in own.items() if name not in names})
        self.fix({name: own[name] for name in names})
        if held == "nothing":
            self.statistics = {name: tensor.to(self.device).clone() for name, tensor in running.items()}
        else:
            self.fix(running, prefix="fixed_statistics")
        kept = stacked(_filled([each.kept for each in recipients]))
        self.frozen = tuple(name for name, bits in kept.items() if bits.any() and name in self.trainable)
        self.fix({name: kept[name] for name in self.frozen}, prefix="kept")
        self.fix({name: own[name] for name in self.frozen}, prefix="start")

    def thawed(self, epoch: int) -> Parameters:
        is_thawed = self._thaws_after and epoch == self._thaws_after + 1
        return {name: self.constants[f"kept.{name}"] for name in self.frozen} if is_thawed else {}

    def begin(self, epoch: int) -> bool:
        self._begin_second(epoch)
        if self._thaws_after and epoch > self._thaws_after and self.frozen:
            self.frozen = ()
            return True
        return False

    def effective(self) -> Parameters:
        """The parameters of a training step of the epoch that has begun, as a function of `trainable`."""
        frozen = without_gradient(self.trainable, self.constants, self.frozen)
        return self.constants_of("fixed") | self.trainable | frozen

    def hold(self) -> None:
        put_back(self.trainable, self.constants, self.frozen, source="start")

    def losses(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, "term replica"]:
        state = State(parameters=self.effective(), statistics=self.all_statistics())
        inputs, batch = self.tasks.batch(rows)
        outputs = self._outputs(state, inputs)
        found = []
        if self._taught is not None:
            found.append(self._distilled(outputs, inputs))
        found.insert(0, self.tasks.losses(outputs, batch))
        if self._second is not None:
            found.append(self._second_losses(state))
        return torch.stack(found)

    def weighted(self, losses: Float[Tensor, "term replica"]) -> Float[Tensor, " replica"]:
        if len(losses) == 1:
            return losses[0]
        return (losses.T * self.constants["term_weights"]).sum(1)

    def _outputs(self, state: State, inputs: Inputs) -> Tensor:
        return self.network.outputs(
            state, inputs, draws=self._dropout, training=self._uses_batch, precision=self.precision
        )

    # ---- evaluation

    def evaluate(self) -> list[dict[str, float]]:
        return self.tasks.evaluate(self.ask(self.constants_of("fixed") | self.trainable, self.all_statistics()))

    @torch.no_grad()
    def outcome(self, index: int, best: Parameters) -> tuple[dict[str, float], dict[str, bytes]]:
        run = self.replicas[index].spec
        parameters = self.one_of("fixed", index) | {name: best[name] for name in self.trainable}
        statistics = self.one_of("fixed_statistics", index) | {name: best[name] for name in self.statistics}
        measured = self.tasks.final(self.ask_one(parameters, statistics), index)
        state = State(parameters=parameters, statistics=statistics)
        keeps = run.stage == "donor" or run in self._kept
        files = {WEIGHTS_FILE: save(self.network.to_library(state))} if keeps else {}
        return {**self._shares.get(run, {}), **measured}, files

    # ---- a teacher

    def _add_teacher(self, teachers: Sequence[State | None]) -> None:
        states = [each for each in teachers if each is not None]
        assert len(states) == len(self.replicas), "the replicas of a pack have a teacher each, or none has"
        taught = [replica.spec.teacher for replica in self.replicas]
        self._taught = bound(taught[0].network.network, taught[0].network.task.signature())
        self.fix(stacked([each.parameters for each in states]), prefix="teacher")
        self.fix(stacked([each.statistics for each in states]), prefix="teacher_statistics")
        self.constants["teacher_temperature"] = self._each([each.temperature for each in taught])
        weights = [each.weight for each in taught]
        self._add_term("distillation_loss", weights, of_task=[1 - weight for weight in weights])

    def _distilled(self, outputs: Tensor, inputs: Inputs) -> Float[Tensor, " replica"]:
        """T²·KL(teacher ‖ student), mean over all but the classes, which are the last axis."""
        assert self._taught is not None
        state = State(parameters=self.constants_of("teacher"), statistics=self.constants_of("teacher_statistics"))
        with torch.no_grad():
            wanted = self._taught.outputs(state, inputs, draws=None, training=False, precision=self.precision)
        temperature = self.constants["teacher_temperature"]
        found = []
        for own, theirs, scale in zip(outputs, wanted, temperature, strict=True):
            log_own, log_theirs = (F.log_softmax(each.flatten(0, -2) / scale, dim=-1) for each in (own, theirs))
            found.append((log_theirs.exp() * (log_theirs - log_own)).sum(-1).mean() * scale**2)
        return torch.stack(found)

    # ---- a second task

    def _add_second(self, runs: Sequence[TrainingRun]) -> None:
        seconds = [run.second_task for run in runs if isinstance(run.second_task, SecondTask)]
        self._second = packed(
            PackOrder(
                runs=runs,
                tasks=[each.task for each in seconds],
                parts=[each.rows for each in seconds],
                num_evaluation_samples=runs[0].num_evaluation_samples,
                device=self.device,
                images=self.runtime.images,
                purpose="second_rows",
            )
        )
        self._second_batch = seconds[0].batch_size
        self._second_rows = torch.zeros(len(runs), self._second_batch, dtype=torch.long, device=self.device)
        self._add_term("second_loss", [each.weight for each in seconds])

    def _begin_second(self, epoch: int) -> None:
        if self._second is not None:
            steps = zip(*map(self._second_order(epoch), self.replicas), strict=True)
            self._second_coming = [torch.stack(rows) for rows in steps]

    def _second_order(self, epoch: int) -> Any:
        """For a replica the rows of the second task of every step of the epoch: whole permutations in turn."""
        assert self._second is not None
        num_rows, num_steps = self._second.num_rows, -(-self.num_rows // self.replicas[0].spec.batch_size)
        needed = num_steps * self._second_batch

        def order(replica: Any) -> Iterator[Tensor]:
            run, several = replica.spec, range(-(-needed // num_rows))
            drawn = (generator(f"{run.stage}/second_order", run.seed, epoch, turn) for turn in several)
            rows = torch.cat([torch.randperm(num_rows, generator=each) for each in drawn])[:needed]
            return iter(rows.split(self._second_batch))

        return order

    def expect(self, epoch: int, batches: Iterable[Int[Tensor, "replica _"]]) -> None:
        to_come = list(batches)
        super().expect(epoch, to_come)
        if self._second is not None:
            self._second.expect(epoch, self._second_coming[len(self._second_coming) - len(to_come) :])

    def load(self, rows: Int[Tensor, "replica batch"], *, epoch: int, step: int) -> None:
        super().load(rows, epoch=epoch, step=step)
        if self._second is not None:
            self._second_rows.copy_(self._second_coming[step])
            self._second.at(self.step_number(epoch, step))
            self._second.load(self._second_rows)

    def _second_losses(self, state: State) -> Float[Tensor, " replica"]:
        assert self._second is not None
        inputs, batch = self._second.batch(self._second_rows)
        return self._second.losses(self._outputs(state, inputs), batch)

    # ---- terms

    def _add_term(self, name: str, weights: Sequence[float], *, of_task: Sequence[float] | None = None) -> None:
        """Add a term of the loss with its weight in each replica; `of_task` are the task's own weights then."""
        known = self.constants.get("term_weights")
        if known is None:
            known = torch.ones(len(self.replicas), 1, device=self.device)
        if of_task is not None:
            known[:, 0] = self._each(of_task)
        self.constants["term_weights"] = torch.cat([known, self._each(weights).unsqueeze(1)], dim=1)
        self.terms = (*self.terms, name)

    def _each(self, values: Sequence[float]) -> Float[Tensor, " replica"]:
        return torch.tensor(list(values), dtype=torch.float32, device=self.device)

    def select(self, staying: Sequence[int], index: Int[Tensor, " chosen"]) -> None:
        super().select(staying, index)
        if self._second is not None:
            self._second.constants = {name: tensor[index] for name, tensor in self._second.constants.items()}
            self._second.select(staying)
            self._second_rows = self._second_rows[index]


def _filled(masks_of: Sequence[masks.HardMask]) -> list[masks.HardMask]:
    """The masks with the tensors of all of them: what a start does not name, it keeps nothing of."""
    empty = {name: torch.zeros_like(bits) for each in masks_of for name, bits in each.items()}
    return [empty | each for each in masks_of]


def _frozen_epochs(run: TrainingRun) -> int:
    """After how many epochs what the start freezes is trained; 0 where it never is."""
    return run.frozen.num_epochs if isinstance(run, Transfer) and isinstance(run.frozen, FrozenFor) else 0


def _shares(own: Recipient) -> dict[str, float]:
    """How much of the maskable weights starts from the donor, and how much is frozen."""
    kept = {name: own.kept.get(name, torch.zeros_like(bits)) for name, bits in own.inherited.items()}
    found = {"kept_fraction": masks.density(own.inherited), "frozen_fraction": masks.density(kept)}
    found |= {f"kept_fraction.{name}": share for name, share in masks.densities(own.inherited).items()}
    return found | {f"frozen_fraction.{name}": share for name, share in masks.densities(kept).items()}
