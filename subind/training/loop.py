"""The one training loop: R replicas of one shape train as one batched model.

A method (see `subind.stages`) says what is trained, what the loss of some rows is and what an evaluation measures. The
loop owns data order, the optimiser, the choice of the kept epoch, early stopping, checkpoints, and the removal of
replicas that are done. Every draw is keyed by stream, seed and step, so a checkpoint holds no generator state.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from subind.specs.run import steps_per_epoch
from subind.training import checkpoints, tensors
from subind.training.checkpoints import History
from subind.training.draws import generator
from subind.training.graphs import GraphedStep, Step
from subind.training.kept_epoch import at_epoch, is_kept, num_epochs_since_better
from subind.training.optimiser import Pace, PackedOptimizer
from subind.training.precision import set_products
from subind.training.tensors import Parameters

TrainingRun = Any
"""A run that trains: a donor, a mask or a recipient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A replica is stopped that is worse than every limit once it has trained this share of its epochs.

    Limits are by name of a curve, of which less is better.
    """

    share: float
    limits: Mapping[str, float]

    def verdict(self, epoch: int, num_epochs: int, values: Mapping[str, float | int]) -> str:
        """Why a replica with these values after an epoch is stopped; empty if it is not."""
        if epoch != math.ceil(self.share * num_epochs) or epoch == num_epochs:
            return ""
        if not self.limits or not all(values.get(name, -math.inf) > limit for name, limit in self.limits.items()):
            return ""
        worse = ", ".join(f"{name} {values[name]:.4g} is above {limit:.4g}" for name, limit in self.limits.items())
        return f"stopped after epoch {epoch} of {num_epochs}: {worse}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Where and how a pack is computed; no part of a run's identity. `images` is the folder of photographs.

    A replica that a rung stops has no result: what a run leaves is that of all its epochs.
    """

    device: str = "cpu"
    num_threads: int = 1
    checkpoint_seconds: float = 300.0
    rungs: tuple[Rung, ...] = ()
    images: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a pack is: steps done and planned, the epoch under way, and the last accuracy of each replica."""

    epoch: int
    step: int
    num_steps: int
    accuracies: tuple[float, ...]


@dataclass(slots=True, kw_only=True)
class Replica(History):
    """One model of a pack, with its history."""

    spec: TrainingRun


@runtime_checkable
class Method(Protocol):
    """What the loop must know of a stage. All tensors carry the replica axis, in the order of `replicas`.

    `statistics` change in training without gradients, such as running means. `terms` are the names of the loss's terms,
    by which their means over an epoch stand on the curves.
    """

    replicas: list[Replica]
    trainable: Parameters
    statistics: Parameters
    terms: tuple[str, ...]

    @property
    def can_be_captured(self) -> bool:
        """Whether a step may become a CUDA graph."""
        ...

    @property
    def num_rows(self) -> int:
        """Rows of an epoch."""
        ...

    def begin(self, epoch: int) -> bool:
        """Set what differs between epochs; whether steps are other operations than in the epoch before."""
        ...

    def thawed(self, epoch: int) -> Mapping[str, Bool[Tensor, "replica *shape"]]:
        """The weights that were frozen up to the epoch and train from it on, by parameter; asked before `begin`."""
        ...

    def expect(self, epoch: int, batches: Iterable[Int[Tensor, "replica _"]]) -> None:
        """Take the rows of the steps to come in the epoch, on the CPU, so that what they need may be made ahead."""
        ...

    def load(self, rows: Int[Tensor, "replica batch"], *, epoch: int, step: int) -> None:
        """Bring to the device what the step on these rows needs, and set the draws of that step of the epoch."""
        ...

    def losses(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, "term replica"]:
        """The terms of a training step of the epoch that has begun, as a function of `trainable`."""
        ...

    def weighted(self, losses: Float[Tensor, "term replica"]) -> Float[Tensor, " replica"]:
        """The loss of each replica: the weighted sum of its terms."""
        ...

    def hold(self) -> None:
        """Put back in `trainable`, after an optimiser step, what must not move."""
        ...

    def evaluate(self) -> list[dict[str, float]]:
        """What is measured of every replica now, by curve."""
        ...

    def outcome(self, index: int, best: Parameters) -> tuple[dict[str, float], dict[str, bytes]]:
        """The measurements and files of the replica at `index`, from its trainable and statistics at the kept epoch."""
        ...

    def select(self, staying: Sequence[int], index: Int[Tensor, " chosen"]) -> None:
        """Go on with the replicas at these places: of all that is not `replicas`, `trainable` and `statistics`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A replica that is done. One that failed has neither measurements nor files; `replica.failure` says why."""

    replica: Replica
    measurements: Mapping[str, float]
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A checkpoint as the loop hands it out: the runs' specs in replica order, and tensors plus JSON to resume from."""

    specs: tuple[TrainingRun, ...]
    tensors: Parameters
    state: str


