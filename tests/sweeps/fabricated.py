"""Stores of fabricated runs: real specs and records, numbers that no network gave."""

from collections.abc import Mapping, Sequence

from subind.identity.run_ids import encoded, run_id
from subind.specs.rows import num_of
from subind.specs.run import Run
from subind.specs.runs import Transfer
from subind.store.results import Provenance, RunRecord
from subind.store.store import Store

MASK_BITS = bytes(range(256))
KINDS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


def fabricated_record(
    spec: Run,
    *,
    measurements: Mapping[str, float] | None = None,
    num_epochs: int = 3,
    started: str = "2026-01-02T03:04:05+00:00",
) -> RunRecord:
    """A record of the spec with rising accuracies over the epochs."""
    return RunRecord(
        run_id=run_id(spec),
        stage=spec.stage,
        spec=encoded(spec),
        parents=tuple(run_id(parent) for parent in spec.parents()),
        provenance=Provenance(
            commit="c0ffee",
            dirty=False,
            versions={},
            device="cpu",
            host="here",
            started=started,
            seconds=6.0,
            pack_size=4,
        ),
        measurements=fabricated_measurements(spec) if measurements is None else measurements,
        curves={
            "epoch": [float(epoch) for epoch in range(1, num_epochs + 1)],
            "validation_accuracy": [epoch / num_epochs for epoch in range(1, num_epochs + 1)],
            "rival_agreement.2 * a ** 2": [0.5] * num_epochs,
        },
    )


def fabricated_measurements(spec: Run) -> dict[str, float]:
    """The measurements of the spec's stage."""
    match spec.stage:
        case "transfer":
            assert isinstance(spec, Transfer)
            known = min(1.0, 0.2 + num_of(spec.rows, "disambiguation") / 1000 + 0.01 * spec.seed)
            return {"test_accuracy": known, "best_epoch": 3.0, "rival_agreement.2 * a ** 2": 0.25}
        case "mask":
            num_layers = spec.network.columns()["num_layers"]
            names = [f"h.{layer}.{kind}.weight" for layer in range(num_layers) for kind in KINDS]
            densities = {f"density.{name}": 0.02 * index for index, name in enumerate(names, start=1)}
            return {"density": 0.08, "subtask_accuracy": 0.99, **densities}
        case _:
            return {"test_accuracy": 1.0}


def commit_fabricated(store: Store, several: Sequence[Run]) -> None:
    """Commit a fabricated run of each spec; a mask's with bits, a donor's with weights."""
    for spec in several:
        files = {"transfer": {}, "mask": {"mask.safetensors": MASK_BITS}, "donor": {"weights.safetensors": b"weights"}}
        store.commit(spec, fabricated_record(spec), files[spec.stage])
