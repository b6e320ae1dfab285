"""The one training loop: R replicas of one shape train as one batched model.

A method (donor, mask or transfer, of arithmetic or of images; see stages.py) says what is trained, what the loss of
some rows is and what an evaluation measures. The loop owns data order, the optimiser, the choice of the best epoch,
early stopping, checkpoints, and the removal of replicas that are done.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from subind.specs import runs as specs
from subind.specs.runs import Spec
from subind.training import checkpoints as resuming
from subind.training import tensors
from subind.training.checkpoints import History
from subind.training.draws import DrawStream, Stream, generator
from subind.training.graphs import GraphedStep, Step
from subind.training.optimiser import Pace, PackedOptimizer
from subind.training.tensors import Parameters


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an evaluation of one replica means: measurements by curve name, whether it is the best, whether to stop."""

    measurements: Mapping[str, float]
    best: bool
    stop: bool


@dataclass(slots=True, kw_only=True)
class Replica(History):
    """One model of a pack, with its history."""

    spec: Spec


@runtime_checkable
class Method(Protocol):
    """What the loop must know of a stage. All tensors carry the replica axis, in the order of `replicas`.

    `statistics` change in training without gradients, such as running means; `draws` are what each replica draws while
    it trains (dropout, crops), none if nothing is drawn. An epoch is evaluated `evaluations_per_epoch` times, the last
    time at its end.
    """

    replicas: list[Replica]
    trainable: Parameters
    statistics: Parameters
    constants: Parameters
    draws: list[DrawStream]
    order_stream: Stream
    evaluations_per_epoch: int

    @property
    def num_samples(self) -> int:
        """Rows of an epoch."""
        ...

    def begin(self, epoch: int) -> None:
        """Set what differs between epochs; `trainable` and `constants` stay the same tensors."""
        ...

    def expect(self, epoch: int, batches: Iterable[Int[Tensor, "replica _"]]) -> None:
        """Take the rows of the steps to come in the epoch, on the CPU, so that what they need may be made ahead."""
        ...

    def load(self, rows: Int[Tensor, "replica batch"]) -> None:
        """Bring to the device what the step on these rows needs and is not there."""
        ...

    def losses(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, " replica"]:
        """The cross-entropy of a training step of the epoch that has begun, as a function of `trainable`.

        Its gradients may include a penalty's.
        """
        ...

    def hold(self) -> None:
        """Put back in `trainable`, after an optimiser step, what must not move."""
        ...

    def evaluate(self, epoch: int) -> list[Verdict]:
        """The verdict on every replica after `epoch`."""
        ...

    def outcome(self, index: int, best: Parameters) -> tuple[dict[str, float], dict[str, bytes]]:
        """The measurements and files of the replica at `index`, from its trainable and statistics at the best epoch."""
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

    specs: tuple[Spec, ...]
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
        self.steps_per_epoch = specs.steps_per_epoch(first)
        _set_products(first.precision, runtime.device)
        self.optimiser = PackedOptimizer(method.trainable, [_pace(replica.spec) for replica in method.replicas])
        seeds = [replica.spec.seed for replica in method.replicas]
        self.order = [generator(method.order_stream, seed) for seed in seeds]
        self.best = {name: tensor.detach().clone() for name, tensor in self._moving().items()}
        self.loss_sum = torch.zeros(len(seeds), device=runtime.device)
        self.order_states = [each.get_state() for each in self.order]
        self.epoch, self.step = 1, 0
        self.last_checkpoint = time.monotonic()
        self._on_device = self._device_step()

    # ---- the loop

    def run(self, *, save: SaveCheckpoint, report: ReportProgress) -> Iterator[Finished]:
        """Train to the end, handing out every replica at its last epoch.

        A replica whose numbers are not finite is handed out with `failure` set and leaves; the others go on.
        """
        if self.num_epochs == 0:
            self._record(self.method.evaluate(0))
            yield from self._leave(list(range(len(self.method.replicas))))
            return
        while self.method.replicas and self.epoch <= self.num_epochs:
            self._epoch(save=save, report=report)
            losses = (self.loss_sum / self.method.num_samples).tolist()
            stops = self._record(self.method.evaluate(self.epoch), losses)
            ends = [replica.spec.num_epochs for replica in self.method.replicas]
            done = [index for index, stop in enumerate(stops) if stop or self.epoch == ends[index]]
            self.epoch, self.step = self.epoch + 1, 0
            self.loss_sum.zero_()
            yield from self._leave(done)
            report(self._progress())

    def _epoch(self, *, save: SaveCheckpoint, report: ReportProgress) -> None:
        self.method.begin(self.epoch)
        self.order_states = [each.get_state() for each in self.order]
        orders = [torch.randperm(self.method.num_samples, generator=each) for each in self.order]
        order = torch.stack(orders)
        self.method.expect(self.epoch, order[:, self.step * self.batch_size :].split(self.batch_size, dim=1))
        order = order.to(self.runtime.device)
        while self.step < self.steps_per_epoch:
            rows = order[:, self.step * self.batch_size : (self.step + 1) * self.batch_size]
            self.loss_sum += self.advance(rows) * rows.shape[1]
            self.step += 1
            self._evaluate_within(num_rows=self.step * self.batch_size)
            if self.step % 16 == 0:
                report(self._progress())
            if time.monotonic() - self.last_checkpoint > self.runtime.checkpoint_seconds:
                self.checkpoint(save)

    def _evaluate_within(self, *, num_rows: int) -> None:
        """Measure, where the epoch's part is over; what is measured within an epoch is never its best."""
        number = self.method.evaluations_per_epoch
        ends = {round(self.steps_per_epoch * part / number) for part in range(1, number)}
        if self.step in ends:
            verdicts = [replace(each, best=False) for each in self.method.evaluate(self.epoch)]
            self._record(verdicts, (self.loss_sum / num_rows).tolist())

    def advance(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, " replica"]:
        """One optimiser step on those rows of each replica's training set; returns the cross-entropy before it.

        The next step may overwrite what is returned.
        """
        self.optimiser.schedule()
        self.method.load(rows)
        return self._on_device(rows)

    def _device_step(self) -> Step:
        if not self.runtime.device.startswith("cuda"):
            return self._step_of
        return GraphedStep(self._step_of, [each.generator for each in self.method.draws])

    def _step_of(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, " replica"]:
        loss = self.method.losses(rows)
        gradients = torch.autograd.grad(loss.sum(), list(self.method.trainable.values()))
        self.optimiser.step(gradients)
        self.method.hold()
        return loss.detach()

    def _moving(self) -> Parameters:
        """All that training changes in the networks."""
        return self.method.trainable | self.method.statistics

    # ---- histories

    def _record(self, verdicts: list[Verdict], losses: list[float] | None = None) -> list[bool]:
        """Append the measurements to the curves, keep what is best, and say who stops."""
        epoch = self.epoch if self.num_epochs else 0
        improved = [index for index, verdict in enumerate(verdicts) if verdict.best]
        for name, tensor in self._moving().items():
            self.best[name][improved] = tensor.detach()[improved]
        stops = []
        for index, (replica, verdict) in enumerate(zip(self.method.replicas, verdicts, strict=True)):
            loss = losses[index] if losses else None
            values = {"epoch": epoch, **({} if loss is None else {"train_loss": loss}), **verdict.measurements}
            if not all(map(math.isfinite, values.values())):
                bad = sorted(name for name, value in values.items() if not math.isfinite(value))
                remedy = "lower the learning rate or clip gradients"
                replica.failure = f"{', '.join(bad)} not finite in epoch {epoch}: {remedy}"
            else:
                self._stop_at_rung(replica, epoch, values)
            for name, value in values.items():
                replica.curves.setdefault(name, []).append(value)
            if verdict.best:
                replica.best_epoch = epoch
            stops.append(verdict.stop or bool(replica.failure))
        return stops

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
        return Finished(replica=replica, measurements={**at_best_epoch(replica), **measurements}, files=files)

    def _select(self, staying: list[int]) -> None:
        """Reduce the pack to the replicas at the given places, in that order."""
        method, index = self.method, torch.tensor(staying, dtype=torch.long, device=self.runtime.device)
        method.replicas = [method.replicas[place] for place in staying]
        method.statistics = {name: tensor[index] for name, tensor in method.statistics.items()}
        method.constants = {name: tensor[index] for name, tensor in method.constants.items()}
        method.trainable = {name: tensor.detach()[index].requires_grad_() for name, tensor in method.trainable.items()}
        self.best = {name: tensor[index] for name, tensor in self.best.items()}
        self.loss_sum = self.loss_sum[index]
        self.order = [self.order[place] for place in staying]
        self.order_states = [self.order_states[place] for place in staying]
        method.draws = [method.draws[place] for place in staying] if method.draws else []
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
        state = resuming.State(epoch=self.epoch, step=self.step, histories=replicas).text(self.runtime.device)
        save(Saved(specs=tuple(each.spec for each in replicas), tensors=self._tensors(), state=state))
        self.last_checkpoint = time.monotonic()

    def _tensors(self) -> Parameters:
        """All that changes in training, with a row per replica."""
        tensors = {f"trainable.{name}": tensor.detach() for name, tensor in self.method.trainable.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        tensors |= {f"optimiser.{name}": tensor for name, tensor in self.optimiser.state().items()}
        tensors |= {f"statistics.{name}": tensor for name, tensor in self.method.statistics.items()}
        tensors |= {"order": torch.stack(self.order_states), "loss_sum": self.loss_sum}
        draws = {"draws": torch.stack([each.state() for each in self.method.draws])} if self.method.draws else {}
        return tensors | draws

    def resume(self, tensors: Mapping[str, Tensor], state: str, places: list[int]) -> None:
        """Go on from a checkpoint; replica i of this pack is replica places[i] of the saved one. Bit-exact.

        Raises ValueError, before anything is restored, if the checkpoint is of another device or format or is not of
        such a pack.
        """
        steps = self.steps_per_epoch
        found = resuming.state_from(state, device=self.runtime.device, num_epochs=self.num_epochs, num_steps=steps)
        num_saved = len(found.histories)
        chosen = resuming.rows(tensors, like=self._tensors(), num_saved=num_saved, places=places)
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
        self.loss_sum.copy_(chosen["loss_sum"])
        prefix = "optimiser."
        moments = {name.removeprefix(prefix): each for name, each in chosen.items() if name.startswith(prefix)}
        done = (self.epoch - 1) * self.steps_per_epoch + self.step
        self.optimiser.restore(moments, num_steps_done=done)
        # clones, for set_state of torch 2.15 reads beyond a tensor that begins within its storage
        for each, row in zip(self.order, chosen["order"], strict=True):
            each.set_state(row.clone())
        for stream, row in zip(self.method.draws, chosen.get("draws", ()), strict=True):
            stream.restore(row.clone())


def _pace(spec: Spec) -> Pace:
    return Pace(optimizer=spec.optimizer, num_steps=max(1, spec.num_epochs * specs.steps_per_epoch(spec)))


def at_best_epoch(replica: Replica) -> dict[str, float]:
    """The values of all curves at the replica's best epoch, and that epoch."""
    epochs = replica.curves["epoch"]
    place = max(place for place, epoch in enumerate(epochs) if epoch == replica.best_epoch)
    values = {name: curve[place] for name, curve in replica.curves.items() if name != "epoch"}
    return {**values, "best_epoch": replica.best_epoch}


def _set_products(precision: specs.Precision | specs.ImagePrecision, device: str) -> None:
    """Have PyTorch's float32 products be what the precision says. Raises ValueError if the device has no such ones."""
    if precision == "tf32" and not device.startswith("cuda"):
        raise ValueError(f"precision is 'tf32', and {device} has none: run on a CUDA device or give 'float32'")
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
