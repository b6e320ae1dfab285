"""Rows of any task and network: recipients by what they start from, and what else tells their cells apart.

What is compared is the task's test accuracy, or the test loss where a task has none. An axis is a column of which the
recipients of the reference start have several values; what varies within other starts alone is a part of their names.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.rows import controls, kinds
from analysis.rows.load import FINGERPRINT_LENGTH, PANDAS_TYPES
from analysis.rows.wording import DASH

AXES = {
    "task": "task",
    "model": "network",
    "subtask": "subtask",
    "donor_kind": "donor",
    "held": "held",
    "num_layers": "layers",
    "d_model": "width",
    "rule": "rule",
    "modulus": "modulus",
    "num_integers": "integers",
    "num_ambiguous": "ambiguous samples",
    "num_disambiguation": "disambiguation samples",
    "penalty": "penalty",
    "temperature_schedule": "temperature schedule",
    "final_temperature": "final temperature",
    "kept_epoch": "kept epoch",
    "evaluations_per_epoch": "evaluations an epoch",
}
"""The columns that may be axes, before those that tasks, networks and starts add, each with its name in words."""

RUN = ("run_id", "grid", "stage", "status", "control", "seed", "mask_seed", "donor_seed", "failure")
MEASURED = ("test_accuracy", "density", "subtask_accuracy", "chance_accuracy", "commit", "dirty", "device")
NESTED = ("parent_ids", "fields", "measurements")

KNOWN = frozenset((*RUN, *AXES, *MEASURED, *NESTED, "measure", "measured"))
"""The columns of rows of any task, less those that tasks, networks and starts add."""

REFERENCE = "subnetwork"

MEASURES = {"test_accuracy": "test accuracy", "test_loss": "test loss"}
HIGHER_IS_BETTER = {"test_accuracy": True, "test_loss": False}
Part = tuple[dict[str, Any], pd.DataFrame]
"""Values of some columns, and the rows of a table that have them."""

CURVES = {"validation_accuracy": "validation accuracy", "validation_loss": "validation loss"}


def rows(path: str | PathLike[str]) -> pd.DataFrame:
    """The rows of any other task in a file: RUN, AXES, MEASURED, what tasks and networks add, measure and measured.

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
    wanted = [*RUN, *more, *AXES, *MEASURED, *NESTED]
    if "task" not in names:
        return pd.DataFrame(columns=wanted)
    table = kinds.filtered(pq.read_table(path, columns=[name for name in wanted if name in names]), path, kind)
    found: pd.DataFrame = table.to_pandas(types_mapper=PANDAS_TYPES.get).reindex(columns=wanted)
    if found["run_id"].duplicated().any():
        twice = found["run_id"][found["run_id"].duplicated()].iloc[0]
        raise ValueError(f"{path} has the run {twice!r} twice: write it again with `subind export`")
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

    def experiments(self) -> list[Part]:
        """The rows by the values of the axes; a row that lacks one is in every part that it agrees with."""
        return parts(self.rows, self.axes)


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
    ordered = [name for name in AXES if name in varied] + [name for name in varied if name not in AXES]
    own = given[given["control"] == reference]
    axes: list[str] = []
    for name in ordered:
        if _tells_apart(own, axes, name):
            axes.append(name)
    start = pd.Series([controls.label(str(name)) for name in given["control"]], given.index, dtype="string")
    for name in (each for each in ordered if each not in axes):
        for control in names:
            of_control = (given["control"] == control).fillna(False)
            if _tells_apart(given[of_control], axes, name):
                start = start.mask(of_control, start + f", {words(name)} " + given[name].map(shown).astype("string"))
    return Comparison(rows=given.assign(start=start), axes=axes, reference=controls.label(reference))


def _tells_apart(given: pd.DataFrame, axes: Sequence[str], name: str) -> bool:
    """Whether rows that agree in the axes have several values of the column."""
    if not axes:
        return bool(given[name].nunique() > 1)
    return bool((given.groupby(list(axes), dropna=False)[name].nunique() > 1).any())


def agrees(given: pd.DataFrame, values: Mapping[str, Any]) -> "pd.Series[bool]":
    """Which rows have the values, or lack what they say: a start without a mask belongs to every penalty."""
    found = pd.Series(data=True, index=given.index)
    for name, value in values.items():
        same = given[name].isna() if pd.isna(value) else given[name].isna() | (given[name] == value).fillna(False)
        found &= same.astype(bool)
    return found


