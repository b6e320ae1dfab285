"""What a run leaves behind: its record, its failure, and the schema of a result row.

A record is read from JSON and nothing in it is executed. A result row describes one planned cell, finished or not.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pyarrow as pa

from subind.specs.base import is_text
from subind.specs.quoting import quoted
from subind.store.json_fields import checked_fields
from subind.store.row_columns import COLUMNS, OF_ANY_TASK, OF_IMAGES

Status = Literal["finished", "failed", "blocked", "running", "missing"]
STATUSES: tuple[Status, ...] = ("finished", "running", "failed", "blocked", "missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file in the run's folder: its name there, its size in bytes and its SHA-256."""

    file: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Which code computed a run, where, with what and for how long.

    `commit` is the git commit of the code, empty where it is not known, and `dirty` whether tracked files differed from
    it, None where that is not known. `started` is UTC in ISO 8601; `num_halvings` is how often the run's pack had been
    halved because a larger one had not enough memory.

    `seconds` is the wall time of the whole pack, which held `pack_size` runs, from the start of its first worker to the
    commit of this run. Of a pack that was interrupted it is the sum over its workers: each up to the checkpoint from
    which the next one went on, not what was lost after it nor the time between them. A pack that goes on with a part of
    a larger one has its runs' share of what that one had taken.
    """

    commit: str
    dirty: bool | None
    versions: Mapping[str, str]
    device: str
    host: str
    started: str
    seconds: float
    pack_size: int
    num_halvings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A finished run: its spec as JSON data, scalar measurements, per-epoch curves and artifacts by name.

    Every curve has one value per evaluated epoch, in the order of the curve `epoch`. `parents` are the ids of the runs
    whose files it read, and `sources` digests of the users' classes and functions that computed it, by name.
    """

    run_id: str
    stage: str
    spec: Mapping[str, Any]
    parents: tuple[str, ...]
    provenance: Provenance
    measurements: Mapping[str, float]
    curves: Mapping[str, list[float]]
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        """The record as JSON data."""
        return {**asdict(self), "parents": list(self.parents)}

    @staticmethod
    def from_data(data: Any, *, source: str) -> "RunRecord":
        """The record that `data()` gave.

        Raises ValueError naming the source if a field is absent, unknown or of another type.
        """
        given = checked_fields(RunRecord, data, source=source)
        provenance = checked_fields(Provenance, given["provenance"], source=source)
        if not provenance["commit"]:  # earlier records call an unknown commit clean
            provenance["dirty"] = None
        for name in (*given["measurements"], *given["curves"]):
            if not is_text(name):
                raise ValueError(f"{source} measures {quoted(name)}, which is no text: choose another name")
        artifacts = {name: _artifact(name, value, source) for name, value in given.get("artifacts", {}).items()}
        return RunRecord(
            **{
                **given,
                "parents": tuple(given["parents"]),
                "provenance": Provenance(**provenance),
                "artifacts": artifacts,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a run has no result: the exception, where its pack ran, and how often it has been tried."""

    run_id: str
    error: str
    message: str
    traceback: str
    host: str
    pack: tuple[str, ...]
    attempts: int
    time: str

    @staticmethod
    def from_data(data: Any, *, source: str) -> "Failure":
        """The failure that `asdict` gave.

        Raises ValueError naming the source if a field is absent, unknown or of another type.
        """
        given = checked_fields(Failure, data, source=source)
        return Failure(**{**given, "pack": tuple(given["pack"])})


def _artifact(name: str, data: Any, source: str) -> Artifact:
    made = Artifact(**checked_fields(Artifact, data, source=source))
    for each in (name, made.file):
        if not re.fullmatch(r"[\w-][\w.-]*", each):
            raise ValueError(f"{source} names the file {quoted(each)}, which is no plain name: remove its folder")
    return made


ROW_SCHEMA = pa.schema(
    [pa.field(each.name, each.type, nullable=each.nullable) for each in COLUMNS],
    metadata={each.name: each.meaning for each in COLUMNS if each.meaning},
)
"""One row per planned cell. The metadata holds the meaning of the columns that their name does not tell."""

LATER_COLUMNS = tuple(each.name for each in (*OF_IMAGES, *OF_ANY_TASK))
"""Columns that older files lack: they are null in every row then."""

MEASURED_COLUMNS = tuple(each.name for each in COLUMNS if each.source == "measurement")
"""Columns that a row takes from the measurements of its record by the same name."""

RECORD_COLUMNS = tuple(each.name for each in COLUMNS if each.source != "plan")
"""Columns that a row takes from its run's record (`subind.store.row_values`); all others are known from the plan."""

TRIAL_SCHEMA = pa.schema(
    [
        pa.field("study", pa.string(), nullable=False),
        pa.field("trial", pa.int64()),
        pa.field("state", pa.string(), nullable=False),
        pa.field("message", pa.string()),
        pa.field("run_id", pa.string()),
        pa.field("subtask", pa.string(), nullable=False),
        pa.field("chance_accuracy", pa.float64()),
        pa.field("num_layers", pa.int64()),
        pa.field("d_model", pa.int64()),
        pa.field("penalty", pa.float64()),
        pa.field("final_temperature", pa.float64()),
        pa.field("initial_logit", pa.float64()),
        pa.field("learning_rate", pa.float64()),
        pa.field("num_epochs", pa.int64()),
        pa.field("tuning_accuracy", pa.float64()),
        pa.field("soft_accuracy", pa.float64()),
        pa.field("soft_hard_gap", pa.float64()),
        pa.field("density", pa.float64()),
        pa.field("subtask_accuracy", pa.float64()),
        pa.field("best_epoch", pa.int64()),
        pa.field("is_on_front", pa.bool_(), nullable=False),
        pa.field("is_chosen", pa.bool_(), nullable=False),
        pa.field("curve_epoch", pa.list_(pa.int64())),
        pa.field("curve_tuning_accuracy", pa.list_(pa.float64())),
        pa.field("curve_soft_accuracy", pa.list_(pa.float64())),
        pa.field("curve_density", pa.list_(pa.float64())),
        pa.field("seconds", pa.float64()),
        pa.field("pack_size", pa.int64()),
    ],
    metadata={
        "trial": "number of the trial in its study; null for the published setting",
        "state": "finished, stopped, failed, running, waiting, or published",
        "chance_accuracy": "of the best constant answer to the subtask; absent in older files",
        "tuning_accuracy": "of the hard mask at its best epoch, on samples that nothing reported is measured on",
        "soft_accuracy": "of the soft mask at that epoch, on the same samples",
        "soft_hard_gap": "soft_accuracy less tuning_accuracy",
        "subtask_accuracy": "of the hard mask, on the samples that are reported",
        "seconds": "wall time from the start of the trial's pack to its end in it",
    },
)
"""One row per trial of a study, and one for the published setting. The key `importances` is added to the metadata: by
study, the importance of each parameter."""

_COUNT = pa.int64()

RECIPIENT_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("run_id", "mask_id", "control", "matrix")),
        pa.field("num_layers", _COUNT),
        *(pa.field(name, _COUNT, nullable=False) for name in ("seed", "num_weights", "num_subnetwork")),
        *(pa.field(name, _COUNT, nullable=False) for name in ("num_inherited", "num_frozen")),
        *(pa.field(f"num_subnetwork_{name}", _COUNT, nullable=False) for name in ("inherited", "frozen")),
    ]
)
"""One row per recipient and matrix: of its weights, how many are the donor's, how many of these are frozen, and how
many of either belong to the discovered subnetwork. `mask_id` is the mask that they are held against; a control without
a mask is held against one of its donor's, or of its architecture's."""

PART_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("mask_id", "matrix", "part")),
        *(pa.field(name, _COUNT, nullable=False) for name in ("layer", "num_weights", "num_kept")),
        pa.field("head", _COUNT),
    ]
)
"""One row per mask and part of a matrix: query, key and value of each head, what each head gives out, and both matrices
of the MLP, which have no head."""

OVERLAP_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("first_id", "second_id", "matrix")),
        *(pa.field(f"num_{name}", _COUNT, nullable=False) for name in ("weights", "first", "second", "both")),
    ]
)
"""One row per pair of masks of one architecture and matrix: the ones of either and those that both have."""


def side_table(rows: str, name: Literal["recipients", "parts", "overlaps"]) -> str:
    """The path of a table of counts that stands beside a file of result rows."""
    return f"{rows.removesuffix('.parquet')}.{name}.parquet"
