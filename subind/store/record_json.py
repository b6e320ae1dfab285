"""Check the JSON of a run's record before it is written and after it is read."""

from subind.identity.json_files import MOST_CURVE_VALUES, parsed
from subind.store.results import RunRecord


def check_fits(record: RunRecord) -> None:
    """Raise ValueError if a record could not be read after its commit."""
    RunRecord.from_data(record.data(), source=f"the record of run {record.run_id}")
    num_values = sum(map(len, record.curves.values()))
    if num_values > MOST_CURVE_VALUES:
        raise ValueError(
            f"the record of run {record.run_id} has curves of {num_values:,} values, and {MOST_CURVE_VALUES:,} fit: "
            "evaluate less often"
        )


def record_of(content: bytes, path: str, run: str) -> RunRecord:
    """The record of the run in the file's content. Raises ValueError naming the file if it is none, or of another."""
    record = RunRecord.from_data(parsed(content, source=path), source=path)
    if record.run_id != run:
        raise ValueError(f"{path} is the record of run {record.run_id}, not of {run}: remove that folder")
    return record
