"""The store: what is committed stays, what is half-written is never read, and the first writer wins."""

import json
import multiprocessing
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from subind.specs.measurements import Measurement
from subind.specs.network import Network
from subind.specs.run import Run
from subind.specs.runs import Measure
from subind.store.names import slug
from subind.store.results import Artifact
from subind.store.store import HEARTBEAT_SECONDS, Checkpoint, Heartbeat, Store
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind.records import small_failure, small_record


@dataclass(frozen=True, kw_only=True)
class Additivity(Measurement):
    """A measurement without fields."""


FILES = {"mask.safetensors": b"bits", "picture.png": b"\x89PNG"}


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def overwrite(store: Store, spec: Run, file: str, content: bytes) -> None:
    """Put other bytes where a file of the run is."""
    store._files.fs.makedirs(store.folder(spec), exist_ok=True)
    store._files.fs.pipe_file(f"{store.folder(spec)}/{file}", content)


def make_older(store: Store, path: str, seconds: float) -> None:
    """Let a file have been written so long ago, by the clock of its file system."""
    if store.is_local:
        then = Path(path).stat().st_mtime - seconds
        os.utime(path, (then, then))
    else:
        store._files.fs.store[path].created -= timedelta(seconds=seconds)


def file_of(store: Store, spec: Run, name: str) -> str:
    return store.record(spec).artifacts[name].file


# ---- runs


def test_record_of_a_committed_run_is_the_one_written_with_its_artifacts(store: Store) -> None:
    spec = tiny_transfer()
    assert store.commit(spec, small_record(spec), FILES)
    found = store.record(spec)
    assert replace(found, artifacts={}) == small_record(spec)
    assert {name: store.artifact(spec, name) for name in found.artifacts} == FILES


def test_finished_names_just_the_committed_runs(store: Store) -> None:
    committed = [tiny_donor(), tiny_mask(), tiny_transfer("random_init")]
    for spec in committed:
        store.commit(spec, small_record(spec), {})
    store.fail(tiny_transfer(), small_failure(tiny_transfer()))
    assert store.finished() == {small_record(spec).run_id for spec in committed}
    assert store.is_finished(tiny_donor())
    assert not store.is_finished(tiny_transfer())


def test_store_that_nobody_wrote_to_is_empty(store: Store) -> None:
    assert store.finished() == store.failed() == frozenset()
    assert store.checkpoints() == store.heartbeats() == ()


def test_folder_of_a_run_can_be_read(store: Store) -> None:
    spec = tiny_transfer("random_subnetwork", seed=3)
    assert slug(spec) == "random_subnetwork-layers2-n6-seed3"
    assert store.folder(spec).endswith(f"/runs/transfer/{slug(spec)}-{small_record(spec).run_id}")


@dataclass(frozen=True, kw_only=True)
class Named(Network):
    given: str

    @property
    def name(self) -> str:
        return self.given


@pytest.mark.parametrize("name", ["../../etc", "a/b", "a\\b", "", ".", "..", "x" * 500, "ä ö", "\0", "\n"])
def test_folder_of_a_run_whose_network_has_a_hostile_name_stays_in_its_stage(local: Store, name: str) -> None:
    spec = tiny_donor(model=Named(given=name))
    local.commit(spec, small_record(spec), {})
    assert re.fullmatch(r"\w[\w.-]{0,119}", slug(spec), re.ASCII)
    assert Path(local.folder(spec)).parent == Path(local.url) / "runs" / "donor"
    assert local.record(spec).run_id == small_record(spec).run_id


def test_folder_of_a_measurement_has_its_name_and_stage(store: Store) -> None:
    spec = Measure(of=tiny_donor(), measurement=Additivity(), seed=1, precision="float32")
    store.commit(spec, small_record(spec, curves={}), {})
    assert f"/runs/measurement/additivity-layers2-seed0-{small_record(spec).run_id}" in store.folder(spec)
    assert store.record(spec).parents == (small_record(tiny_donor()).run_id,)
    assert store.finished() == {small_record(spec).run_id}


