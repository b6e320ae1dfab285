"""How fast packs train here: per replica and step, against a plain loop and against the machine's limit.

Each side uses the machine as it does in earnest: the service trains one pack a core, each on one thread, and the plain
loop trains one model on all cores. The limit is the time of a step if all its products of parameters ran at the speed
of a large matrix product in the same precision on all cores. All three are timed in turn, round by round, so that a
disturbance of the machine meets all of them.
"""

import itertools
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, Literal, assert_never

import torch
from safetensors.torch import save
from torch import Tensor

from benchmarks.plain_loop import Step, TrainingRun, plain_step
from subind.masks import hard as masks
from subind.specs.networks import GPT2
from subind.specs.optimizers import Precision
from subind.specs.rows import Part
from subind.specs.run import Run
from subind.specs.starts import Subnetwork
from subind.specs.tasks import Tokens
from subind.stages.parents import MASK_FILE, WEIGHTS_FILE, network_of
from subind.stages.run import method_of
from subind.training.draws import generator
from subind.training.loop import Runtime, Trainer
from subind.training.memory import freed_memory_is_kept
from sweeps.grids import protocol
from sweeps.hosts.workers import num_cores

BATCH_SIZE = 50
"""Rows of a step, in every stage; the protocol's masks train with 500, with which 25 replicas take seconds a step."""
NUM_SAMPLES = 10_000
DENSITY = 0.08
"""The share of frozen weights in the recipients, as measured at depth 2."""
PRODUCT_SIZE = 2048

