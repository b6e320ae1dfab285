"""What a run leaves behind: its record, its failure, and the schema of a result row.

A record is read from JSON and nothing in it is executed. A result row describes one planned cell, finished or not.
"""

import builtins
import collections.abc
import re
import reprlib
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cache
from math import isfinite
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pyarrow as pa

from subind.specs.quoting import quoted
from subind.store.vision_results import MEASURED_VISION_COLUMNS, VISION_FIELDS, VISION_MEANINGS

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

    Every curve has one value per evaluated epoch, in the order of the curve `epoch`.
    """

    run_id: str
    stage: str
    spec: Mapping[str, Any]
    parents: tuple[str, ...]
    provenance: Provenance
    measurements: Mapping[str, float]
    curves: Mapping[str, list[float]]
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)

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
        artifacts = {name: _artifact(name, value, source) for name, value in given["artifacts"].items()}
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


_REMEDY = "remove a file that says so, and run the sweep again"


def checked_fields(cls: type, data: Any, *, source: str) -> dict[str, Any]:
    """The JSON object `data`, if it has just the fields of the dataclass, each of its type.

    A field with a default may be absent: it was added later. Raises ValueError naming the source, the field and the
    value if not.
    """
    tests = _field_tests(cls)
    if not isinstance(data, dict) or not _required_fields(cls) <= data.keys() <= tests.keys():
        found = sorted(map(str, data)) if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"{source} is no {cls.__name__}: it has {found}, not {sorted(tests)}; {_REMEDY}")
    for name, holds in tests.items():
        if name in data and not holds(data[name]):
            wanted = get_type_hints(cls)[name]
            raise ValueError(
                f"{source} has {name} = {reprlib.repr(data[name])}: {cls.__name__} wants {wanted}; {_REMEDY}"
            )
    return dict(data)


@cache
def _required_fields(cls: type) -> frozenset[str]:
    return frozenset(each.name for each in fields(cls) if each.default is MISSING)


@cache
def _field_tests(cls: type) -> dict[str, Callable[[Any], bool]]:
    """Of each field of the dataclass, whether JSON data are of its type."""
    hints = get_type_hints(cls)
    return {each.name: _test(hints[each.name]) for each in fields(cls)}


@cache
def _test(declared: Any) -> Callable[[Any], bool]:
    """Whether JSON data are what `asdict` gives for a value of the declared type."""
    arguments = get_args(declared)
    match get_origin(declared) or declared:
        case collections.abc.Mapping:
            holds = _values_test(arguments[1])
            return lambda value: isinstance(value, dict) and holds(value.values())
        case builtins.list | builtins.tuple:
            holds = _values_test(arguments[0])
            return lambda value: isinstance(value, list | tuple) and holds(value)
        case builtins.float:
            return lambda value: isfinite(value) if type(value) is float else _is_small_int(value)
        case builtins.int:
            return _is_small_int
        case types.UnionType:
            several = [_test(each) for each in arguments]
            return lambda value: any(holds(value) for holds in several)
        case types.NoneType:
            return lambda value: value is None
        case builtins.str | builtins.bool:
            return lambda value: type(value) is declared
        case _:
            return lambda value: declared is Any or isinstance(value, dict)


def _values_test(declared: Any) -> Callable[[Collection[Any]], bool]:
    """Whether all of several JSON data are of a type. Numbers are looked at together: a record has thousands."""
    holds = _test(declared)
    if declared is float:
        return lambda values: _are_finite(values) or all(map(holds, values))
    return lambda values: all(map(holds, values))


def _are_finite(values: Collection[Any]) -> bool:
    """Whether these are floats of a finite sum, so that each is finite, or ints that floats can hold.

    False may also mean that finite floats have too large a sum.
    """
    kinds = set(map(type, values))
    if kinds == {float}:
        return isfinite(sum(values))
    if kinds == {int}:
        return _is_small_int(min(values)) and _is_small_int(max(values))
    floats = [value for value in values if type(value) is float]
    return isfinite(sum(floats)) and all(_is_small_int(value) for value in values if type(value) is not float)


def _is_small_int(value: Any) -> bool:
    """An int that a float can hold: JSON writes 1.0 and 1 alike in other languages."""
    return type(value) is int and abs(value) <= 2**53


def _artifact(name: str, data: Any, source: str) -> Artifact:
    made = Artifact(**checked_fields(Artifact, data, source=source))
    for each in (name, made.file):
        if not re.fullmatch(r"[\w-][\w.-]*", each):
            raise ValueError(f"{source} names the file {quoted(each)}, which is no plain name: remove its folder")
    return made


ROW_SCHEMA = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("grid", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("control", pa.string()),
        pa.field("num_layers", pa.int64(), nullable=False),
        pa.field("d_model", pa.int64(), nullable=False),
        pa.field("rule", pa.string()),
        pa.field("modulus", pa.int64()),
        pa.field("num_integers", pa.int64()),
        pa.field("subtask", pa.string()),
        pa.field("num_ambiguous", pa.int64()),
        pa.field("num_disambiguation", pa.int64()),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("mask_seed", pa.int64()),
        pa.field("donor_seed", pa.int64()),
        pa.field("donor_kind", pa.string()),
        pa.field("penalty", pa.float64()),
        pa.field("temperature_schedule", pa.string()),
        pa.field("final_temperature", pa.float64()),
        pa.field("parent_id", pa.string()),
        pa.field("test_accuracy", pa.float64()),
        pa.field("validation_accuracy", pa.float64()),
        pa.field("validation_loss", pa.float64()),
        pa.field("train_loss", pa.float64()),
        pa.field("ambiguous_accuracy", pa.float64()),
        pa.field("best_epoch", pa.int64()),
        pa.field("kept_epoch", pa.string()),
        pa.field("density", pa.float64()),
        pa.field("kept_fraction", pa.float64()),
        pa.field("frozen_fraction", pa.float64()),
        pa.field("subtask_accuracy", pa.float64()),
        pa.field("chance_accuracy", pa.float64()),
        pa.field("seen_share", pa.float64()),
        pa.field("rivals", pa.list_(pa.string())),
        pa.field("chance_agreement", pa.list_(pa.float64())),
        pa.field("rival_agreement", pa.list_(pa.float64())),
        pa.field("matrix_density", pa.map_(pa.string(), pa.float64())),
        pa.field("curve_epoch", pa.list_(pa.int64())),
        pa.field("curve_train_loss", pa.list_(pa.float64())),
        pa.field("curve_validation_loss", pa.list_(pa.float64())),
        pa.field("curve_validation_accuracy", pa.list_(pa.float64())),
        pa.field("curve_ambiguous_accuracy", pa.list_(pa.float64())),
        pa.field("curve_rival_agreement", pa.list_(pa.list_(pa.float64()))),
        pa.field("curve_density", pa.list_(pa.float64())),
        pa.field("commit", pa.string()),
        pa.field("dirty", pa.bool_()),
        pa.field("device", pa.string()),
        pa.field("seconds", pa.float64()),
        pa.field("pack_size", pa.int64()),
        pa.field("failure", pa.string()),
        *VISION_FIELDS,
    ],
    metadata={
        **VISION_MEANINGS,
        "run_id": "fingerprint of the run's spec and of all that it descends from",
        "status": "finished, running, failed, blocked (a parent failed) or missing",
        "donor_kind": "trained, untrained (as it was initialised) or imported: the donor that the run descends from",
        "num_disambiguation": "samples in the training set that tell the rule from its rivals",
        "chance_accuracy": "accuracy of the best constant answer over all pairs of the rule, or one in 16 classes; "
        "null where there are too many pairs to count",
        "chance_agreement": "share of all pairs on which the rule has the answer of each of the rivals",
        "seen_share": "share of the test samples whose pair is among the training samples",
        "test_accuracy": "argmax at '=' equals the answer, at the epoch of best validation; null unless finished",
        "validation_accuracy": "the best over epochs",
        "kept_epoch": "first_best or last_best: which of several best epochs is kept; null where the last epoch is",
        "density": "share of ones in the discovered mask: the run's own, or the one that its control is made from",
        "kept_fraction": "share of the recipient's projection weights that start from the donor",
        "frozen_fraction": "share of the recipient's projection weights that are frozen at the donor's",
        "subtask_accuracy": "accuracy on the subtask under the hard mask",
        "rival_agreement": "share of validation samples answered as each of the rivals, at the best epoch",
        "commit": "git commit of the code; empty where it was not known",
        "dirty": "whether tracked files differed from the commit; null where that was not known",
        "seconds": "wall time of the pack that computed the run, of all its workers; pack_size runs shared it",
    },
)
"""One row per planned cell. The metadata holds the meaning of the columns that their name does not tell."""

VISION_COLUMNS = tuple(field.name for field in VISION_FIELDS)
"""Columns that are null in rows of arithmetic and that older files lack."""

MEASURED_COLUMNS = (
    "test_accuracy",
    "validation_accuracy",
    "validation_loss",
    "train_loss",
    "ambiguous_accuracy",
    "best_epoch",
    "density",
    "kept_fraction",
    "frozen_fraction",
    "subtask_accuracy",
    "seen_share",
    *MEASURED_VISION_COLUMNS,
)
"""Columns that a row takes from the measurements of its record by the same name."""

TRIAL_SCHEMA = pa.schema(
    [
        pa.field("study", pa.string(), nullable=False),
        pa.field("trial", pa.int64()),
        pa.field("state", pa.string(), nullable=False),
        pa.field("message", pa.string()),
        pa.field("run_id", pa.string()),
        pa.field("subtask", pa.string(), nullable=False),
        pa.field("chance_accuracy", pa.float64()),
        pa.field("num_layers", pa.int64(), nullable=False),
        pa.field("d_model", pa.int64(), nullable=False),
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
        *(pa.field(name, _COUNT, nullable=False) for name in ("num_layers", "seed", "num_weights", "num_subnetwork")),
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