def parts(table: pd.DataFrame, names: Sequence[str], *, in_order: bool = True) -> list[Part]:
    """The parts of a table that have one value of every one of the columns, with these values.

    A row that lacks a value is in every part that it agrees with. They stand in the order of the values, or else of
    the table.
    """
    if not names:
        return [({}, table)]
    distinct = table[list(names)].drop_duplicates()
    records = (distinct.sort_values(list(names)) if in_order else distinct).to_dict("records")
    every = [{str(name): value for name, value in row.items()} for row in records]
    whole = [values for values in every if not any(values is not other and _is_part(values, other) for other in every)]
    return [(values, table[agrees(table, values)]) for values in whole]


def _is_part(values: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether one says nothing that the other does not say."""
    return all(pd.isna(value) or value == other[name] for name, value in values.items())


def in_order(starts: Sequence[str], reference: str) -> list[str]:
    """The distinct starts: the reference, then as controls are listed."""
    names = [name.replace(" ", "_") for name in starts]
    by_control = controls.ordered(name.partition(",")[0] for name in names)
    ranks = {start: by_control.index(name.partition(",")[0]) for start, name in zip(starts, names, strict=True)}
    return sorted(set(starts), key=lambda each: (each != reference, ranks[each], each))


def words(axis: str) -> str:
    """The name of an axis in words."""
    return AXES.get(axis, axis.removeprefix("num_").replace("_", " "))


def shown(value: Any) -> str:
    """A value of an axis in words."""
    if pd.isna(value):
        return DASH
    if isinstance(value, int | float | np.number):
        return f"{value:,.6g}"
    return str(value)


def where(values: Mapping[str, Any]) -> str:
    """The values of the axes in words; a task, a network and a subtask stand for themselves."""
    plain = ("task", "model")
    return ", ".join(
        shown(value) if name in plain else f"{words(name)} {shown(value)}"
        for name, value in values.items()
        if not pd.isna(value)
    )


def curves(path: str | PathLike[str], given: Comparison) -> tuple[str, pd.DataFrame]:
    """The validation curves of the finished recipients, and which curve that is: of accuracy, else of the loss.

    A row per run and evaluation: run_id, the axes, start, seed, epoch (a fraction within an epoch), value. Raises
    ValueError if a curve has more or fewer values than there were evaluations.
    """
    finished = given.rows[given.rows["status"] == "finished"]
    key = list(dict.fromkeys(["run_id", *given.axes, "start", "seed", "evaluations_per_epoch"]))
    for name in CURVES:
        table = pq.read_table(path, columns=["run_id", "curve_epoch", f"curve_{name}"])
        runs = pa.array(finished["run_id"].to_list(), pa.string())
        wanted = pc.field("run_id").isin(runs) & pc.field(f"curve_{name}").is_valid()
        table = table.filter(wanted)
        if table.num_rows:
            return name, _tidy(path, table, f"curve_{name}", finished[key])
    return "validation_accuracy", pd.DataFrame(columns=[*key, "epoch", "value"])


def _tidy(path: str | PathLike[str], table: pa.Table, column: str, runs: pd.DataFrame) -> pd.DataFrame:
    epochs, values = table["curve_epoch"].combine_chunks(), table[column].combine_chunks()
    lengths = pc.list_value_length(epochs).fill_null(0).to_numpy(zero_copy_only=False)
    if not np.array_equal(lengths, pc.list_value_length(values).to_numpy(zero_copy_only=False)):
        raise ValueError(f"{path} has a {column} with more or fewer values than evaluations: write it again")
    own = runs.set_index("run_id").loc[table["run_id"].to_pylist()].reset_index()
    repeated = own.iloc[np.repeat(np.arange(len(own)), lengths)].reset_index(drop=True)
    places = np.concatenate([np.arange(1, length + 1) for length in lengths])
    per_epoch = repeated["evaluations_per_epoch"].fillna(1).to_numpy(float)
    tidy: pd.DataFrame = repeated.assign(epoch=places / per_epoch, value=pc.list_flatten(values).to_numpy())
    return tidy


def joined(fingerprints: Sequence[str]) -> str:
    """One fingerprint of several; of one itself."""
    if len(fingerprints) == 1:
        return fingerprints[0]
    return hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()[:FINGERPRINT_LENGTH]
