"""Which photographs a run is on belongs to its id, and a run on others than its id says is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from subind.identity.run_ids import decode, encoded, run_id
from subind.specs.images import ImageNet16Task
from subind.specs.run import Run, lineage
from subind.store.store import Store
from subind.tasks import images
from subind.tasks.photographs.folder import fingerprints
from sweeps.grids import read_grid
from sweeps.inputs import photographs, preflight
from sweeps.planning.plan import Plan
from sweeps.planning.request import Request, accounted
from tests.photograph_specs import NUM_CONFLICT, TASK, write_coloured_folder, write_folder
from tests.sweeps.conftest import Call

GRID = """
from tests.photograph_specs import photograph_donor, photograph_transfer


def grid():
    return photograph_transfer(), photograph_transfer("random_init"), photograph_donor(num_epochs=0)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with as many images of the same names and sizes, and other pixels."""
    return write_coloured_folder(tmp_path_factory.mktemp("others"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def grid(tmp_path: Path) -> str:
    path = tmp_path / "pictured.py"
    path.write_text(GRID)
    return str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """A folder of images, one of others, and a copy of the first that a test may change."""

    first: Path
    other: Path
    copy: Path

    def replace_part(self, part: str) -> None:
        """Give the copy a part of the other folder."""
        shutil.rmtree(self.copy / part)
        shutil.copytree(self.other / part, self.copy / part)


@pytest.fixture
def folders(folder: Path, other: Path, copy: Path) -> Folders:
    return Folders(first=folder, other=other, copy=copy)


def planned(grid: str, store: Store, images: Path | str = "") -> Plan:
    return accounted(Request(grid=read_grid(grid), where=(), store=store.url, images=str(images)), store)


def parts(folder: Path) -> tuple[str, ...]:
    return tuple(fingerprints(str(folder)).values())


# ---- ids


def test_runs_on_two_folders_of_other_pixels_share_no_id(folder: Path, other: Path, grid: str, store: Store) -> None:
    first, second = planned(grid, store, folder), planned(grid, store, other)
    assert len(first.runs) == len(second.runs) == 5
    assert first.runs.keys().isdisjoint(second.runs)


@pytest.mark.parametrize("part", ["photographs", "mean-pooled", "cue-conflict"])
def test_runs_on_a_folder_of_which_one_part_is_another_share_no_id(
    part: str, folders: Folders, grid: str, store: Store
) -> None:
    folders.replace_part(part)
    assert sum(one != two for one, two in zip(parts(folders.copy), parts(folders.first), strict=True)) == 1
    first, second = planned(grid, store, folders.first), planned(grid, store, folders.copy)
    assert first.runs.keys().isdisjoint(second.runs)


def test_runs_on_a_copy_of_the_images_have_the_same_ids(copy: Path, folder: Path, grid: str, store: Store) -> None:
    assert planned(grid, store, copy).runs == planned(grid, store, folder).runs


def test_one_changed_pixel_of_a_cue_conflict_image_changes_the_folder(copy: Path, folder: Path) -> None:
    path = min((copy / "cue-conflict").rglob("*.png"))
    shutil.copy(max((copy / "cue-conflict").rglob("*.png")), path)
    assert parts(copy)[2] != parts(folder)[2]
    assert parts(copy)[:2] == parts(folder)[:2]


def test_spec_of_named_images_is_read_back_from_its_record(folder: Path, grid: str, store: Store) -> None:
    for run, spec in planned(grid, store, folder).runs.items():
        assert decode(encoded(spec)) == spec
        assert run_id(spec) == run


def test_run_and_all_that_it_descends_from_name_the_same_images(folder: Path, grid: str, store: Store) -> None:
    def named(spec: Run) -> str:
        task = getattr(spec, "task", None) or getattr(spec, "subtask", None)
        assert isinstance(task, ImageNet16Task)
        return task.photographs

    for spec in planned(grid, store, folder).runs.values():
        assert {named(each) for each in lineage(spec)} == {parts(folder)[0]}


def test_task_that_names_a_part_of_its_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ImageNet16Task\.mean_pooled is '': give the 16 hexadecimal digits"):
        replace(TASK, photographs="0" * 16)


# ---- without the folder


def test_plan_without_a_folder_says_that_it_needs_one(grid: str, subind: Call) -> None:
    status, out, err = subind("plan", grid, "--device", "cpu")
    assert status == 0
    assert "5 runs in" in out
    assert "give --images FOLDER" in err
    assert len(err.splitlines()) == 1


def test_plan_with_a_folder_says_nothing_of_it(grid: str, folder: Path, subind: Call) -> None:
    status, _, err = subind("plan", grid, "--device", "cpu", "--images", str(folder))
    assert (status, err) == (0, "")


def test_store_remembers_the_images_of_its_last_sweep(folder: Path, grid: str, store: Store) -> None:
    unnamed = planned(grid, store)
    swept = planned(grid, store, folder)
    assert photographs.remember(swept.runs.values(), store, str(folder)) == ""
    assert planned(grid, store).runs == swept.runs != unnamed.runs


def test_sweep_on_other_images_than_the_last_is_told(folder: Path, other: Path, grid: str, store: Store) -> None:
    photographs.remember(planned(grid, store, folder).runs.values(), store, str(folder))
    told = photographs.remember(planned(grid, store, other).runs.values(), store, str(other))
    assert "other images than the store's last sweep (photographs, mean_pooled, cue_conflict)" in told
    assert planned(grid, store).runs == planned(grid, store, other).runs


@pytest.mark.parametrize("content", ["{", "[]", '{"photographs": 1, "mean_pooled": "", "cue_conflict": ""}'])
def test_damaged_memory_of_images_is_told_with_its_remedy(content: str, grid: str, store: Store) -> None:
    Path(store.url).mkdir()
    (Path(store.url) / photographs.FILE).write_text(content)
    with pytest.raises(ValueError, match=r"images\.json .*: remove it, and run the grid with --images"):
        planned(grid, store)


# ---- the images that are read are those of the id


def test_run_on_other_images_than_its_id_says_is_refused(folder: Path, other: Path, grid: str, store: Store) -> None:
    found = planned(grid, store, folder)
    preflight.check_images(found.to_compute, str(folder))
    with pytest.raises(ValueError, match=r"ImageNet16Task\.photographs is .* give --images with the images"):
        preflight.check_images(found.to_compute, str(other))


@pytest.mark.parametrize(
    ("part", "read"),
    [
        ("photographs", lambda task, folder: images.training_images(task, "original", 30, folder=folder)),
        ("mean-pooled", lambda task, folder: images.images(task, "test", "mean_pooled", 5, folder=folder)),
        ("cue-conflict", lambda task, folder: images.conflict_images(task, NUM_CONFLICT, folder=folder)),
    ],
)
def test_worker_reads_no_other_images_than_its_task_names(
    part: str, read: Callable[..., object], folders: Folders
) -> None:
    task = replace(TASK, **fingerprints(str(folders.first)))  # type: ignore[arg-type]
    read(task, str(folders.first))
    folders.replace_part(part)
    with pytest.raises(ValueError, match=rf"ImageNet16Task\.{part.replace('-', '_')} is"):
        read(task, str(folders.copy))


@pytest.mark.parametrize("endings", [("json", "bin"), ("bin",), ("json",)], ids=["shard", "pixels", "description"])
def test_cache_with_a_shard_of_another_is_refused(
    endings: tuple[str, ...], folders: Folders, grid: str, store: Store
) -> None:
    found, copy = planned(grid, store, folders.copy), folders.copy
    for ending in endings:
        shutil.copy(folders.other / "photographs" / f"shard-00000.{ending}", copy / "photographs")
    with pytest.raises(ValueError, match="make it with `subind data imagenet16"):
        preflight.check_images(found.to_compute, str(copy))


def test_cache_whose_fingerprint_was_edited_is_refused(copy: Path, grid: str, store: Store) -> None:
    path = copy / "photographs" / "cache.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fingerprint": "0" * 16}))
    with pytest.raises(ValueError, match="has shards of other images than it says"):
        preflight.check_images(planned(grid, store, copy).to_compute, str(copy))
