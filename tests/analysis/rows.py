"""Result rows made by hand: every field of the schema is there, and a test names only what it is about."""

from collections.abc import Iterable
from itertools import product
from typing import Any

from subind.store.schemas import ROW_SCHEMA

Row = dict[str, Any]

ABSENT: Row = dict.fromkeys(ROW_SCHEMA.names)
TASK: Row = {
    "grid": "test",
    "num_layers": 2,
    "d_model": 128,
    "rule": "a ** 2 + a * b",
    "modulus": 7,
    "num_integers": 1000,
}
MASKED: Row = {"subtask": "a * b", "penalty": 1e-7, "temperature_schedule": "as_released", "final_temperature": 100.0}
PROVENANCE: Row = {"commit": "c0ffee", "dirty": False, "device": "cpu", "seconds": 2.0, "pack_size": 4}
UNMASKED = ("full_transfer", "unmasked_only", "random_init")


def transfer(control: str, accuracy: float | None, *, samples: int = 100, seed: int = 0, **changes: Any) -> Row:
    """A finished transfer, or with the accuracy None a missing one."""
    layers = changes.get("num_layers", 2)
    return {
        **ABSENT,
        **TASK,
        **({} if control in UNMASKED else MASKED),
        "run_id": f"{control}-{layers}-{samples}-{seed}",
        "stage": "transfer",
        "control": control,
        "num_disambiguation": samples,
        "num_ambiguous": 1000,
        "seed": seed,
        **_outcome(accuracy, "test_accuracy"),
        **changes,
    }


def donor(accuracy: float | None, *, seed: int = 0, **changes: Any) -> Row:
    """A finished donor, or with the accuracy None a missing one."""
    identity = {"run_id": f"donor-{changes.get('num_layers', 2)}-{seed}", "stage": "donor", "seed": seed}
    return {**ABSENT, **TASK, **identity, "rule": "a + a * b", **_outcome(accuracy, "validation_accuracy"), **changes}


def mask(accuracy: float | None, *, density: float | None = None, seed: int = 0, **changes: Any) -> Row:
    """A finished mask in the donor of the same seed, or with the accuracy None a missing one."""
    layers = changes.get("num_layers", 2)
    identity = {"run_id": f"mask-{layers}-{seed}", "stage": "mask", "parent_id": f"donor-{layers}-{seed}", "seed": seed}
    measured = {**_outcome(accuracy, "subtask_accuracy"), "density": density}
    return {**ABSENT, **TASK, **MASKED, **identity, "rule": "a * b", **measured, **changes}


def _outcome(accuracy: float | None, column: str) -> Row:
    if accuracy is None:
        return {"status": "missing"}
    return {"status": "finished", column: accuracy, **PROVENANCE}


def sweep(controls: Iterable[str], samples: Iterable[int], seeds: Iterable[int], depths: Iterable[int]) -> list[Row]:
    """Finished transfers of a whole grid, with accuracies and curves that depend on all four."""
    made = []
    for (place, control), (step, num), seed, layers in product(enumerate(controls), enumerate(samples), seeds, depths):
        accuracy = round(min(1.0, 0.3 + 0.08 * step - 0.02 * place + 0.01 * (seed % 3) + 0.001 * layers), 4)
        curve = {"curve_epoch": [1, 2, 3], "curve_validation_accuracy": [accuracy / 3, accuracy / 2, accuracy]}
        made.append(transfer(control, accuracy, samples=num, seed=seed, num_layers=layers, **curve))
    return made
