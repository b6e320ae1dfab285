"""A user's grid file and a store of fabricated runs of it, for tests of commands."""

from dataclasses import replace
from pathlib import Path

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.specs.runs import Discover, Train, Transfer
from subind.store.results import RunRecord
from subind.store.store import Store
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.sweeps.fabricated import fabricated_measurements, fabricated_record

GRID = '''"""Two seeds of two starts at two sample counts."""

from subind.specs.runs import Transfer
from tests.specs import tiny_donor, tiny_mask, tiny_transfer


def grid() -> tuple[Transfer, ...]:
    return tuple(
        tiny_transfer(name, mask=tiny_mask(donor=tiny_donor(seed=seed), seed=seed), seed=seed, num_disambiguation=count)
        for seed in (0, 1)
        for count in (4, 8)
        for name in ("subnetwork", "random_init")
    )
'''
"""Two donors, two masks, eight transfers, four of which need a mask."""

NUM_RUNS = {"donor": 2, "mask": 2, "transfer": 8}


def written_grid(folder: Path) -> str:
    """The path of the grid's file, written to the folder."""
    path = folder / "tiny.py"
    path.write_text(GRID)
    return str(path)


def donor(seed: int) -> Train:
    return tiny_donor(seed=seed)


def mask(seed: int) -> Discover:
    return tiny_mask(donor=donor(seed), seed=seed)


def transfers(seed: int) -> list[Transfer]:
    return [
        tiny_transfer(name, mask=mask(seed), seed=seed, num_disambiguation=count)
        for count in (4, 8)
        for name in ("subnetwork", "random_init")
    ]


def runs(seed: int) -> list[Run]:
    """All runs of the seed, parents first."""
    return [donor(seed), mask(seed), *transfers(seed)]


def store_with(folder: Path, *committed: Run) -> Store:
    """The store `store` in the folder, with fabricated runs of the specs."""
    store = Store(str(folder / "store"))
    for spec in committed:
        store.commit(spec, exportable_record(spec), {})
    return store


def exportable_record(spec: Run, **measurements: float) -> RunRecord:
    """A fabricated record with the agreements of both rivals of `tiny_transfer`."""
    record = fabricated_record(spec, measurements={**fabricated_measurements(spec), **measurements})
    if spec.stage != "transfer":
        return record
    agreement = "rival_agreement.2 * b ** 2"
    curves = {**record.curves, agreement: [0.0, 0.25, 0.5]}
    return replace(record, measurements={**record.measurements, agreement: 0.5}, curves=curves)


def ids(several: list[Run]) -> set[str]:
    return set(map(run_id, several))
