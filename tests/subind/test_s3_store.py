"""A store on a real S3 server: commits are atomic over a bad network, and trouble is told in a line with its remedy."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from subind.identity.run_ids import run_id
from subind.store import remote_files
from subind.store.errors import StoreError
from subind.store.files import joined
from subind.store.store import Checkpoint, Store, opened_files
from tests.s3_server import (
    BUCKET,
    ENVIRONMENT,
    Proxy,
    answering,
    forget_connections,
    make_bucket,
    put_object,
    s3_server,
)
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind.records import small_failure, small_record

pytest.importorskip("s3fs")
pytest.importorskip("moto")

URL = f"s3://{BUCKET}/sweep"

Connect = Callable[[int], Store]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        with s3_server() as found:
            yield found


@pytest.fixture
def connect(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """A store by the S3 service at a port, with the credentials of the test; the bucket is empty."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    make_bucket(port, BUCKET)

    def connected(to: int) -> Store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{to}")
        forget_connections()
        return Store(URL)

    yield connected
    forget_connections()


@pytest.fixture
def s3(connect: Connect, port: int) -> Store:
    return connect(port)


@pytest.fixture
def proxy(port: int) -> Iterator[Proxy]:
    with Proxy(port) as found:
        yield found


# ---- what any store does


def test_record_and_artifact_of_a_run_on_s3_are_those_committed(s3: Store) -> None:
    spec = tiny_donor()
    assert s3.commit(spec, small_record(spec), {"weights.safetensors": b"bits"})
    assert s3.is_finished(spec)
    assert replace(s3.record(spec), artifacts={}) == small_record(spec)
    assert s3.artifact(spec, "weights.safetensors") == b"bits"


def test_commit_of_a_run_that_s3_holds_is_second_and_changes_nothing(s3: Store) -> None:
    spec = tiny_donor()
    assert s3.commit(spec, small_record(spec), {})
    assert not s3.commit(spec, small_record(spec, measurements={"test_accuracy": 0.0}), {})
    assert s3.record(spec).measurements == small_record(spec).measurements


def test_listing_of_s3_parts_finished_from_failed_runs_and_stamps_them(s3: Store) -> None:
    for spec in (tiny_donor(), tiny_mask()):
        s3.commit(spec, small_record(spec), {"file.bin": b"bytes"})
    s3.fail(tiny_transfer(), small_failure(tiny_transfer()))
    found = s3.listing()
    assert found.finished.keys() == {run_id(tiny_donor()), run_id(tiny_mask())}
    assert all(found.finished.values())
    assert found.failed == {run_id(tiny_transfer())}


def test_listing_of_an_empty_bucket_holds_nothing(s3: Store) -> None:
    assert s3.finished() == s3.failed() == frozenset()
    assert s3.checkpoints() == s3.heartbeats() == ()
    assert s3.sampled_records(10) == []


def test_empty_record_on_s3_is_no_json(s3: Store) -> None:
    path = joined(s3.folder(tiny_donor()), "record.json")
    s3._files.fs.pipe_file(path, b"")
    with pytest.raises(ValueError, match=r"record\.json is no JSON"):
        s3.record(tiny_donor())


def test_run_that_another_process_committed_is_seen_at_once(s3: Store) -> None:
    assert not s3.is_finished(tiny_donor())
    assert s3.finished() == frozenset()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_commit_numbers, (0, 1)) == [True]
    assert s3.is_finished(tiny_donor(seed=0))
    assert s3.finished() == {run_id(tiny_donor(seed=0))}


def test_checkpoint_on_s3_is_the_latest_and_leaves_no_other_file(s3: Store) -> None:
    for content in (b"epoch 1", b"epoch 2"):
        s3.save_checkpoint(Checkpoint(pack="p", runs=("x",)), content)
    assert s3.checkpoint_content("p") == b"epoch 2"
    assert len(list(s3.tree("checkpoints"))) == 2
    s3.remove_checkpoint("p")
    assert list(s3.tree()) == []


