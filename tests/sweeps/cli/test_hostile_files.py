"""Files of a store that somebody else has written: each command tells the file in one line."""

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from safetensors.torch import save

from subind.identity.json_files import MOST_BYTES
from subind.identity.run_ids import run_id
from subind.store.store import Store
from sweeps.cli.__main__ import command as main
from tests.sweeps.fabricated_grid import donor, mask, runs, store_with, transfers, written_grid

Call = Callable[..., tuple[int, str]]

MOST_MEMORY = 600_000_000
"""A damaged file may take no more than this above what the command takes anyway."""


@pytest.fixture
def subind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command in an empty folder; gives exit status and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["subind", *arguments])
        status: Any = 0
        before = psutil.Process().memory_info().rss
        try:
            main()
        except SystemExit as ending:
            status = ending.code
        assert psutil.Process().memory_info().rss - before < MOST_MEMORY
        return int(status or 0), capsys.readouterr().err

    return call


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_with(tmp_path, *runs(0))


@pytest.fixture
def grid(tmp_path: Path) -> str:
    return written_grid(tmp_path)


def _nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


RECORDS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "huge": lambda _: b'{"a": "' + b"x" * MOST_BYTES + b'"}',
    "nested deeply": lambda _: _nested(200_000),
    "nested in its spec": lambda data: json.dumps(data).encode().replace(b'"seed": 0', b'"seed": ' + _nested(900), 1),
    "no UTF-8": lambda data: json.dumps(data).encode().replace(b"worker", b"\xff\xfe\xfd") + b"\xff",
    "a list": lambda _: b"[]",
    "NaN": lambda data: json.dumps(data | {"measurements": {"test_accuracy": float("nan")}}).encode(),
    "10^400": lambda data: json.dumps(data | {"measurements": {"test_accuracy": 10**400}}).encode(),
    "1e400": lambda data: json.dumps(data).encode().replace(b'"measurements": {', b'"measurements": {"x": 1e400, '),
    "an epoch of 10^300": lambda data: json.dumps(data | {"measurements": {"best_epoch": 1e300}}).encode(),
    "a key twice": lambda data: json.dumps(data).encode()[:-1] + b', "stage": "mask"}',
    "a text for a number": lambda data: json.dumps(data | {"measurements": {"test_accuracy": "0.5"}}).encode(),
    "a number for a mapping": lambda data: json.dumps(data | {"artifacts": 5}).encode(),
    "a count beyond all": lambda data: json.dumps(_with_provenance(data, pack_size=2**63)).encode(),
    "an artifact outside": lambda data: json.dumps(_with_artifact(data, "mask", "../../../secret")).encode(),
    "an artifact's name outside": lambda data: json.dumps(_with_artifact(data, "../../mask", "mask")).encode(),
}


def _with_provenance(data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return data | {"provenance": data["provenance"] | changes}


def _with_artifact(data: dict[str, Any], name: str, file: str) -> dict[str, Any]:
    return data | {"artifacts": {name: {"file": file, "num_bytes": 1, "sha256": "0" * 64}}}


@pytest.mark.parametrize("damage", [name for name in RECORDS if name != "nested in its spec"])
def test_hostile_record_stops_its_own_run_alone_and_is_told_in_a_line(
    subind: Call, store: Store, grid: str, damage: str
) -> None:
    path = Path(store.folder(transfers(0)[0]), "record.json")
    path.write_bytes(RECORDS[damage](json.loads(path.read_bytes())))
    status, said = subind("export", grid)
    assert (status, said.count("\n")) == (0, 1)
    assert "record.json" in said
    assert "remove" in said
    assert "subind verify" in said
    assert len(said) < 2000
    rows = {row["run_id"]: row["status"] for row in pq.read_table("results/tiny.parquet").to_pylist()}
    assert rows[run_id(transfers(0)[0])] == "failed"
    assert [rows[run_id(spec)] for spec in runs(0)].count("finished") == len(runs(0)) - 1


def test_report_on_a_store_with_a_hostile_record_is_written(subind: Call, store: Store, grid: str) -> None:
    Path(store.folder(transfers(0)[0]), "record.json").write_bytes(b"{}")
    status, said = subind("report", grid)
    assert status == 0
    assert "record.json" in said
    assert Path("reports/tiny/index.html").is_file()


@pytest.mark.parametrize("damage", RECORDS)
def test_plan_beside_a_hostile_record_tells_it_and_goes_on(subind: Call, store: Store, grid: str, damage: str) -> None:
    path = Path(store.folder(donor(0)), "record.json")
    path.write_bytes(RECORDS[damage](json.loads(path.read_bytes())))
    status, said = subind("plan", grid, "--device", "cpu")
    assert status == 0
    assert said.count("\n") <= 1


@pytest.mark.parametrize("command", ["plan", "status", "export"])
@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[" * 10**6, b'{"pack": "../../p", "runs": [], "file": "x", "sha256": "0"}', b"\xff"],
    ids=["empty", "other", "deep", "outside", "no text"],
)
def test_hostile_file_of_a_pack_under_way_is_passed_over_and_told_in_a_line(
    subind: Call, store: Store, grid: str, command: str, *, content: bytes
) -> None:
    folder = "checkpoints" if command == "plan" else "running"
    Path(store.url, folder).mkdir(exist_ok=True)
    Path(store.url, folder, "p.json").write_bytes(content)
    status, said = subind(command, grid)
    assert (status, said.count("\n")) == (0, 1)
    assert f"{folder}/p.json" in said
    assert "remove" in said
    assert len(said) < 2000


def test_hostile_failure_counts_as_a_failure_that_tells_its_file(subind: Call, store: Store, grid: str) -> None:
    path = Path(store.failure_path(mask(1)))
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"run_id": []}')
    assert subind("status", grid)[0] == 0
    assert subind("export", grid)[0] == 0
    rows = {row["run_id"]: row for row in pq.read_table("results/tiny.parquet").to_pylist()}
    assert rows[run_id(mask(1))]["status"] == "failed"
    assert "failure.json" in rows[run_id(mask(1))]["failure"]