TrainingStage = Literal["donor", "mask", "transfer"]
TRAINING_STAGES: tuple[TrainingStage, ...] = ("donor", "mask", "transfer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the benchmark: a pack of `replicas` runs of a stage at a depth."""

    stage: TrainingStage
    num_layers: int
    replicas: int
    precision: Precision = "float32"


def default_cases(device: str) -> tuple[Case, ...]:
    """What is timed by default; bfloat16 too where the device has units for it."""
    return tuple(
        Case(stage=stage, num_layers=num_layers, replicas=replicas, precision=precision)
        for precision in _precisions(device)
        for stage in TRAINING_STAGES
        for num_layers in (2, 6, 12)
        for replicas in ((5, 25) if device == "cpu" else (25, 45))
    )


def _precisions(device: str) -> tuple[Precision, ...]:
    if device != "cpu":
        return ("float32", "tf32", "bfloat16")
    return ("float32", "bfloat16") if torch.cpu.get_capabilities().get("amx_bf16", False) else ("float32",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Seconds per replica and step of the packs together and of the plain loop, and of one large matrix product."""

    packed: float
    plain: float
    product: float


def training_benchmark(
    *,
    progress: Callable[[str], None],
    device: str = "cpu",
    cases: Sequence[Case] | None = None,
    num_rounds: int = 5,
    seconds: float = 0.5,
) -> dict[str, Any]:
    """The machine, and a row per case: medians over rounds in which each side runs for about `seconds`.

    Without `cases`, those of `default_cases`.
    Raises ValueError if transformers is not installed.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(num_cores())
    try:
        rows = []
        for case in default_cases(device) if cases is None else cases:
            progress(f"{case.stage}, {case.num_layers} layers, {case.replicas} replicas, {case.precision}")
            rows.append(_row(case, _rounds(case, device=device, num_rounds=num_rounds, seconds=seconds), device))
        return {"machine": machine(device), "rows": rows}
    finally:
        torch.set_num_threads(num_threads)


def machine(device: str) -> dict[str, Any]:
    """What the numbers were measured on."""
    names = {"device": torch.cuda.get_device_name(device)} if device.startswith("cuda") else {}
    return {"cpu": _cpu(), "num_cores": num_cores(), "torch": torch.__version__, **names}


def operations_per_step(spec: TrainingRun) -> float:
    """Floating-point operations of one replica's step in products of parameters: 2 forward, 2 for each gradient.

    The head of a mask's donor is frozen and has no gradient of its own.
    """
    model, inputs = spec.network, spec.task.signature().inputs
    assert isinstance(model, GPT2)
    assert isinstance(inputs, Tokens)
    body, head = 12 * model.num_layers * model.d_model**2, inputs.vocabulary_size * model.d_model
    return float(spec.batch_size * inputs.length * (6 * body + (4 if spec.stage == "mask" else 6) * head))


def pack(case: Case) -> list[TrainingRun]:
    """The protocol's runs with this benchmark's batch and fewer samples; recipients are frozen on a subnetwork."""
    return [replace(spec, precision=case.precision) for spec in _runs(case)]


def _runs(case: Case) -> list[TrainingRun]:
    rows = (Part(name="unambiguous", num_samples=NUM_SAMPLES),)
    donors = [
        replace(protocol.donor(case.num_layers, seed=seed), batch_size=BATCH_SIZE, rows=rows)
        for seed in range(case.replicas)
    ]
    mask = protocol.mask(case.num_layers, seed=0)
    mask = replace(mask, donor=donors[0], batch_size=BATCH_SIZE, rows=rows)
    match case.stage:
        case "donor":
            return list(donors)
        case "mask":
            return [replace(mask, donor=donor, seed=donor.seed) for donor in donors]
        case "transfer":
            start = Subnetwork(mask=mask)
            cells = [protocol.transfer(start, num_disambiguation=1000, seed=each.seed) for each in donors]
            return [replace(cell, batch_size=BATCH_SIZE) for cell in cells]
        case _:
            assert_never(case.stage)


def untrained(parent: Run, file: str) -> bytes:
    """The file of a parent that nobody trained: fresh weights, random bits; the speed is the same."""
    network = network_of(parent)
    match file:
        case _ if file == WEIGHTS_FILE:
            return save(network.to_library(network.initial(generator("donor/initial", parent.seed))))
        case _ if file == MASK_FILE:
            draws = generator("mask/order", parent.seed)
            bits = {name: torch.rand(network.shapes[name], generator=draws) < DENSITY for name in network.maskable}
            return masks.packed_bits(bits)
        case _:
            raise AssertionError(f"{file} is no file of {parent}")


def packed_step(runs: Sequence[TrainingRun], *, device: str) -> Step:
    """One training step of the whole pack: order, rows, dropout, loss, gradients, optimiser."""
    runtime = Runtime(device=device, num_threads=1)
    method, failed = method_of(runs, untrained, runtime)
    assert method is not None
    assert not failed
    trainer = Trainer(method, runtime)
    rows = _shuffled_rows(trainer)
    method.begin(1)

    def step() -> None:
        trainer.advance(next(rows))

    return step


def _shuffled_rows(trainer: Trainer) -> Iterator[Tensor]:
    count, runs = trainer.method.num_rows, [replica.spec for replica in trainer.method.replicas]
    for epoch in itertools.count(1):
        draws = [generator(f"{run.stage}/order", run.seed, epoch) for run in runs]
        order = torch.stack([torch.randperm(count, generator=each) for each in draws])
        yield from torch.split(order.to(trainer.runtime.device), trainer.batch_size, dim=1)


def _rounds(case: Case, *, device: str, num_rounds: int, seconds: float) -> list[Round]:
    runs, num_packs = pack(case), num_cores() if device == "cpu" else 1
    plain = _with_products("float32", plain_step(runs[0], read=untrained, device=device))
    product = _with_products(case.precision, _product_step(case.precision, device))
    with freed_memory_is_kept(), ThreadPoolExecutor(max_workers=num_packs) as threads:
        steps = [_with_products(case.precision, packed_step(runs, device=device)) for _ in range(num_packs)]
        packed = _at_once(steps, threads)
        counts = [_num_steps(step, seconds, device) for step in (packed, plain, product)]
        return [
            Round(
                packed=_seconds_per_step(packed, counts[0], device) / (num_packs * case.replicas),
                plain=_seconds_per_step(plain, counts[1], device),
                product=_seconds_per_step(product, counts[2], device),
            )
            for _ in range(num_rounds)
        ]


def _at_once(steps: Sequence[Step], threads: ThreadPoolExecutor) -> Step:
    """One step of every pack, each in a thread of its own on one core; PyTorch frees the interpreter meanwhile."""

    def on_one_core(step: Step) -> None:
        torch.set_num_threads(1)
        step()

    def together() -> None:
        list(threads.map(on_one_core, steps))
        torch.set_num_threads(num_cores())

    return together


def _with_products(precision: Precision, step: Step) -> Step:
    """The step under PyTorch's setting for float32 products; the plain loop has its default."""

    def set_and_step() -> None:
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        step()

    return set_and_step


def _product_step(precision: Precision, device: str) -> Step:
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    left, right, out = (torch.ones(PRODUCT_SIZE, PRODUCT_SIZE, device=device, dtype=dtype) for _ in range(3))

    def step() -> None:
        torch.mm(left, right, out=out)

    return step


def _num_steps(step: Step, seconds: float, device: str) -> int:
    """How many steps take about so long, at least two; warms up first."""
    _seconds_per_step(step, 2, device)
    return max(2, ceil(seconds / _seconds_per_step(step, 1, device)))


def _seconds_per_step(step: Step, num_steps: int, device: str) -> float:
    _finish(device)
    start = time.perf_counter()
    for _ in range(num_steps):
        step()
    _finish(device)
    return (time.perf_counter() - start) / num_steps


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _row(case: Case, rounds: Sequence[Round], device: str) -> dict[str, Any]:
    operations, product = operations_per_step(pack(case)[0]), 2 * PRODUCT_SIZE**3
    limits = [operations / (product / each.product) for each in rounds]
    return {
        "stage": case.stage,
        "num_layers": case.num_layers,
        "replicas": case.replicas,
        "batch_size": BATCH_SIZE,
        "precision": case.precision,
        "device": device,
        "ratio_to_plain_loop": median(each.plain / each.packed for each in rounds),
        "share_of_limit": median(limit / each.packed for limit, each in zip(limits, rounds, strict=True)),
        "packed_seconds": median(each.packed for each in rounds),
        "plain_seconds": median(each.plain for each in rounds),
        "limit_seconds": median(limits),
        "num_rounds": len(rounds),
    }


def _cpu() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