def test_record_of_a_recipient_whose_network_is_kept_has_its_weights(store: Store) -> None:
    spec = tiny_transfer()
    store.commit(spec, small_record(spec), {"weights.safetensors": b"weights"})
    assert store.artifact(spec, "weights.safetensors") == b"weights"
    assert len(store.record(spec).parents) == 2


def test_record_of_an_absent_run_is_not_found(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.record(tiny_donor())


def test_commit_of_a_run_that_is_there_is_second_and_changes_nothing(store: Store) -> None:
    spec = tiny_donor()
    assert store.commit(spec, small_record(spec), {"a": b"first"})
    assert not store.commit(spec, small_record(spec, measurements={"test_accuracy": 0.0}), {"a": b"second"})
    assert store.record(spec).measurements == small_record(spec).measurements
    assert store.artifact(spec, "a") == b"first"


def test_commit_of_a_run_that_had_failed_clears_the_failure(store: Store) -> None:
    spec = tiny_donor()
    store.fail(spec, small_failure(spec))
    store.commit(spec, small_record(spec), {})
    assert store.failed() == frozenset()
    with pytest.raises(FileNotFoundError):
        store.failure(spec)


def test_commit_of_a_measurement_that_is_no_number_is_refused_before_anything_is_written(store: Store) -> None:
    spec = tiny_donor()
    with pytest.raises(ValueError, match=r"has measurements = .*nan"):
        store.commit(spec, small_record(spec, measurements={"test_accuracy": float("nan")}), FILES)
    assert store._files.paths(store._path("runs")) == []


def test_finished_without_the_record_does_not_name_the_run(store: Store) -> None:
    spec = tiny_donor()
    store._write_artifact(store.folder(spec), "mask.safetensors", b"bits")
    assert store.finished() == frozenset()
    assert not store.is_finished(spec)


def test_artifact_that_was_changed_is_refused(store: Store) -> None:
    spec = tiny_mask()
    store.commit(spec, small_record(spec), FILES)
    overwrite(store, spec, file_of(store, spec, "mask.safetensors"), b"bitz")
    with pytest.raises(ValueError, match=r"mask-.*\.safetensors is damaged .* verify --all --repair"):
        store.artifact(spec, "mask.safetensors")


def test_artifact_that_is_gone_is_not_found(store: Store) -> None:
    spec = tiny_mask()
    store.commit(spec, small_record(spec), FILES)
    store._files.fs.rm_file(f"{store.folder(spec)}/{file_of(store, spec, 'mask.safetensors')}")
    with pytest.raises(FileNotFoundError):
        store.artifact(spec, "mask.safetensors")


def test_artifact_of_an_unknown_name_lists_the_known_ones(store: Store) -> None:
    spec = tiny_mask()
    store.commit(spec, small_record(spec), FILES)
    with pytest.raises(ValueError, match=r"has no artifact 'logits': it has \['mask\.safetensors', 'picture\.png'\]"):
        store.artifact(spec, "logits")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"run_id": 1}', b'{"a":' * 50_000],
    ids=["empty", "cut", "null", "list", "no text", "deep", "other fields", "deep objects"],
)
def test_record_from_a_file_that_is_none_says_which(store: Store, content: bytes) -> None:
    spec = tiny_donor()
    overwrite(store, spec, "record.json", content)
    with pytest.raises(ValueError, match=r"record\.json"):
        store.record(spec)


@pytest.mark.parametrize("file", ["../../../../secret", "/etc/passwd", "..", "a/b"])
def test_artifact_whose_record_points_out_of_the_folder_is_refused(store: Store, file: str) -> None:
    spec = tiny_donor()
    artifact = Artifact(file=file, num_bytes=1, sha256="0" * 64)
    data = small_record(spec, artifacts={"a": artifact}).data()
    overwrite(store, spec, "record.json", json.dumps(data).encode())
    with pytest.raises(ValueError, match=r"names the file .* which is no plain name"):
        store.artifact(spec, "a")


def test_record_of_another_run_in_the_folder_is_refused(store: Store) -> None:
    spec = tiny_donor()
    overwrite(store, spec, "record.json", json.dumps(small_record(tiny_mask()).data()).encode())
    with pytest.raises(ValueError, match=r"is the record of run .*, not of"):
        store.record(spec)


# ---- failures