# ---- files of weights


def _tensors(header: dict[str, Any] | bytes, body: bytes = bytes(64)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def _tensor(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"wte.weight": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


WEIGHTS = {
    "empty": b"",
    "cut": save({})[:5],
    "a header longer than the file": struct.pack("<Q", 2**40) + b"{}",
    "a header longer than any memory": struct.pack("<Q", 2**64 - 1) + b"{}",
    "a header of nothing": struct.pack("<Q", 0),
    "a header that is no JSON": _tensors(b"{{{{"),
    "a header nested deeply": _tensors(b'{"a":' * 100_000),
    "a header that is no text": _tensors(b"\xff" * 20),
    "offsets beyond the end": _tensors(_tensor([16], [0, 2**40])),
    "offsets backwards": _tensors(_tensor([16], [64, 0])),
    "offsets that overlap": _tensors(
        _tensor([16], [0, 64]) | {"b": {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}}
    ),
    "a shape of 2^60": _tensors(_tensor([2**60], [0, 64])),
    "a shape whose product overflows": _tensors(_tensor([2**32, 2**32, 16], [0, 64])),
    "a shape of less than the bytes": _tensors(_tensor([1], [0, 64])),
    "an unknown type": _tensors(_tensor([16], [0, 64], dtype="OBJECT")),
    "a pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
}


@pytest.mark.parametrize("damage", WEIGHTS)
def test_import_of_a_hostile_file_is_told_in_a_line_and_keeps_nothing(
    subind: Call, tmp_path: Path, damage: str
) -> None:
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS[damage])
    status, said = subind("import", "model.safetensors")
    assert (status, said.count("\n")) == (2, 1)
    assert "model.safetensors is not a safetensors file" in said
    assert "save the model with save_pretrained" in said
    assert not (tmp_path / "store").exists()


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_import_of_what_is_no_file_neither_waits_nor_reads(subind: Call, pipe: Path, tmp_path: Path) -> None:
    for path in (pipe, Path("/dev/zero"), tmp_path):
        status, said = subind("import", str(path))
        assert status == 2
        assert f"{path} is not a file" in said


def test_import_of_weights_that_say_to_be_larger_than_memory_is_refused_before_they_are_read(
    subind: Call, tmp_path: Path
) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", 2**50))
        file.truncate(2**40)  # a file of holes: it takes no room on the disk
    status, said = subind("import", "model.safetensors")
    assert status == 2
    assert "is not a safetensors file" in said


def test_import_of_a_mask_or_of_other_tensors_is_refused(subind: Call, tmp_path: Path) -> None:
    import torch

    (tmp_path / "model.safetensors").write_bytes(save({"other": torch.zeros(2)}))
    status, said = subind("import", "model.safetensors")
    assert status == 2
    assert "model.safetensors has no wte.weight" in said