def test_store_on_s3_can_be_written_and_is_left_as_it_was(s3: Store) -> None:
    assert s3.check_writable("token") == f"{URL} can be written"
    assert list(s3.tree()) == []


def test_store_on_s3_is_shared_and_no_folder(s3: Store) -> None:
    assert s3.is_shared()
    assert not s3.is_local


# ---- two writers, and readers beside them


def _commit_numbers(number: int, count: int) -> list[bool]:
    store = Store(URL)
    specs = [tiny_donor(seed=seed) for seed in range(count)]
    return [
        store.commit(spec, small_record(spec, measurements={"test_accuracy": float(number)}), {"a": b"%d" % number})
        for spec in specs
    ]


def test_commits_of_two_processes_have_one_first_for_each_run(s3: Store) -> None:
    count = 20
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.starmap(_commit_numbers, [(0, count), (1, count)], chunksize=1)
    assert [one + other for one, other in zip(first, second, strict=True)] == [1] * count
    for seed in range(count):
        winner = int(second[seed])
        assert s3.record(tiny_donor(seed=seed)).measurements == {"test_accuracy": float(winner)}
        assert s3.artifact(tiny_donor(seed=seed), "a") == b"%d" % winner


def test_reader_of_a_large_run_that_is_being_written_sees_nothing_or_the_whole(s3: Store) -> None:
    spec, content = tiny_donor(), os.urandom(30_000_000)
    writing = threading.Thread(target=s3.commit, args=(spec, small_record(spec), {"weights.safetensors": content}))
    seen = [s3.is_finished(spec)]
    writing.start()
    while writing.is_alive():
        seen.append(s3.is_finished(spec))
        if seen[-1]:
            assert s3.artifact(spec, "weights.safetensors") == content
    writing.join()
    assert s3.artifact(spec, "weights.safetensors") == content
    assert not seen[0]
    assert seen == sorted(seen)


@pytest.mark.parametrize("chunk", [2**30, 5 * 2**20], ids=["one request", "several parts"])
def test_object_that_is_created_twice_is_refused_the_second_time_in_parts_too(s3: Store, chunk: int) -> None:
    path = f"{s3._root}/large"
    s3._files.fs.pipe_file(path, bytes(11 * 2**20), mode="create", chunksize=chunk)
    with pytest.raises(FileExistsError):
        s3._files.fs.pipe_file(path, b"1" * (11 * 2**20), mode="create", chunksize=chunk)
    assert s3._files.fs.cat_file(path) == bytes(11 * 2**20)


# ---- a network that fails


def test_commit_over_a_connection_that_is_cut_in_mid_body_is_whole(connect: Connect, proxy: Proxy) -> None:
    spec, content, store = tiny_donor(), os.urandom(2_000_000), connect(proxy.port)
    assert store.finished() == frozenset()
    proxy.after_bytes, proxy.cuts = 500_000, 2
    assert store.commit(spec, small_record(spec), {"weights.safetensors": content})
    assert proxy.num_cut == 2
    assert store.artifact(spec, "weights.safetensors") == content


def test_commit_whose_answer_is_lost_finds_its_own_record_and_is_first(connect: Connect, proxy: Proxy) -> None:
    spec, store = tiny_donor(), connect(proxy.port)
    assert store.finished() == frozenset()
    proxy.swallows_answers, proxy.cuts = True, 1
    assert store.commit(spec, small_record(spec), {})
    assert proxy.num_cut == 1
    assert store.record(spec) == small_record(spec)


