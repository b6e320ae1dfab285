"""The examples of a user's own parts in a folder of their own, with a grid file that imports one and shortens it."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.sweeps import REPOSITORY, Folder, folder

GRID = '''"""Two seeds at one number of rows, with fewer epochs."""

from dataclasses import replace

import {example}
from subind import DonorStart, MaskedStart

EPOCHS = {epochs}


def shortened(run):
    changes = dict(num_epochs=EPOCHS[run.stage])
    if run.stage == "mask":
        changes |= dict(donor=shortened(run.donor))
    if run.stage == "transfer":
        changes |= dict(start=shortened_start(run.start))
    return replace(run, **changes)


def shortened_start(start):
    if isinstance(start, MaskedStart):
        return replace(start, mask=shortened(start.mask))
    return replace(start, donor=shortened(start.donor)) if isinstance(start, DonorStart) else start


def grid():
    return [shortened(cell) for cell in {example}.grid() if cell.seed < 2 and cell.rows[0].num_samples == {num_rows}]
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An example of `docs/examples`, and what the service must show of it."""

    name: str
    task_class: str
    num_rows: int
    starts: tuple[str, ...]
    task: str
    subtask: str
    donor_task: str
    model: str
    column: str

    @property
    def num_runs(self) -> int:
        """Donors, masks and recipients of two seeds."""
        return 2 * (2 + len(self.starts))


OWN_NETWORK = Example(
    name="own_network",
    task_class="Counting",
    num_rows=100,
    starts=("subnetwork", "random_subnetwork", "random_init"),
    task="count and last letter",
    subtask="count",
    donor_task="count and first letter",
    model="CharacterLSTM_width32",
    column="num_strings",
)
DIGITS_MLP = Example(
    name="digits_mlp",
    task_class="DigitAndParity",
    num_rows=50,
    starts=("subnetwork", "random_subnetwork", "full_transfer", "random_init"),
    task="parity",
    subtask="parity",
    donor_task="digit and parity",
    model="mlp_64x64",
    column="num_images",
)
EXAMPLES = (OWN_NETWORK, DIGITS_MLP)

QUICK = {"donor": 2, "mask": 2, "transfer": 3}


def write(here: Folder, example: Example, **epochs: int) -> None:
    """Write the example, and the grid file that shortens it."""
    shutil.copy(REPOSITORY / "docs" / "examples" / f"{example.name}.py", here.path)
    text = GRID.format(example=example.name, epochs={**QUICK, **epochs}, num_rows=example.num_rows)
    (here.path / here.grid).write_text(text)


def change(here: Folder, example: Example, old: str, new: str) -> None:
    """Change the example's file, as its author does."""
    path = here.path / f"{example.name}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@contextlib.contextmanager
def example_folder(path: Path, example: Example, **epochs: int) -> Iterator[Folder]:
    """A folder with the example; whatever still runs at the end is ended."""
    with folder(path) as found:
        found.grid = "small.py"
        write(found, example, **epochs)
        yield found


def mlflow_runs(here: Folder) -> dict[str, tuple[str, dict[str, str]]]:
    """The name and the params of every run in MLflow's database, by run id. Fails for a run that is there twice."""
    with closing(sqlite3.connect(here.store / "mlflow.db")) as connection:
        tags = connection.execute(
            "SELECT value, name, runs.run_uuid FROM tags JOIN runs ON tags.run_uuid = runs.run_uuid "
            "WHERE key = 'subind.run_id' AND value NOT LIKE '%=%'"
        ).fetchall()
        params = {uuid: dict(_params(connection, uuid)) for _, _, uuid in tags}
    assert len({run for run, _, _ in tags}) == len(tags)
    return {run: (name, params[uuid]) for run, name, uuid in tags}


def _params(connection: sqlite3.Connection, uuid: str) -> list[tuple[str, str]]:
    return connection.execute("SELECT key, value FROM params WHERE run_uuid = ?", (uuid,)).fetchall()