def test_failure_of_a_run_is_the_one_written(store: Store) -> None:
    spec = tiny_transfer()
    store.fail(spec, small_failure(spec, attempts=2))
    assert store.failure(spec) == small_failure(spec, attempts=2)
    assert store.failed() == {small_record(spec).run_id}


def test_failure_of_a_finished_run_is_not_written(store: Store) -> None:
    spec = tiny_transfer()
    store.commit(spec, small_record(spec), {})
    store.fail(spec, small_failure(spec))
    assert store.failed() == frozenset()


def test_forgive_forgets_the_failure_and_may_be_repeated(store: Store) -> None:
    spec = tiny_transfer()
    store.fail(spec, small_failure(spec))
    store.forgive(spec)
    store.forgive(spec)
    assert store.failed() == frozenset()


# ---- packs under way


def test_checkpoint_replaced_is_the_latest_and_leaves_no_other_file(store: Store) -> None:
    for content in (b"epoch 1", b"epoch 2", b"epoch 3"):
        store.save_checkpoint(Checkpoint(pack="p", runs=("x", "y")), content)
    assert store.checkpoint_content("p") == b"epoch 3"
    assert store.checkpoints() == (Checkpoint(pack="p", runs=("x", "y")),)
    assert len(store._files.paths(store._path("checkpoints"))) == 2


def test_checkpoint_of_a_pack_whose_name_starts_alike_is_left_alone(store: Store) -> None:
    store.save_checkpoint(Checkpoint(pack="p-1", runs=("x",)), b"other")
    store.save_checkpoint(Checkpoint(pack="p", runs=("y",)), b"own")
    store.remove_checkpoint("p")
    assert store.checkpoint_content("p-1") == b"other"


def test_checkpoint_removed_is_gone_and_may_be_removed_again(store: Store) -> None:
    store.save_checkpoint(Checkpoint(pack="p", runs=("x",)), b"state")
    store.remove_checkpoint("p")
    store.remove_checkpoint("p")
    assert store.checkpoint_content("p") is None
    assert store._files.paths(store._path("checkpoints")) == []


def test_checkpoint_that_was_damaged_is_none(store: Store) -> None:
    store.save_checkpoint(Checkpoint(pack="p", runs=("x",)), b"state")
    (path,) = [path for path in store._files.paths(store._path("checkpoints")) if path.endswith(".safetensors")]
    store._files.fs.pipe_file(path, b"stat")
    assert store.checkpoint_content("p") is None


def heartbeat(**changes: Any) -> Heartbeat:
    """A beat of now, from a host that is not this one."""
    beat = Heartbeat(
        pack="p", runs=("x", "y"), host="elsewhere", process=1, epoch=1, step=5, num_steps=10, time=time.time()
    )
    return replace(beat, **changes)


def test_heartbeats_of_packs_heard_of_lately_are_those_written(store: Store) -> None:
    beats = (heartbeat(), heartbeat(pack="q", step=6))
    for beat in beats:
        store.beat(beat)
    found = sorted(store.heartbeats(), key=lambda beat: beat.pack)
    assert [replace(beat, time=0.0) for beat in found] == [replace(beat, time=0.0) for beat in beats]


def test_heartbeats_older_than_six_periods_are_left_out(store: Store) -> None:
    store.beat(heartbeat())
    make_older(store, store._path("running", "p.json"), 6 * HEARTBEAT_SECONDS + 2)
    assert store.heartbeats() == ()


@pytest.mark.parametrize("hours", [-2, 2])
def test_heartbeat_of_a_worker_whose_clock_is_hours_off_is_as_old_as_the_store_says(store: Store, hours: int) -> None:
    store.beat(heartbeat(time=time.time() + 3600 * hours))
    (beat,) = store.heartbeats()
    assert abs(time.time() - beat.time) < 30
    make_older(store, store._path("running", "p.json"), 6 * HEARTBEAT_SECONDS + 2)
    assert store.heartbeats() == ()


