"""The record of a finished run, and the failure of a failed one.

A record is read from JSON and nothing in it is executed.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from subind.specs.base import is_text
from subind.specs.quoting import quoted
from subind.store.json_fields import checked_fields

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
    commit of this run. For an interrupted pack it is the sum over its workers, each up to the checkpoint from which
    the next one resumed. A pack that resumes a part of a larger one has its runs' share of the larger one's time.
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
    """Why a run failed: the exception, where its pack ran, and the number of attempts."""

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
