"""`subind verify`: every damage to weights and masks is found, what depends on it is told, and repair loses nothing."""

import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from subind.identity.run_ids import run_id
from subind.store.store import Store
from sweeps.cli import verify as verify_module
from sweeps.store_care.verify import Place, Progress, Verified, places_in, repaired, verify, weights_in
from tests.subind.records import small_failure, small_record
from tests.sweeps.conftest import Call
from tests.sweeps.damages import STAND_INS, damage
from tests.sweeps.fabricated_grid import donor, exportable_record, mask, transfers, written_grid

WEIGHTS = bytes(range(256)) * 100


@pytest.fixture
def grid(tmp_path: Path) -> str:
    return written_grid(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Both donors and masks with their files, and one transfer of each seed."""
    made = Store(str(tmp_path / "store"))
    for seed in (0, 1):
        made.commit(donor(seed), exportable_record(donor(seed)), {"weights.safetensors": WEIGHTS + bytes([seed])})
        made.commit(mask(seed), exportable_record(mask(seed)), {"mask.safetensors": b"bits" * 50 + bytes([seed])})
        made.commit(transfers(seed)[0], exportable_record(transfers(seed)[0]), {})
    return made


def _artifact(store: Store, seed: int) -> Path:
    (found,) = Path(store.folder(mask(seed))).glob("mask-*.safetensors")
    return found


def _everything(store: Store, *, scope: str = "all") -> Verified:
    return verify(store, places_in(store), weights_in(store), scope=scope)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_verify_of_a_sound_store_finds_nothing(subind: Call, store: Store, grid: str) -> None:
    store.add_weights(WEIGHTS)
    before = _contents(Path(store.url))
    assert subind("verify", grid)[:2] == (0, "6 finished runs and 4 files verified: nothing damaged\n")
    assert subind("verify", "--all")[:2] == (0, "6 finished runs and 5 files verified: nothing damaged\n")
    assert _contents(Path(store.url)) == before


@pytest.mark.parametrize("stand_in", STAND_INS)
def test_every_damage_to_a_mask_is_found_and_no_other(subind: Call, store: Store, grid: str, stand_in: str) -> None:
    path = _artifact(store, 0)
    damage(path, stand_in)
    status, out, _ = subind("verify", grid, "--json")
    (found,) = json.loads(out)["damaged"]
    assert status == 1
    assert (found["kind"], found["path"], found["run_id"]) == ("artifact", str(path), run_id(mask(0)))
    assert found["finished_below"] == [run_id(transfers(0)[0])]
    assert found["missing_below"] == [run_id(transfers(0)[2])]


@pytest.mark.parametrize("stand_in", STAND_INS)
def test_every_damage_to_a_record_is_found(subind: Call, store: Store, grid: str, stand_in: str) -> None:
    path = Path(store.folder(transfers(1)[0]), "record.json")
    damage(path, stand_in)
    status, out, _ = subind("verify", grid, "--json")
    found = json.loads(out)["damaged"]
    if stand_in == "nothing":  # a run without a record is not finished
        assert (status, found) == (0, [])
    else:
        assert status == 1
        assert [(each["kind"], each["run_id"]) for each in found] == [("record", run_id(transfers(1)[0]))]


def test_one_bit_is_found_in_weights_of_the_same_size_and_time(subind: Call, store: Store) -> None:
    (path,) = Path(store.folder(donor(1))).glob("weights-*")
    about, content = path.stat(), bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    status, out, _ = subind("verify", "--all")
    assert status == 1
    assert f"donor {run_id(donor(1))}: {path}: its checksum differs" in out
    assert "2 finished runs descend from it and stay valid" in out


def test_damaged_imported_weights_are_found_and_are_to_be_imported_again(subind: Call, store: Store) -> None:
    digest = store.add_weights(WEIGHTS)
    path = Path(store.url, "weights", f"{digest}.safetensors")
    path.write_bytes(WEIGHTS[:-1])
    store.name_weights("resnet18-f37072fd", "0" * 64)
    status, out, _ = subind("verify", "--all", "--repair")
    assert status == 1
    assert "imported weights" in out
    assert "names weights that are not there" in out
    assert "import the file again" in out
    assert not path.exists()


def test_repair_sets_the_damaged_run_back_to_missing_and_touches_nothing_else(
    subind: Call, store: Store, grid: str
) -> None:
    _artifact(store, 0).write_bytes(b"")
    before = _contents(Path(store.url, "runs"))
    planned = json.loads(subind("plan", grid, "--device", "cpu", "--json")[1])
    assert (planned["failed"], list(planned["damaged"])) == (1, [run_id(mask(0))])
    status, out, _ = subind("verify", grid, "--repair")
    assert status == 0
    assert "the next run computes it again" in out
    planned = json.loads(subind("plan", grid, "--device", "cpu", "--json")[1])
    assert (planned["finished"], planned["failed"], planned["blocked"], planned["missing"]) == (5, 0, 0, 7)
    after = _contents(Path(store.url, "runs"))
    own = Path(store.folder(mask(0))).relative_to(Path(store.url, "runs"))
    assert after == {path: content for path, content in before.items() if not path.startswith(f"{own}/")}
    moved = set(_contents(Path(store.url, "damaged")).values())
    assert moved == {content for path, content in before.items() if path.startswith(f"{own}/")}
    assert store.commit(mask(0), exportable_record(mask(0)), {"mask.safetensors": b"bits"})
    assert subind("verify", grid)[0] == 0


def test_repair_forgives_failures_that_name_the_damaged_file_and_no_others(
    subind: Call, store: Store, grid: str
) -> None:
    path = _artifact(store, 0)
    path.write_bytes(path.read_bytes()[::-1])
    caused, other = transfers(0)[2], transfers(1)[2]
    store.fail(caused, small_failure(caused, message=f"{path} is damaged (its checksum differs)"))
    store.fail(other, small_failure(other))
    assert subind("verify", grid, "--repair")[0] == 0
    assert store.failed() == {run_id(other)}


@pytest.mark.parametrize("stand_in", [each for each in STAND_INS if each != "nothing"])
def test_repair_removes_whatever_stands_in_a_records_place(
    subind: Call, store: Store, grid: str, stand_in: str
) -> None:
    damage(Path(store.folder(mask(1)), "record.json"), stand_in)
    assert subind("verify", grid, "--repair")[0] == 0
    assert store.commit(mask(1), exportable_record(mask(1)), {})
    assert subind("verify", grid)[0] == 0


def test_plan_status_and_why_name_a_parent_of_the_wrong_size_with_its_remedy(
    subind: Call, store: Store, grid: str
) -> None:
    path = _artifact(store, 0)
    path.write_bytes(b"bits")
    told = {
        "plan": subind("plan", grid, "--device", "cpu")[2],
        "status": subind("status", grid)[1],
        "why": subind("why", run_id(mask(0)), grid)[1],
    }
    for command, text in told.items():
        assert f"{path} has 4 bytes, and 201 were committed" in text, command
        assert "subind verify --all --repair" in text, command


def test_parent_that_nothing_missing_needs_stays_finished(subind: Call, store: Store, grid: str) -> None:
    for spec in transfers(0)[1:]:
        store.commit(spec, exportable_record(spec), {})
    _artifact(store, 0).unlink()
    planned = json.loads(subind("plan", grid, "--device", "cpu", "--json")[1])
    assert (planned["failed"], planned["blocked"]) == (0, 0)


def test_nothing_chosen_is_refused(subind: Call, store: Store, grid: str) -> None:
    assert subind("verify")[0] == 2
    assert subind("verify", grid, "--all")[0] == 2


# ---- on any file system


@pytest.fixture(params=["local", "memory"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = str(tmp_path / "either") if request.param == "local" else f"memory://{tmp_path.name}"
    made = Store(url)
    for seed in range(3):
        made.commit(donor(seed), exportable_record(donor(seed)), {"weights.safetensors": WEIGHTS + bytes([seed])})
    yield made
    if request.param == "memory":
        made._files.fs.rm(made._root, recursive=True)


def _weights_path(store: Store, seed: int) -> str:
    (found,) = [each for each in store._files.paths(store.folder(donor(seed))) if "weights-" in each]
    return found


def test_damage_is_found_and_repaired_on_any_file_system(either: Store) -> None:
    either._files.replace(_weights_path(either, 1), WEIGHTS + b"x")
    found = _everything(either)
    assert [each.run for each in found.damages] == [run_id(donor(1))]
    assert len(list(repaired(either, found.damages))) == 1
    assert either.finished() == {run_id(donor(0)), run_id(donor(2))}
    assert _everything(either).damages == ()


def test_interrupted_verification_goes_on_where_it_was(either: Store) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.num_bytes > 1.5 * len(WEIGHTS):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(either, places_in(either), [], scope="all", tell=interrupt)
    again = _everything(either)
    assert (again.num_skipped, again.num_files, again.damages) == (1, 3, ())
    assert _everything(either).num_skipped == 0  # one that has ended leaves nothing to skip


def test_file_that_was_written_since_an_interruption_is_read_again(either: Store) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.num_bytes > 1.5 * len(WEIGHTS):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(either, places_in(either), [], scope="all", tell=interrupt)
    for seed in range(3):
        either._files.replace(_weights_path(either, seed), WEIGHTS + b"x")
    assert len(_everything(either).damages) == 3


def test_repair_leaves_alone_what_was_mended_since(either: Store) -> None:
    path = _weights_path(either, 1)
    whole = either._files.read(path)
    either._files.replace(path, b"broken")
    found = _everything(either)
    either._files.replace(path, whole)
    assert list(repaired(either, found.damages)) == []
    assert run_id(donor(1)) in either.finished()


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    store.commit(donor(0), small_record(donor(0)), {"weights.safetensors": bytes(120_000_000)})
    place = Place(run=run_id(donor(0)), stage="donor", folder=store.folder(donor(0)))
    tracemalloc.start()
    found = verify(store, [place], [], scope="one")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.num_bytes == 120_000_000
    assert peak < 40_000_000


def test_verification_that_takes_long_tells_how_far_it_is(
    subind: Call, store: Store, grid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_module, "SECONDS_IN_SILENCE", 0.0)
    assert "verified the records of 1 of 6 runs" in subind("verify", grid)[2]
