"""A worker on a pack: what it goes on from, what it says of that, and what its records say the pack has taken."""

import json
import math
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from subind.identity.run_ids import canonical_json, run_id
from subind.specs.run import Run, steps_per_epoch
from subind.store.provenance import code
from subind.store.store import Checkpoint, Store
from subind.training.loop import Runtime
from sweeps.hosts import patience, stop_signals
from sweeps.running import worker as worker_module
from sweeps.running.worker import Job, StoppedError, Worker
from sweeps.watching.checkpoint_state import STATE
from tests.small_disk import small_disk
from tests.specs import tiny_donor, tiny_model

PACK: tuple[Run, ...] = tuple(tiny_donor(model=tiny_model(dropout=0.1), seed=seed) for seed in range(4))
PACK_NAME = "donor-pack"
NUM_SAVED = 3
STARTED, SECONDS = 1e9, 5000.0


class KilledError(Exception):
    """Stands for the end of a worker's process."""


def worker(
    store: Store,
    pack: Sequence[Run] = PACK,
    *,
    send: Callable[[dict[str, Any]], None],
    name: str,
    runtime: Runtime = Runtime(checkpoint_seconds=-1.0),  # noqa: B008  frozen
) -> Worker:
    job = Job(
        specs={run_id(spec): canonical_json(spec) for spec in pack},
        store=store.url,
        code=code(),
        sources="",
        runtime=runtime,
    )
    return Worker(name=name, pack=pack, store=store, job=job, num_halvings=0, send=send)


def checkpoint_state(content: bytes) -> dict[str, Any]:
    """The epoch under way and the steps done in it, as a checkpoint has them."""
    return dict(json.loads(load(content)[STATE].numpy().tobytes()))


def ignored(data: dict[str, Any]) -> None:
    """Progress that nobody reads."""


