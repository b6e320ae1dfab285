"""A store as a sweep of the arithmetic protocol leaves it, made without training.

Every record is whole: the real spec, provenance, 100 epochs of curves and the shares of every matrix. Its numbers are
drawn with the run's id as seed and have the form of measured ones: accuracies are counts of 1,000, losses are float32.
Artifacts are named in the records and not written, for planning, export and report read none.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from subind.identity.run_ids import encoded, run_id
from subind.specs.mask_methods import ContinuousSparsification
from subind.specs.rows import num_of
from subind.specs.runs import Discover, Train, Transfer
from subind.store.provenance import Code, code
from subind.store.store import Store
from sweeps.grids import protocol, read_grid
from sweeps.hosts.workers import num_cores
from sweeps.planning.plan import with_parents

GRID = '''"""Cells of the arithmetic protocol over {num_seeds} seeds."""

from subind.specs.runs import Transfer
from sweeps.grids import protocol


def grid() -> tuple[Transfer, ...]:
    """The first {num_cells} transfers, ordered by depth, seed, number of samples and start."""
    seeds = tuple(range({num_seeds}))
    cells = protocol.cells(
        depths=protocol.DEPTHS, seeds=seeds, disambiguation_counts=protocol.DISAMBIGUATION_COUNTS
    )
    return cells[:{num_cells}]
'''
CELLS_OF_A_SEED = 9 * len(protocol.DEPTHS) * len(protocol.DISAMBIGUATION_COUNTS)

CHANCE = 1 / 7
LOSS_FLOOR = 2.3026
DENSITY = 0.08
STRENGTHS = {
    "subnetwork": 1.0,
    "subnetwork_trainable": 0.9,
    "full_transfer": 0.95,
    "random_init": 0.35,
    "random_subnetwork": 0.8,
    "complement_subnetwork": 0.75,
    "unmasked_only": 0.6,
    "random_as_released": 0.45,
    "complement_as_released": 0.4,
}
"""How far a start gets towards accuracy 1 with the most samples."""

Curves = dict[str, list[float]]
TrainingRun = Train | Discover | Transfer


def written_grid(path: Path, *, num_cells: int) -> Path:
    """Write a grid file with so many cells, over as many seeds as they take; returns the path."""
    num_seeds = ceil(num_cells / CELLS_OF_A_SEED)
    path.write_text(GRID.format(num_cells=num_cells, num_seeds=num_seeds), encoding="utf-8")
    return path


def fabricate(grid: Path, store: Path) -> None:
    """Write a record of every run of a grid file into the store, on all cores."""
    shares, context = num_cores(), multiprocessing.get_context("spawn")
    made = code()
    with ProcessPoolExecutor(shares, mp_context=context) as pool:
        done = [
            pool.submit(_write_share, str(grid), str(store), share=slice(share, None, shares), made=made)
            for share in range(shares)
        ]
        for each in done:
            each.result()


def _write_share(grid: str, store_path: str, *, share: slice, made: Code) -> None:
    """Write the records of some of the grid's runs, without the syncs of a commit."""
    store = Store(store_path)
    for spec in list(with_parents(read_grid(grid).cells).values())[share]:
        assert isinstance(spec, TrainingRun)
        folder = Path(store.folder(spec))
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(_record_data(spec, made), sort_keys=True), encoding="utf-8")


def _record_data(spec: TrainingRun, made: Code) -> dict[str, Any]:
    run = run_id(spec)
    draws = np.random.default_rng(int(run, 16))
    curves = _curves(spec, draws)
    return {
        "run_id": run,
        "stage": spec.stage,
        "spec": encoded(spec),
        "parents": [run_id(parent) for parent in spec.parents()],
        "provenance": _provenance(made, draws),
        "measurements": {**_at_best_epoch(curves), **_measured(spec, draws)},
        "curves": curves,
        "artifacts": _artifacts(spec, run),
    }


def _provenance(made: Code, draws: np.random.Generator) -> dict[str, Any]:
    return {
        "commit": made.commit,
        "dirty": made.dirty,
        "versions": made.versions,
        "device": "cpu",
        "host": "fabricated",
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": round(float(draws.uniform(100, 900)), 3),
        "pack_size": 10,
    }


