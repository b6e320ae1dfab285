"""Rows of any task and network: recipients by what they start from, and what else tells their cells apart.

What is compared is the task's test accuracy, or the test loss where a task has none. An axis is a column of which the
recipients of the reference start have several values; what varies within other starts alone is a part of their names.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

import pandas as pd
import pyarrow.parquet as pq

from analysis.rows import controls, kinds
from analysis.rows.controls import REFERENCE
from analysis.rows.curves import tidy
from analysis.rows.load import FINGERPRINT_LENGTH, PANDAS_TYPES, REMEDY
from analysis.rows.settings import NAMES, Setting, settings, varying, worded, words

RUN = ("run_id", "grid", "stage", "status", "control", "seed", "mask_seed", "donor_seed", "failure")
MEASURED = ("test_accuracy", "density", "subtask_accuracy", "chance_accuracy", "commit", "dirty", "device")
NESTED = ("parent_ids", "fields", "measurements")

KNOWN = frozenset((*RUN, *NAMES, *MEASURED, *NESTED, "measure", "measured"))
"""The columns of rows of any task, less those that tasks, networks and starts add."""

MEASURES = {"test_accuracy": "test accuracy", "test_loss": "test loss"}
HIGHER_IS_BETTER = {"test_accuracy": True, "test_loss": False}
CURVES = {"validation_accuracy": "validation accuracy", "validation_loss": "validation loss"}


def rows(path: str | PathLike[str]) -> pd.DataFrame:
    """The rows of any other task in a file: RUN, NAMES, MEASURED, what tasks and networks add, measure and measured.

    `measure` names what is compared of the row's task, `measured` is its value; absent in masks. Raises ValueError if a
    run is there twice.
    """
    return with_measures(_read(path, "any_task"))


def measurements(path: str | PathLike[str]) -> pd.DataFrame:
    """The rows of runs that measure: as `rows`, with the column measurement, a row per value: name and value."""
    found = _read(path, "measurement", "measurement")
    values = found.pop("measurements").map(lambda each: list(each) if each is not None else [(None, None)])
    long = found.assign(pair=values).explode("pair", ignore_index=True)
    pairs = pd.DataFrame([each if isinstance(each, tuple) else (None, None) for each in long.pop("pair")])
    pairs = pairs.reindex(columns=[0, 1])
    return long.assign(name=pairs[0].astype("string"), value=pairs[1].astype("Float64"))


def _read(path: str | PathLike[str], kind: kinds.Kind, *more: str) -> pd.DataFrame:
    names = pq.read_schema(path).names
    wanted = [*RUN, *more, *NAMES, *MEASURED, *NESTED]
    if "task" not in names:
        return pd.DataFrame(columns=wanted)
    table = kinds.filtered(pq.read_table(path, columns=[name for name in wanted if name in names]), path, kind)
    found: pd.DataFrame = table.to_pandas(types_mapper=PANDAS_TYPES.get).reindex(columns=wanted)
    if found["run_id"].duplicated().any():
        twice = found["run_id"][found["run_id"].duplicated()].iloc[0]
        raise ValueError(f"{path} has the run {twice!r} twice: {REMEDY}")
    return _with_fields(found)


def _with_fields(found: pd.DataFrame) -> pd.DataFrame:
    """The rows with a column for each name in their maps `fields`, of numbers where all are."""
    maps = [dict(each) if each is not None else {} for each in found.pop("fields")]
    for name in sorted({name for each in maps for name in each}):
        texts = pd.Series([each.get(name) for each in maps], found.index, dtype="string")
        numbers = pd.to_numeric(texts, errors="coerce")
        are_numbers = bool((numbers.notna() == texts.notna()).all())
        found[name] = numbers.astype("Float64") if are_numbers else texts
    return found


def with_measures(found: pd.DataFrame) -> pd.DataFrame:
    """The rows with what is compared of their tasks in place of the map `measurements`."""
    maps = [dict(each) if each is not None else {} for each in found.pop("measurements")]
    loss = pd.Series([each.get("test_loss") for each in maps], found.index, dtype="Float64")
    values = {"test_accuracy": found["test_accuracy"].astype("Float64"), "test_loss": loss}
    is_network = found["stage"] != "mask"
    has_accuracy = set(found.loc[values["test_accuracy"].notna(), "task"])
    has_loss = set(found.loc[loss.notna(), "task"]) - has_accuracy
    measure = pd.Series("test_accuracy", found.index, dtype="string").mask(found["task"].isin(has_loss), "test_loss")
    measured = values["test_accuracy"].where(measure == "test_accuracy", loss)
    is_finished = (found["status"] == "finished") & is_network
    return found.assign(measure=measure.where(is_network), measured=measured.where(is_finished))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Recipients that are compared: their rows with the column start, the axes, and the reference start."""

    rows: pd.DataFrame
    axes: list[str]
    reference: str

    def settings(self) -> list[Setting]:
        """The settings of the axes that the recipients have."""
        return settings(self.rows, self.axes)


def compared(found: pd.DataFrame) -> Comparison:
    """The recipients among the rows. The reference is the subnetwork, or the first start where there is none.

    >>> compared(rows("results/digits.parquet")).axes  # doctest: +SKIP
    ['num_digits']
    """
    given = found[found["stage"] == "transfer"]
    names = controls.ordered(given["control"].dropna())
    reference = REFERENCE if REFERENCE in names or not names else names[0]
    fixed = {*RUN, *MEASURED, *NESTED, "measure", "measured"}
    varied = [name for name in given.columns if name not in fixed and given[name].nunique() > 1]
    ordered = [name for name in NAMES if name in varied] + [name for name in varied if name not in NAMES]
    own = given[given["control"] == reference]
    axes: list[str] = []
    for name in ordered:
        if varying(own, [name], within=axes):
            axes.append(name)
    start = pd.Series([controls.label(str(name)) for name in given["control"]], given.index, dtype="string")
    for name in (each for each in ordered if each not in axes):
        for control in names:
            of_control = (given["control"] == control).fillna(False)
            if varying(given[of_control], [name], within=axes):
                start = start.mask(of_control, start + f", {words(name)} " + given[name].map(worded).astype("string"))
    return Comparison(rows=given.assign(start=start), axes=axes, reference=controls.label(reference))


def curves(path: str | PathLike[str], given: Comparison) -> tuple[str, pd.DataFrame]:
    """The validation curves of the finished recipients, and which curve that is: of accuracy, else of the loss.

    A row per run and evaluation: run_id, the axes, start, seed, epoch (a fraction within an epoch), value. Raises
    ValueError if a curve has more or fewer values than there were evaluations.
    """
    finished = given.rows[given.rows["status"] == "finished"]
    key = list(dict.fromkeys(["run_id", *given.axes, "start", "seed", "evaluations_per_epoch"]))
    for name in CURVES:
        found = tidy(path, f"curve_{name}", finished[key])
        if len(found):
            return name, found
    return "validation_accuracy", pd.DataFrame(columns=[*key, "epoch", "value"])


def joined(fingerprints: Sequence[str]) -> str:
    """One fingerprint of several; of one itself."""
    if len(fingerprints) == 1:
        return fingerprints[0]
    return hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()[:FINGERPRINT_LENGTH]