def run_pack(store: Store, pack: Sequence[Run] = PACK, *, name: str = PACK_NAME) -> list[str]:
    """Have a worker compute the pack; what it notes."""
    made = worker(store, pack, send=ignored, name=name)
    made.run()
    notes: list[str] = made.progress_data()["notes"]
    return notes


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With a checkpoint of the pack, whose worker is dead and said when it began and what it had taken."""
    made = Store(str(tmp_path / "store"))

    def kill(data: dict[str, Any]) -> None:
        if data["num_saved"] == NUM_SAVED:
            raise KilledError

    with pytest.raises(KilledError):
        worker(made, send=kill, name=PACK_NAME).run()
    change(made, started=STARTED, seconds=SECONDS)
    return made


def change(store: Store, edit: Callable[[bytes], bytes] = bytes, **described: Any) -> None:
    """Replace the checkpoint by one of other content, or of which other things are said."""
    (found,) = store.checkpoints()
    content = store.checkpoint_content(found.pack)
    assert content is not None
    store.save_checkpoint(replace(found, **described), edit(content))


def edited_state(content: bytes, before: bytes, after: bytes) -> bytes:
    tensors = load(content)
    state = tensors[STATE].numpy().tobytes()
    assert before in state
    changed = torch.frombuffer(bytearray(state.replace(before, after)), dtype=torch.uint8)
    return save({**tensors, STATE: changed})


def undisturbed(folder: Path) -> Store:
    made = Store(str(folder / "undisturbed"))
    assert run_pack(made) == []
    return made


def results(store: Store, spec: Run) -> tuple[object, ...]:
    record = store.record(spec)
    return record.measurements, record.curves, {name: each.sha256 for name, each in record.artifacts.items()}


# ---- seconds


def test_checkpoint_says_when_the_pack_began_and_what_it_took(tmp_path: Path) -> None:
    made, seen = Store(str(tmp_path)), list[Checkpoint]()
    before = datetime.now(UTC).timestamp()
    worker(made, send=lambda _: seen.extend(made.checkpoints()), name=PACK_NAME).run()
    after = datetime.now(UTC).timestamp()
    assert len({each.started for each in seen}) == 1
    assert before <= seen[0].started <= after
    assert 0 < seen[0].seconds < seen[-1].seconds <= after - before
    assert {each.pack_size for each in seen} == {4}


def test_record_of_a_resumed_pack_has_the_seconds_of_all_its_workers(store: Store) -> None:
    assert run_pack(store) == []
    for spec in PACK:
        made = store.record(spec).provenance
        assert SECONDS < made.seconds < SECONDS + 100
        assert made.started == datetime.fromtimestamp(STARTED, UTC).isoformat()
        assert made.pack_size == 4


def test_rest_of_a_pack_has_the_start_and_size_of_the_whole(store: Store) -> None:
    """So that its seconds and those of the runs that left it earlier are seen to be of one pack."""
    change(store, pack_size=7)
    run_pack(store)
    made = store.record(PACK[0]).provenance
    assert (made.pack_size, made.started) == (7, datetime.fromtimestamp(STARTED, UTC).isoformat())


def test_part_of_a_larger_pack_has_its_share_of_the_seconds(store: Store) -> None:
    run_pack(store, PACK[:1], name="a-quarter")
    made = store.record(PACK[0]).provenance
    assert SECONDS / 4 < made.seconds < SECONDS / 4 + 100
    assert made.pack_size == 1


def test_checkpoint_that_says_no_seconds_counts_for_none(store: Store) -> None:
    change(store, started=0.0, seconds=0.0, pack_size=0)
    assert run_pack(store) == []
    made = store.record(PACK[0]).provenance
    assert 0 < made.seconds < 100
    assert made.pack_size == 4


# ---- what is not resumed from


def test_worker_on_a_cpu_starts_over_and_notes_it_where_the_checkpoint_is_of_a_gpu(
    store: Store, tmp_path: Path
) -> None:
    change(store, lambda content: edited_state(content, b'"device": "cpu"', b'"device": "cuda"'))
    (note,) = run_pack(store)
    assert "made on cuda, and this worker trains on cpu" in note
    expected = undisturbed(tmp_path)
    assert all(results(store, spec) == results(expected, spec) for spec in PACK)
    assert store.record(PACK[0]).provenance.seconds < 100


@pytest.mark.parametrize(
    "content", [b"", b"no tensors", save({"a": torch.zeros(1)})], ids=["empty", "text", "no state"]
)
def test_worker_starts_over_and_notes_it_where_the_checkpoint_is_damaged(store: Store, content: bytes) -> None:
    change(store, lambda _: content)
    (note,) = run_pack(store)
    assert "training starts over" in note
    assert store.record(PACK[0]).provenance.seconds < 100


def test_worker_goes_on_from_its_checkpoint_to_the_same_bits(store: Store, tmp_path: Path) -> None:
    run_pack(store)
    expected = undisturbed(tmp_path)
    assert all(results(store, spec) == results(expected, spec) for spec in PACK)


# ---- a stop


def test_worker_that_is_told_to_stop_saves_the_step_under_way_and_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    made = Store(str(tmp_path / "store"))
    steps = list[int]()

    def send(data: dict[str, Any]) -> None:
        steps.append(data["step"])
        if data["num_saved"] == 0 and data["step"] > 0:
            stop_signals.note(signal.SIGTERM)

    never = Runtime(checkpoint_seconds=1e9)
    with pytest.raises(StoppedError):
        worker(made, send=send, name=PACK_NAME, runtime=never).run()
    (saved,) = made.checkpoints()
    state = checkpoint_state(made.checkpoint_content(saved.pack) or b"")
    num_steps = steps_per_epoch(PACK[0])
    assert steps[-1] <= (state["epoch"] - 1) * num_steps + state["step"] <= steps[-1] + 1
    assert made.finished() == set()
    stop_signals.forget()
    assert run_pack(made) == []
    assert all(results(made, spec) == results(undisturbed(tmp_path), spec) for spec in PACK)


def test_worker_that_was_told_to_stop_before_it_began_leaves_all_as_it_is(tmp_path: Path) -> None:
    made = Store(str(tmp_path / "store"))
    stop_signals.note(signal.SIGTERM)
    with pytest.raises(StoppedError):
        worker(made, send=ignored, name=PACK_NAME).run()
    assert (made.checkpoints(), made.finished()) == ((), set())


def test_pack_with_slow_steps_is_checkpointed_after_each_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(worker_module, "SHARE_OF_SAVING", math.inf)
    saved = list[int]()
    made = worker(Store(str(tmp_path)), send=lambda data: saved.append(data["num_saved"]), name=PACK_NAME,
                  runtime=Runtime(checkpoint_seconds=1e9))  # fmt: skip
    made.run()
    num_steps = PACK[0].length().num_epochs * steps_per_epoch(PACK[0])
    assert num_steps - 1 <= max(saved) <= num_steps


# ---- something else in a file's place


def test_worker_whose_heartbeat_and_checkpoint_cannot_be_written_says_so_and_goes_on(tmp_path: Path) -> None:
    made = Store(str(tmp_path / "store"))
    places = [Path(made.url, folder, f"{PACK_NAME}.json") for folder in ("running", "checkpoints")]
    for path in places:
        (path / "inside").mkdir(parents=True)
    busy = worker(made, send=ignored, name=PACK_NAME)
    with busy.heartbeat():
        busy.run()
    notes = busy.progress_data()["notes"]
    assert [note.partition(" is ")[0] for note in notes] == [str(path) for path in places]
    assert all(note.endswith("is a folder where a file belongs: remove it") for note in notes)
    assert all(results(made, spec) == results(undisturbed(tmp_path), spec) for spec in PACK[:1])
    assert made.finished() == {run_id(spec) for spec in PACK}


# ---- a full disk


def test_worker_whose_disk_is_full_for_a_while_waits_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.05)
    with small_disk(tmp_path / "disk") as disk:
        made, seen = Store(str(disk.path / "store")), list[str]()

        def send(data: dict[str, Any]) -> None:
            if data["notes"][len(seen) :]:
                seen.append(data["notes"][-1])
                if seen[-1].startswith("a disk is full"):
                    threading.Timer(0.3, disk.make_room).start()
            elif data["num_saved"] in (1, 3) and len(seen) < data["num_saved"]:
                disk.fill()

        worker(made, send=send, name=PACK_NAME).run()
        assert [note.partition(" (")[0] for note in seen] == 2 * ["a disk is full", "there is room again: continuing"]
        assert all(results(made, spec) == results(undisturbed(tmp_path), spec) for spec in PACK)
        assert made.checkpoints() == ()
        assert list(Path(made.url, "checkpoints").iterdir()) == []