@pytest.mark.parametrize("hours", [-2, 2])
def test_heartbeats_read_under_a_clock_that_is_hours_off_are_those_of_live_workers(
    store: Store, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.beat(heartbeat(pack="dead"))
    store.beat(heartbeat(pack="live"))
    make_older(store, store._path("running", "dead.json"), 6 * HEARTBEAT_SECONDS + 2)
    now = time.time() + 3600 * hours
    monkeypatch.setattr(time, "time", lambda: now)
    (beat,) = store.heartbeats()
    assert beat.pack == "live"
    assert abs(now - beat.time) < 30


def test_heartbeats_far_ahead_of_the_stores_clock_are_left_out(store: Store) -> None:
    store.beat(heartbeat())
    make_older(store, store._path("running", "p.json"), -7200)
    assert store.heartbeats() == ()


def test_heartbeats_of_a_process_of_this_host_that_has_ended_are_left_out(store: Store) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    store.beat(heartbeat(host=socket.gethostname(), process=ended.pid))
    store.beat(heartbeat(pack="own", host=socket.gethostname(), process=os.getpid()))
    assert [beat.pack for beat in store.heartbeats()] == ["own"]


def test_stop_beating_removes_what_a_worker_that_died_was_writing(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    store.beat(heartbeat())
    folder = tmp_path / "store" / "running"
    (folder / ".p.json.0123").write_bytes(b"{")
    (folder / ".other.json.0123").write_bytes(b"{")
    store.stop_beating("p")
    assert [path.name for path in folder.iterdir()] == [".other.json.0123"]


def test_stop_beating_removes_the_heartbeat_and_may_be_repeated(store: Store) -> None:
    store.beat(heartbeat())
    store.stop_beating("p")
    store.stop_beating("p")
    assert store.heartbeats() == ()


@pytest.mark.parametrize("damage", [{"time": "now"}, {"runs": 5}, {"extra": 1}, {"pack": "../p"}, {"pack": "q"}])
def test_hostile_heartbeat_is_passed_over_and_reported_once(
    store: Store, damage: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    store.beat(heartbeat(pack="good"))
    store._files.fs.makedirs(store._path("running"), exist_ok=True)
    store._files.fs.pipe_file(store._path("running", "p.json"), json.dumps(asdict(heartbeat()) | damage).encode())
    assert [[beat.pack for beat in store.heartbeats()] for _ in range(2)] == [["good"], ["good"]]
    (report,) = caplog.records
    assert "running/p.json" in report.message


def test_heartbeat_of_a_process_number_that_no_system_has_is_left_out(store: Store) -> None:
    store.beat(heartbeat(host=socket.gethostname(), process=2**52))
    assert store.heartbeats() == ()


@pytest.mark.parametrize("pack", ["../../p", "/p", "", "a/b", ".p"])
def test_pack_whose_name_leads_out_of_its_folder_is_refused(store: Store, pack: str) -> None:
    with pytest.raises(ValueError, match="has no plain name"):
        store.save_checkpoint(Checkpoint(pack=pack, runs=()), b"state")
    with pytest.raises(ValueError, match="has no plain name"):
        store.beat(heartbeat(pack=pack))
    with pytest.raises(ValueError, match="has no plain name"):
        store.remove_checkpoint(pack)


@pytest.mark.parametrize("damage", [{"pack": "../../p"}, {"file": "../p.safetensors"}, {"file": ".."}, {"runs": 5}])
def test_checkpoint_with_a_hostile_description_is_passed_over_and_reported(
    store: Store, damage: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    store.save_checkpoint(Checkpoint(pack="good", runs=("y",)), b"state")
    store.save_checkpoint(Checkpoint(pack="p", runs=("x",)), b"state")
    path = store._path("checkpoints", "p.json")
    store._files.fs.pipe_file(path, json.dumps(json.loads(store._files.fs.cat_file(path)) | damage).encode())
    assert [each.pack for each in store.checkpoints()] == ["good"]
    assert store.checkpoint_content("p") is None
    assert "checkpoints/p.json" in caplog.text


@pytest.mark.parametrize("sha256", ["../../x", "", "A" * 64, "0" * 63, "0" * 64 + "/"])
def test_weights_of_no_checksum_are_refused(store: Store, sha256: str) -> None:
    with pytest.raises(ValueError, match="give the 64 hexadecimal digits"):
        store.weights(sha256)
    with pytest.raises(ValueError, match="give the 64 hexadecimal digits"):
        store.has_weights(sha256)


# ---- writers at the same time


def test_commit_by_sixteen_threads_at_once_has_one_first(local: Store) -> None:
    spec = tiny_donor()
    barrier = Barrier(16)

    def commit(number: int) -> bool:
        barrier.wait()
        return local.commit(
            spec, small_record(spec, measurements={"test_accuracy": float(number)}), {"a": b"%d" % number}
        )

    with ThreadPoolExecutor(16) as pool:
        first = list(pool.map(commit, range(16)))
    assert first.count(True) == 1
    winner = first.index(True)
    assert local.record(spec).measurements == {"test_accuracy": float(winner)}
    assert local.artifact(spec, "a") == b"%d" % winner


def _commit_number(url: str, number: int) -> bool:
    spec = tiny_donor()
    record = small_record(spec, measurements={"test_accuracy": float(number)})
    return Store(url).commit(spec, record, {"a": b"%d" % number})


def test_commit_by_processes_at_once_has_one_first(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        first = pool.starmap(_commit_number, [(str(tmp_path), number) for number in range(12)], chunksize=1)
    assert first.count(True) == 1
    assert Store(str(tmp_path)).artifact(tiny_donor(), "a") == b"%d" % first.index(True)


COMMITTING = """
import sys
from subind.store.store import Store
from tests.specs import tiny_donor
from tests.subind.records import small_record

store = Store(sys.argv[1])
print("ready", flush=True)
for seed in range(100_000):
    spec = tiny_donor(seed=seed)
    store.commit(spec, small_record(spec), {"mask.safetensors": bytes(200_000), "density.png": bytes([seed % 256])})
"""


def _started(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", program, *arguments], env=environment, stdout=subprocess.PIPE)


@pytest.mark.parametrize("attempt", range(4))
def test_commit_killed_at_a_random_moment_leaves_every_run_whole_or_absent(tmp_path: Path, attempt: int) -> None:
    committing = _started(COMMITTING, str(tmp_path))
    assert committing.stdout is not None
    assert committing.stdout.readline() == b"ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        committing.wait(timeout=random.Random(attempt).uniform(0.02, 0.4))
    committing.send_signal(signal.SIGKILL)
    committing.wait()
    committing.stdout.close()

    store = Store(str(tmp_path))
    finished = [spec for spec in (tiny_donor(seed=seed) for seed in range(2000)) if store.is_finished(spec)]
    assert len(finished) == len(store.finished())
    for spec in finished:
        assert store.artifact(spec, "mask.safetensors") == bytes(200_000)
        assert store.artifact(spec, "density.png") == bytes([spec.seed % 256])
    next_one = tiny_donor(seed=len(finished))
    assert store.commit(next_one, small_record(next_one), FILES)


FILLING = """
import resource, signal, sys
from subind.store.store import Checkpoint, Store
from tests.specs import tiny_donor
from tests.subind.records import small_record

store = Store(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    if sys.argv[2] == "commit":
        store.commit(tiny_donor(), small_record(tiny_donor()), {"mask.safetensors": bytes(8192)})
    else:
        store.save_checkpoint(Checkpoint(pack="p", runs=("x",)), bytes(8192))
except OSError as error:
    print("OSError", error.errno, flush=True)
"""


def _fill(store: Store, what: str) -> bytes:
    filling = _started(FILLING, store.url, what)
    printed, _ = filling.communicate(timeout=120)
    return printed


def test_commit_without_room_raises_and_leaves_nothing_visible(local: Store) -> None:
    assert _fill(local, "commit").startswith(b"OSError")
    assert local.finished() == frozenset()
    assert list(Path(local.folder(tiny_donor())).iterdir()) == []


def test_checkpoint_without_room_leaves_the_former_one(local: Store) -> None:
    local.save_checkpoint(Checkpoint(pack="p", runs=("x",)), b"former")
    assert _fill(local, "checkpoint").startswith(b"OSError")
    assert local.checkpoint_content("p") == b"former"


def test_commit_after_a_temporary_file_was_left_behind_ignores_it(local: Store) -> None:
    spec = tiny_donor()
    overwrite(local, spec, ".record.json.0123", b"{")
    assert local.finished() == frozenset()
    assert local.commit(spec, small_record(spec), {})
