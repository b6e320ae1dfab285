"""The pictures of a store in MLflow after the store was moved or copied, or shares its database with another."""

import shutil
from pathlib import Path

import pytest

from subind.identity.run_ids import run_id
from subind.specs.runs import Discover
from subind.store.store import Store
from sweeps.mirror.mirror import Mirror, default_tracking_uri
from sweeps.mirror.tracker import artifact_location, find_artifacts_of_ui
from sweeps.mirror.ui import main_views
from tests.specs import tiny_mask, tiny_transfer
from tests.sweeps.fabricated import MASK_BITS, commit_fabricated


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one mask in MLflow."""
    found = Store(str(tmp_path / "first of 50%"))
    mirror(found, tiny_mask())
    return found


def mirror(store: Store, mask: Discover, *, grid: str = "grid", uri: str | None = None) -> None:
    """Finish a mask and mirror it."""
    commit_fabricated(store, [mask])
    outcome = Mirror(store, grid=grid, tracking_uri=uri).mirror([mask])
    assert (outcome.num_mirrored, outcome.error) == (1, "")


def bits(store: Store, mask: Discover, into: Path, *, grid: str = "grid") -> bytes:
    """The bits of a mask as MLflow on the store's own database gives them."""
    from mlflow import MlflowClient

    client = MlflowClient(default_tracking_uri(store))
    experiment = client.get_experiment_by_name(grid)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`subind.run_id` = '{run_id(mask)}'")
    return Path(client.download_artifacts(run.info.run_id, "mask.safetensors", str(into))).read_bytes()


def test_mirror_of_a_store_that_was_moved_twice_keeps_its_artifacts(store: Store, tmp_path: Path) -> None:
    for number, name in enumerate(("moved", "moved again"), start=1):
        store = Store(str(Path(store.url).rename(tmp_path / name)))
        mirror(store, tiny_mask(seed=number))
        assert [bits(store, tiny_mask(seed=seed), tmp_path) for seed in range(number + 1)] == [MASK_BITS] * (number + 1)


def test_copy_of_a_store_shows_its_own_artifacts(store: Store, tmp_path: Path) -> None:
    copied = Store(str(shutil.copytree(store.url, tmp_path / "copy")))
    mirror(copied, tiny_mask(seed=1))
    for bits_file in Path(store.url, "mlartifacts").rglob("mask.safetensors"):
        bits_file.write_bytes(b"of the first store")
    assert [bits(copied, tiny_mask(seed=seed), tmp_path) for seed in range(2)] == [MASK_BITS] * 2
    assert bits(store, tiny_mask(), tmp_path) == b"of the first store"


def test_ui_on_a_moved_store_finds_its_artifacts(store: Store, tmp_path: Path) -> None:
    moved = Store(str(Path(store.url).rename(tmp_path / "moved")))
    uri = default_tracking_uri(moved)
    find_artifacts_of_ui(uri, artifact_location(moved, uri))
    assert bits(moved, tiny_mask(), tmp_path) == MASK_BITS


def test_artifacts_of_another_store_in_the_same_database_stay_where_they_are(store: Store, tmp_path: Path) -> None:
    other = Store(str(tmp_path / "other"))
    mirror(other, tiny_mask(seed=7), grid="other", uri=default_tracking_uri(store))
    moved = Store(str(Path(store.url).rename(tmp_path / "moved")))
    mirror(moved, tiny_mask(seed=1))
    assert bits(moved, tiny_mask(seed=7), tmp_path, grid="other") == MASK_BITS


def test_ui_before_the_first_mirror_makes_no_database(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "new"))
    uri = default_tracking_uri(store)
    find_artifacts_of_ui(uri, artifact_location(store, uri))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("is_moved", [True, False])
def test_comparison_of_a_moved_or_copied_store_goes_on(tmp_path: Path, *, is_moved: bool) -> None:
    store = Store(str(tmp_path / "first"))
    planned = [tiny_transfer(control) for control in ("subnetwork", "random_init")]
    commit_fabricated(store, planned)
    assert Mirror(store, grid="grid").mirror(planned).error == ""
    place = tmp_path / "other"
    other = Store(str(Path(store.url).rename(place) if is_moved else shutil.copytree(store.url, place)))
    views_before = main_views(default_tracking_uri(other))
    mirror = Mirror(other, grid="grid")
    mirror.mirror(planned)
    assert mirror.compare(lambda _: None) == ""
    assert main_views(default_tracking_uri(other)) == views_before != {}
