"""Curves of runs, a row per evaluation."""

from os import PathLike

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.rows.load import REMEDY


def tidy(path: str | PathLike[str], column: str, runs: pd.DataFrame) -> pd.DataFrame:
    """A curve of the runs that have it: the columns of `runs`, epoch and value; no row where the file lacks the curve.

    With several evaluations an epoch, epochs are fractions. Raises ValueError if a curve has more or fewer values than
    there were evaluations.
    """
    none = runs.iloc[:0].assign(epoch=pd.Series(dtype=float), value=pd.Series(dtype=float))
    if column not in pq.read_schema(path).names or runs.empty:
        return none
    table = pq.read_table(path, columns=["run_id", "curve_epoch", column])
    table = table.filter(pc.field("run_id").isin(runs["run_id"].to_list()) & pc.field(column).is_valid())
    epochs, values = table["curve_epoch"].combine_chunks(), table[column].combine_chunks()
    lengths = pc.list_value_length(epochs).fill_null(0).to_numpy(zero_copy_only=False)
    if not np.array_equal(lengths, pc.list_value_length(values).to_numpy(zero_copy_only=False)):
        raise ValueError(f"{path} has a {column} with more or fewer values than evaluations: {REMEDY}")
    if not len(lengths):
        return none
    own = runs.set_index("run_id").loc[table["run_id"].to_pylist()].reset_index()
    repeated = own.iloc[np.repeat(np.arange(len(own)), lengths)].reset_index(drop=True)
    places = np.concatenate([np.arange(1, length + 1) for length in lengths])
    per_epoch = repeated["evaluations_per_epoch"].fillna(1).to_numpy(float)
    found: pd.DataFrame = repeated.assign(epoch=places / per_epoch, value=pc.list_flatten(values).to_numpy())
    return found