def _curves(spec: TrainingRun, draws: np.random.Generator) -> Curves:
    """The curves that the spec's stage records, over all its epochs."""
    num_epochs = spec.num_epochs
    epochs = range(1, num_epochs + 1)
    curves: Curves = {
        "epoch": list(epochs),
        "train_loss": _falling_loss(num_epochs, draws),
        "validation_loss": _falling_loss(num_epochs, draws),
    }
    match spec:
        case Train():
            return {**curves, "validation_accuracy": _rising_accuracy(1.0, num_epochs, draws)}
        case Discover(method=method):
            assert isinstance(method, ContinuousSparsification)
            densities = {f"density.{name}": _densities(num_epochs, draws) for name in _matrices(spec)}
            return {
                **curves,
                **densities,
                "density": _densities(num_epochs, draws),
                "subtask_accuracy": _rising_accuracy(0.99, num_epochs, draws),
                "temperature": [method.temperature.temperature(each, num_epochs=num_epochs) for each in epochs],
            }
        case Transfer():
            reached = CHANCE + (1 - CHANCE) * STRENGTHS[spec.start.name] * _known(spec)
            return {
                **curves,
                "validation_accuracy": _rising_accuracy(reached, num_epochs, draws),
                "ambiguous_accuracy": _rising_accuracy(1.0, num_epochs, draws),
                **{f"rival_agreement.{rival}": _rising_accuracy(0.3, num_epochs, draws) for rival in _rivals(spec)},
            }


def _rivals(spec: Transfer) -> list[str]:
    return list(spec.task.columns().get("rivals", []))


def _known(spec: Transfer) -> float:
    """How much of the way to the rule its samples are, from 0 to 1."""
    return float(np.log1p(num_of(spec.rows, "disambiguation")) / np.log1p(protocol.DISAMBIGUATION_COUNTS[-1]))


def _rising_accuracy(reached: float, num_epochs: int, draws: np.random.Generator) -> list[float]:
    """Shares of 1,000 samples that rise from chance to about `reached`."""
    risen = 1 - np.exp(-np.arange(1, num_epochs + 1) / (0.2 * num_epochs))
    accuracy = CHANCE + (reached - CHANCE) * risen + draws.normal(0, 0.01, num_epochs)
    return list((np.round(1000 * accuracy.clip(0, 1)) / 1000).tolist())


def _falling_loss(num_epochs: int, draws: np.random.Generator) -> list[float]:
    fallen = np.exp(-np.arange(1, num_epochs + 1) / (0.2 * num_epochs))
    return _as_float32(LOSS_FLOOR + 4.6 * fallen + draws.normal(0, 0.003, num_epochs))


def _densities(num_epochs: int, draws: np.random.Generator) -> list[float]:
    """Shares of the weights of a matrix."""
    return list((np.round(DENSITY * draws.uniform(0.7, 1.3, num_epochs) * 2**16) / 2**16).tolist())


def _as_float32(values: npt.NDArray[np.float64]) -> list[float]:
    return list(values.astype(np.float32).astype(np.float64).tolist())


def _at_best_epoch(curves: Mapping[str, list[float]]) -> dict[str, float]:
    """The values of all curves at the epoch of best accuracy, as a trainer records them."""
    accuracy = next(curves[name] for name in ("validation_accuracy", "subtask_accuracy") if name in curves)
    place = accuracy.index(max(accuracy))
    values = {name: curve[place] for name, curve in curves.items() if name != "epoch"}
    return {**values, "best_epoch": curves["epoch"][place]}


def _measured(spec: TrainingRun, draws: np.random.Generator) -> dict[str, float]:
    """What a recipient's record holds beside its curves."""
    if not isinstance(spec, Transfer):
        return {}
    shares = {
        f"{share}.{name}": value
        for share in ("kept_fraction", "frozen_fraction")
        for name, value in zip(_matrices(spec), _densities(len(_matrices(spec)), draws), strict=True)
    }
    reached = CHANCE + (1 - CHANCE) * STRENGTHS[spec.start.name] * _known(spec)
    accuracy = float(np.clip(reached + draws.normal(0, 0.02), 0, 1))
    return {**shares, "kept_fraction": DENSITY, "frozen_fraction": DENSITY, "test_accuracy": round(accuracy, 3)}


def _matrices(spec: TrainingRun) -> tuple[str, ...]:
    return _matrices_of_depth(spec.network.columns()["num_layers"])


@cache
def _matrices_of_depth(num_layers: int) -> tuple[str, ...]:
    kinds = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    return tuple(f"h.{layer}.{kind}.weight" for layer in range(num_layers) for kind in kinds)


def _artifacts(spec: TrainingRun, run: str) -> dict[str, Any]:
    name = {"donor": "weights", "mask": "mask"}.get(spec.stage)
    if name is None:
        return {}
    digest = hashlib.sha256(run.encode()).hexdigest()
    described = {"file": f"{name}-{digest[:8]}.safetensors", "num_bytes": 1_000_000, "sha256": digest}
    return {f"{name}.safetensors": described}
