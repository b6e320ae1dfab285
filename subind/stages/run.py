"""A pack of runs of any stage, computed: each replica is handed out as soon as it is done.

A stage reads its parents' files through a function that the caller gives; it neither knows the store nor commits.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from subind.specs.run import Run
from subind.specs.runs import Discover, Measure
from subind.stages import discover, train
from subind.stages.discover import MaskDiscovery
from subind.stages.isolation import isolated
from subind.stages.measure import measured
from subind.stages.parents import Parents, ReadFile
from subind.stages.train import NetworkTraining
from subind.training.loop import Finished, Method, ReportProgress, Runtime, SaveCheckpoint, Trainer
from subind.training.memory import freed_memory_is_kept

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A checkpoint to go on from: its tensors and JSON state, and where in it each replica of the pack stands."""

    tensors: Mapping[str, Tensor]
    state: str
    places: list[int]


def run(
    pack: Sequence[Run],
    *,
    read: ReadFile,
    runtime: Runtime,
    save: SaveCheckpoint,
    report: ReportProgress,
    kept: Set[Run] = frozenset(),
    resumed: Resumed | None = None,
    refuse: Callable[[str], None] = _log.warning,
    is_wanted: Callable[[], bool] = lambda: False,
) -> Iterator[Finished]:
    """Compute a pack of runs, handing out each as it is done; one that cannot be is handed out with its failure.

    The runs must be of one shape (`Run.pack_shape`). `read(run, file)` gives a parent's file, or the weights a donor
    starts from. Recipients in `kept` leave their weights. `refuse` takes a line on why a checkpoint cannot be gone on
    from; training starts over then. `is_wanted` is asked after every training step whether to save a checkpoint now.
    """
    assert len({each.pack_shape() for each in pack}) == 1, "the runs of a pack are of one shape"
    torch.set_num_threads(runtime.num_threads)
    with tiny_numbers_are_zero(), freed_memory_is_kept():
        trainer, done = _prepared(pack, read=read, runtime=runtime, kept=kept, resumed=resumed, refuse=refuse)
        yield from done
        if trainer is not None:
            yield from trainer.run(save=save, report=report, is_wanted=is_wanted)


@contextmanager
def tiny_numbers_are_zero() -> Iterator[None]:
    """Have this thread's CPU take numbers below float32's normal range (1.2e-38) as zero.

    Masks that are nearly hard and the moments of weights without a gradient are full of them, and a CPU computes with
    them up to 170 times slower.
    """
    was_so = bool(torch.tensor(1e-30) * torch.tensor(1e-12) == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_so)


def _prepared(
    pack: Sequence[Run],
    *,
    read: ReadFile,
    runtime: Runtime,
    kept: Set[Run],
    resumed: Resumed | None,
    refuse: Callable[[str], None],
) -> tuple[Trainer | None, Iterable[Finished]]:
    """What trains the pack, None if nothing does, and the runs that are done without it."""
    if isinstance(pack[0], Measure):
        several = (measured(each, read=read, runtime=runtime) for each in pack if isinstance(each, Measure))
        return None, chain.from_iterable(several)
    method, failed = method_of(pack, read, runtime, kept=kept)
    if method is None:
        return None, failed
    trainer = Trainer(method, runtime)
    if resumed is not None:
        alive = {replica.spec for replica in method.replicas}
        places = [place for each, place in zip(pack, resumed.places, strict=True) if each in alive]
        try:
            trainer.resume(resumed.tensors, resumed.state, places)
        except ValueError as error:
            refuse(f"the checkpoint is not resumed from, and training starts over: {error}")
    return trainer, failed


def method_of(
    pack: Sequence[Any], read: ReadFile, runtime: Runtime, *, kept: Set[Run] = frozenset()
) -> tuple[Method | None, list[Finished]]:
    """What the loop trains for a pack of one shape, None if nothing is left to train, and the runs that cannot be."""
    parents = Parents(read)
    if isinstance(pack[0], Discover):
        return isolated(pack, partial(discover.started, parents=parents), MaskDiscovery, runtime)
    return isolated(pack, partial(train.started, parents=parents), partial(NetworkTraining, kept=kept), runtime)