def test_commit_over_a_connection_that_stays_cut_fails_and_leaves_no_record(
    connect: Connect, proxy: Proxy, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_files, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(remote_files, "FIRST_PATIENCE_SECONDS", 1.0)
    spec, store = tiny_donor(), connect(proxy.port)
    store._files._patience = 1.0  # type: ignore[attr-defined]
    proxy.after_bytes, proxy.cuts = 500_000, 10**6
    with pytest.raises(StoreError, match=r"the store s3://sweeps/sweep does not answer .* give the command again"):
        store.commit(spec, small_record(spec), {"weights.safetensors": os.urandom(2_000_000)})
    assert proxy.num_cut > 1
    assert connect(port).finished() == frozenset()


def test_reading_over_a_connection_that_is_cut_is_tried_again(connect: Connect, proxy: Proxy) -> None:
    spec, content, store = tiny_donor(), os.urandom(2_000_000), connect(proxy.port)
    store.commit(spec, small_record(spec), {"weights.safetensors": content})
    proxy.swallows_answers, proxy.cuts = True, 3
    assert store.artifact(spec, "weights.safetensors") == content
    assert proxy.num_cut == 3


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (409, "OperationAborted")])
def test_service_that_is_busy_is_asked_again(connect: Connect, port: int, status: int, code: str) -> None:
    with answering(status, code, times=2, then=port) as (busy, asked):
        store = connect(busy)
        assert store.commit(tiny_donor(), small_record(tiny_donor()), {})
        assert asked[:3] == ["PUT", "PUT", "PUT"]
    assert connect(port).is_finished(tiny_donor())


def test_service_that_stays_busy_is_told_after_the_patience(connect: Connect) -> None:
    with answering(503, "SlowDown") as (busy, asked):
        store = connect(busy)
        store._files._patience = 2.5  # type: ignore[attr-defined]
        with pytest.raises(StoreError, match=r"does not answer \(.*SlowDown.*\): see to the network"):
            store.listing()
        assert 2 <= len(asked) <= 4


def test_service_that_stays_busy_is_given_up_soon_after_a_signal_to_stop(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_come: list[bool] = []
    monkeypatch.setattr(remote_files, "interruptions", [lambda: bool(has_come)])
    monkeypatch.setattr(remote_files, "INTERRUPTED_PATIENCE_SECONDS", 0.0)
    with answering(503, "SlowDown") as (busy, _asked):
        store = connect(busy)
        store._files._patience = 120.0  # type: ignore[attr-defined]
        threading.Timer(1.0, has_come.append, (True,)).start()
        start = time.monotonic()
        with pytest.raises(StoreError, match="does not answer"):
            store.listing()
        assert time.monotonic() - start < 30


def test_service_that_is_not_there_is_told_without_the_query_of_its_address(connect: Connect) -> None:
    with Proxy(1) as closed:
        free = closed.port
    store = connect(free)
    store._files._patience = 0.5  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match="does not answer") as told:
        store.listing()
    assert "?" not in str(told.value)


# ---- what no waiting mends


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (403, "InvalidAccessKeyId", "refuses access .* set AWS_PROFILE"),
        (403, "SignatureDoesNotMatch", "refuses access .* set AWS_PROFILE"),
        (403, "AccessDenied", "with the right to list, read, write and delete there"),
        (404, "NoSuchBucket", "is in a bucket that does not exist .* make the bucket"),
        (400, "AuthorizationHeaderMalformed", "is in another region .* set AWS_DEFAULT_REGION"),
    ],
)
@pytest.mark.parametrize("ask", [Store.listing, lambda store: store.check_writable("token")], ids=["plan", "write"])
def test_trouble_that_stays_is_told_at_once_with_its_remedy(
    connect: Connect, *, status: int, code: str, remedy: str, ask: Callable[[Store], object]
) -> None:
    with answering(status, code) as (wrong, asked):
        store = connect(wrong)
        with pytest.raises(StoreError, match=remedy) as told:
            ask(store)
        assert len(asked) <= 2
    assert "\n" not in str(told.value)
    assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in str(told.value)
    assert ENVIRONMENT["AWS_ACCESS_KEY_ID"] not in str(told.value)


def test_bucket_that_is_missing_is_told_by_the_listing_and_before_writing(connect: Connect, port: int) -> None:
    connect(port)
    store = Store("s3://no-such-bucket/sweep")
    with pytest.raises(StoreError, match="bucket that does not exist"):
        store.listing()
    with pytest.raises(StoreError, match="bucket that does not exist"):
        store.check_writable("token")


