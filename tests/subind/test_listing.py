"""The listing of a store: what has ended, and stamps that tell a record that was written anew."""

import os
from pathlib import Path

import pytest

from subind.identity.run_ids import run_id
from subind.store.store import Store, opened_files
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind.records import small_failure, small_record


def test_listing_parts_finished_from_failed_runs(store: Store) -> None:
    for spec in (tiny_donor(), tiny_mask()):
        store.commit(spec, small_record(spec), {"file.bin": b"bytes"})
    store.fail(tiny_transfer(), small_failure(tiny_transfer()))
    found = store.listing()
    assert found.finished.keys() == {run_id(tiny_donor()), run_id(tiny_mask())}
    assert found.failed == {run_id(tiny_transfer())}


def test_listing_gives_an_untouched_record_the_same_stamp(store: Store) -> None:
    store.commit(tiny_donor(), small_record(tiny_donor()), {})
    first = store.listing()
    store.commit(tiny_mask(), small_record(tiny_mask()), {})
    assert store.listing().finished[run_id(tiny_donor())] == first.finished[run_id(tiny_donor())] != ""


def test_listing_gives_a_record_written_anew_another_stamp(store: Store) -> None:
    spec = tiny_donor()
    store.commit(spec, small_record(spec), {})
    path, before = f"{store.folder(spec)}/record.json", store.listing()
    content = store._files.fs.cat_file(path)
    store._files.fs.rm_file(path)
    store._files.fs.pipe_file(path, content)
    if store.is_local:
        os.utime(path, ns=(1, 2))
    assert store.listing().finished[run_id(spec)] != before.finished[run_id(spec)]


def test_listing_passes_over_what_is_no_folder_of_a_run(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    store.commit(tiny_donor(), small_record(tiny_donor()), {})
    Path(store.url, "runs", "donor", ".DS_Store").write_bytes(b"")
    Path(store.url, "runs", "notes.txt").write_text("three donors are missing")
    Path(store.url, "runs", "donor", "layers2-seed9-0123456789abcdef").mkdir()
    found = store.listing()
    assert (found.finished.keys(), found.failed) == ({run_id(tiny_donor())}, frozenset())


def test_listing_of_a_few_runs_tells_their_states_and_no_others(store: Store) -> None:
    for spec in (tiny_donor(), tiny_mask()):
        store.commit(spec, small_record(spec), {})
    store.fail(tiny_transfer(), small_failure(tiny_transfer()))
    found = store.listing_of([tiny_mask(), tiny_transfer(), tiny_mask(seed=9)])
    assert found.finished.keys() == {run_id(tiny_mask())}
    assert found.failed == {run_id(tiny_transfer())}


@pytest.mark.skipif(not Path("/proc/self/mem").is_file(), reason="there is no /proc/self/mem, which no read can begin")
def test_file_that_its_disk_cannot_read_is_told_with_the_remedy() -> None:
    files = opened_files("/proc/self")
    with pytest.raises(ValueError, match=r"/proc/self/mem cannot be read from its disk .* move it away"):
        files.read("/proc/self/mem")
    with pytest.raises(ValueError, match="cannot be read from its disk"):
        list(files.blocks("/proc/self/mem", num_bytes=10))