SaveCheckpoint = Callable[[Saved], None]
ReportProgress = Callable[[Progress], None]


class Trainer:
    """Trains the replicas of a method; `run` hands out each as soon as it is done."""

    def __init__(self, method: Method, runtime: Runtime) -> None:
        self.method = method
        self.runtime = runtime
        first = method.replicas[0].spec
        self.batch_size = first.batch_size
        self.num_epochs = max(replica.spec.num_epochs for replica in method.replicas)
        self.steps_per_epoch = steps_per_epoch(first)
        self.evaluations_per_epoch = getattr(first, "evaluations_per_epoch", 1)
        set_products(first.precision, runtime.device)
        self.optimiser = PackedOptimizer(method.trainable, [_pace(replica.spec) for replica in method.replicas])
        self.best = {name: tensor.detach().clone() for name, tensor in self._moving().items()}
        self.loss_sum = torch.zeros(len(method.terms), len(method.replicas), device=runtime.device)
        self.epoch, self.step = 1, 0
        self.last_checkpoint = time.monotonic()
        self._on_device = self._device_step()

    # ---- the loop

    def run(
        self, *, save: SaveCheckpoint, report: ReportProgress, is_wanted: Callable[[], bool] = lambda: False
    ) -> Iterator[Finished]:
        """Train to the end, handing out every replica at its last epoch. `is_wanted`: save after this step?

        A replica whose numbers are not finite is handed out with `failure` set and leaves; the others go on.
        """
        if self.num_epochs == 0:
            self._record(self.method.evaluate())
            yield from self._leave(list(range(len(self.method.replicas))))
            return
        while self.method.replicas and self.epoch <= self.num_epochs:
            self._epoch(save=save, report=report, is_wanted=is_wanted)
            means = self._mean_losses(self.method.num_rows)
            stops = self._record(self.method.evaluate(), means)
            ends = [replica.spec.num_epochs for replica in self.method.replicas]
            done = [index for index, stop in enumerate(stops) if stop or self.epoch == ends[index]]
            self.epoch, self.step = self.epoch + 1, 0
            self.loss_sum.zero_()
            yield from self._leave(done)
            report(self._progress())

    def _epoch(self, *, save: SaveCheckpoint, report: ReportProgress, is_wanted: Callable[[], bool]) -> None:
        if self.step == 0:
            self.optimiser.forget(self.method.thawed(self.epoch))
        if self.method.begin(self.epoch):
            self._on_device = self._device_step()
        order = torch.stack([self._order(replica.spec) for replica in self.method.replicas])
        self.method.expect(self.epoch, order[:, self.step * self.batch_size :].split(self.batch_size, dim=1))
        order = order.to(self.runtime.device)
        while self.step < self.steps_per_epoch:
            rows = order[:, self.step * self.batch_size : (self.step + 1) * self.batch_size]
            self.loss_sum += self.advance(rows) * rows.shape[1]
            self.step += 1
            self._evaluate_within(num_rows=self.step * self.batch_size)
            if self.step % 16 == 0:
                report(self._progress())
            if is_wanted() or time.monotonic() - self.last_checkpoint > self.runtime.checkpoint_seconds:
                self.checkpoint(save)

    def _order(self, run: TrainingRun) -> Int[Tensor, " row"]:
        """The order of the rows of a replica's epoch."""
        return torch.randperm(self.method.num_rows, generator=generator(f"{run.stage}/order", run.seed, self.epoch))

    def _evaluate_within(self, *, num_rows: int) -> None:
        """Measure, where the epoch's part is over; what is measured within an epoch is never its best."""
        number = self.evaluations_per_epoch
        ends = {round(self.steps_per_epoch * part / number) for part in range(1, number)}
        if self.step in ends:
            self._record(self.method.evaluate(), self._mean_losses(num_rows), within=True)

    def _mean_losses(self, num_rows: int) -> list[dict[str, float]]:
        """The mean of every term over the rows so far, of each replica."""
        columns = (self.loss_sum / num_rows).T.tolist()
        return [dict(zip(self.method.terms, column, strict=True)) for column in columns]

    def advance(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, "term replica"]:
        """One optimiser step on those rows of each replica's training set; returns the terms of the loss before it.

        The next step may overwrite what is returned.
        """
        self.optimiser.schedule()
        self.method.load(rows, epoch=self.epoch, step=self.step)
        return self._on_device(rows)

    def _device_step(self) -> Step:
        if not self.runtime.device.startswith("cuda") or not self.method.can_be_captured:
            return self._step_of
        return GraphedStep(self._step_of)

    def _step_of(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, "term replica"]:
        losses = self.method.losses(rows)
        total = self.method.weighted(losses).sum()
        gradients = torch.autograd.grad(total, list(self.method.trainable.values()))
        self.optimiser.step(gradients)
        self.method.hold()
        return losses.detach()

    def _moving(self) -> Parameters:
        """All that training changes in the networks."""
        return self.method.trainable | self.method.statistics

    # ---- histories

    def _record(
        self, measured: list[dict[str, float]], losses: list[dict[str, float]] | None = None, *, within: bool = False
    ) -> list[bool]:
        """Append to the curves, keep what is best, and say who stops. Nothing is kept `within` an epoch."""
        epoch = self.epoch if self.num_epochs else 0
        improved, stops = [], []
        for index, (replica, own) in enumerate(zip(self.method.replicas, measured, strict=True)):
            values = {"epoch": epoch, **(losses[index] if losses else {}), **own}
            if bad := sorted(name for name, value in values.items() if not math.isfinite(value)):
                remedy = "lower the learning rate or clip gradients"
                replica.failure = f"{', '.join(bad)} not finite in epoch {epoch}: {remedy}"
            elif not within:
                self._stop_at_rung(replica, epoch, values)
            for name, value in values.items():
                replica.curves.setdefault(name, []).append(value)
            if not within and self._is_kept(replica):
                improved.append(index)
                replica.best_epoch = epoch
            stops.append(bool(replica.failure) or (not within and self._is_over(replica)))
        for name, tensor in self._moving().items():
            self.best[name][improved] = tensor.detach()[improved]
        return stops

    def _is_kept(self, replica: Replica) -> bool:
        try:
            return not self.num_epochs or is_kept(replica.spec.kept_epoch, replica.curves)
        except ValueError as error:
            replica.failure = replica.failure or str(error)
            return False

    def _is_over(self, replica: Replica) -> bool:
        """Whether the replica stops early: its epochs have not become better for as many as its patience."""
        patience: int | None = getattr(getattr(replica.spec, "stopping", None), "patience", None)
        if patience is None or not self.num_epochs:
            return False
        return num_epochs_since_better(replica.spec.kept_epoch, replica.curves) >= patience

    def _stop_at_rung(self, replica: Replica, epoch: int, values: Mapping[str, float | int]) -> None:
        for rung in self.runtime.rungs:
            if not replica.failure:
                replica.failure = rung.verdict(epoch, replica.spec.num_epochs, values)
                replica.is_stopped = bool(replica.failure)

    def _leave(self, done: list[int]) -> Iterator[Finished]:
        """Hand out the replicas that are done and go on with the others."""
        leaving = [self._finished(index) for index in done]
        if done:
            self._select([index for index in range(len(self.method.replicas)) if index not in done])
        yield from leaving

    def _finished(self, index: int) -> Finished:
        replica = self.method.replicas[index]
        if replica.failure:
            return Finished(replica=replica, measurements={}, files={})
        measurements, files = self.method.outcome(index, tensors.replica(self.best, index))
        return Finished(
            replica=replica, measurements={**at_epoch(replica.curves, replica.best_epoch), **measurements}, files=files
        )

    def _select(self, staying: list[int]) -> None:
        """Reduce the pack to the replicas at the given places, in that order."""
        method, index = self.method, torch.tensor(staying, dtype=torch.long, device=self.runtime.device)
        method.replicas = [method.replicas[place] for place in staying]
        method.statistics = {name: tensor[index] for name, tensor in method.statistics.items()}
        method.trainable = {name: tensor.detach()[index].requires_grad_() for name, tensor in method.trainable.items()}
        method.select(staying, index)
        self.best = {name: tensor[index] for name, tensor in self.best.items()}
        self.loss_sum = self.loss_sum[:, index]
        self.optimiser.select(method.trainable, index)
        self.num_epochs = max((replica.spec.num_epochs for replica in method.replicas), default=self.num_epochs)
        self._on_device = self._device_step()

    def _progress(self) -> Progress:
        curves = [replica.curves for replica in self.method.replicas]
        names = ("validation_accuracy", "subtask_accuracy", "tuning_accuracy")
        last = tuple(curve[name][-1] for curve in curves for name in names if curve.get(name))
        return Progress(
            epoch=min(self.epoch, self.num_epochs),
            step=(self.epoch - 1) * self.steps_per_epoch + self.step,
            num_steps=self.num_epochs * self.steps_per_epoch,
            accuracies=last,
        )

    # ---- checkpoints

    def checkpoint(self, save: SaveCheckpoint) -> None:
        """Hand out all that the rest of the training depends on and that the specs do not give."""
        replicas = self.method.replicas
        state = checkpoints.State(epoch=self.epoch, step=self.step, histories=replicas).text(self.runtime.device)
        save(Saved(specs=tuple(each.spec for each in replicas), tensors=self._tensors(), state=state))
        self.last_checkpoint = time.monotonic()

    def _tensors(self) -> Parameters:
        """All that changes in training, with a row per replica."""
        tensors = {f"trainable.{name}": tensor.detach() for name, tensor in self.method.trainable.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        tensors |= {f"optimiser.{name}": tensor for name, tensor in self.optimiser.state().items()}
        tensors |= {f"statistics.{name}": tensor for name, tensor in self.method.statistics.items()}
        return tensors | {"loss_sum": self.loss_sum.T}

    def resume(self, tensors: Mapping[str, Tensor], state: str, places: list[int]) -> None:
        """Go on from a checkpoint; replica i of this pack is replica places[i] of the saved one. Bit-exact.

        Raises ValueError, before anything is restored, if the checkpoint is of another device or format or is not of
        such a pack.
        """
        steps = self.steps_per_epoch
        found = checkpoints.state_from(state, device=self.runtime.device, num_epochs=self.num_epochs, num_steps=steps)
        chosen = checkpoints.rows(tensors, like=self._tensors(), num_saved=len(found.histories), places=places)
        self.epoch, self.step = found.epoch, found.step
        for replica, place in zip(self.method.replicas, places, strict=True):
            replica.take(found.histories[place].data())
        with torch.no_grad():
            for name, tensor in self.method.trainable.items():
                tensor.copy_(chosen[f"trainable.{name}"])
            for name, tensor in self.method.statistics.items():
                tensor.copy_(chosen[f"statistics.{name}"])
            for name, tensor in self.best.items():
                tensor.copy_(chosen[f"best.{name}"])
        self.loss_sum.copy_(chosen["loss_sum"].T)
        prefix = "optimiser."
        moments = {name.removeprefix(prefix): each for name, each in chosen.items() if name.startswith(prefix)}
        self.optimiser.restore(moments, num_steps_done=(self.epoch - 1) * steps + self.step)


def _pace(run: TrainingRun) -> Pace:
    return Pace(optimizer=run.optimizer, num_steps=max(1, run.num_epochs * steps_per_epoch(run)))