def test_credentials_that_are_absent_are_told_with_where_they_are_looked_for(
    connect: Connect, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    store = connect(port)
    with pytest.raises(StoreError, match=r"wants credentials, and none are usable \(.*\): set AWS_PROFILE"):
        store.listing()


# ---- few requests


def test_listing_of_many_runs_takes_a_request_for_a_thousand_files(connect: Connect, port: int) -> None:
    through = connect(port)
    for seed in range(40):
        through.commit(tiny_donor(seed=seed), small_record(tiny_donor(seed=seed)), {"a": b"1", "b": b"2"})
    with answering(500, "unused", times=0, then=port) as (counting, asked):
        store = connect(counting)
        assert len(store.finished()) == 40
        assert asked == ["GET"]


def test_record_on_s3_is_read_by_one_request(connect: Connect, port: int) -> None:
    connect(port).commit(tiny_donor(), small_record(tiny_donor()), {})
    with answering(500, "unused", times=0, then=port) as (counting, asked):
        assert connect(counting).record(tiny_donor()) == small_record(tiny_donor())
        assert asked == ["GET"]


# ---- what `verify` asks of a file system


def test_folder_of_a_run_moves_with_all_its_files(s3: Store) -> None:
    s3.commit(tiny_donor(), small_record(tiny_donor()), {"weights.safetensors": b"weights"})
    files, folder = opened_files(URL), s3.folder(tiny_donor())
    names = {each.name for each in files.entries(folder)}
    files.move(folder, joined(files.root, "damaged", "a-run"))
    assert s3.finished() == frozenset()
    assert {each.name for each in files.entries(joined(files.root, "damaged", "a-run"))} == names
    assert s3.commit(tiny_donor(), small_record(tiny_donor()), {})


@pytest.mark.parametrize("num_bytes", [0, 1, 9, 10, 11])
def test_file_is_read_in_blocks(s3: Store, num_bytes: int) -> None:
    files = opened_files(URL)
    path = joined(files.root, "file")
    files.replace(path, bytes(range(num_bytes)))
    found = list(files.blocks(path, num_bytes=5))
    assert b"".join(found) == bytes(range(num_bytes))
    assert all(len(block) <= 5 for block in found)


def test_junk_beside_heartbeats_checkpoints_and_records_is_passed_over(s3: Store) -> None:
    files = opened_files(URL)
    for name in ("running/p.json", "checkpoints/p.json"):
        files.replace(joined(files.root, name), b"{}")
    s3.commit(tiny_donor(), small_record(tiny_donor()), {})
    files.replace(joined(s3.folder(tiny_donor()), "record.json"), b"")
    assert (s3.heartbeats(), s3.checkpoints()) == ((), ())
    listing = s3.listing()
    assert (listing.finished, list(listing.damaged)) == ({}, [run_id(tiny_donor())])


@pytest.mark.parametrize(
    "key",
    [
        "sweep/", "sweep/runs/", "sweep//double", "sweep/runs//double/record.json", "sweep/runs/../up/record.json",
        "sweep/runs/./dot/record.json", "sweep/checkpoints//x.json", "sweep/running/../x.json", "sweep/runs/a\tb/x",
    ],
)  # fmt: skip
def test_object_with_a_key_that_is_no_path_stops_no_listing(s3: Store, port: int, key: str) -> None:
    spec = tiny_donor()
    assert s3.commit(spec, small_record(spec), {"weights.safetensors": b"bits"})
    put_object(port, key, b"x")
    assert run_id(spec) in s3.finished()
    assert s3.record(spec).measurements == small_record(spec).measurements
    assert {entry.name for entry in s3.tree("runs")} >= {"record.json"}
    assert (s3.heartbeats(), s3.checkpoints()) == ((), ())
    assert s3.check_writable("token") == f"{URL} can be written"
