"""How many packs train at once, and what Ray reserves for each."""

import pytest

from sweeps.hosts.workers import Workers, available_workers
from sweeps.running.driver import placed, resources


def test_pack_on_a_cpu_reserves_a_core() -> None:
    assert resources(Workers(device="cpu", num_workers=2)) == {"cpu": 1, "gpu": 0}


@pytest.mark.parametrize("sharing", [1, 2, 3, 4])
def test_packs_that_share_a_gpu_reserve_no_more_than_all_of_it(sharing: int) -> None:
    reserved = resources(Workers(device="cuda", num_workers=1).shared(sharing))["gpu"]
    assert 1 / sharing - 1e-4 < reserved <= 1 / sharing


def test_sharing_multiplies_the_packs_at_once() -> None:
    shared = Workers(device="cuda", num_workers=8).shared(3)
    assert (shared.num_workers, shared.sharing) == (24, 3)


def test_workers_of_this_machine_know_what_memory_is_free() -> None:
    assert 1e6 < available_workers("cpu").free_bytes < 1e15


def test_pack_that_avoids_nothing_may_train_anywhere() -> None:
    request = placed(Workers(device="cpu", num_workers=2))({"avoid": []})
    assert request.bundles == [{"CPU": 1.0}]
    assert "label" not in repr(request)


def test_pack_that_avoids_nodes_is_placed_by_their_labels() -> None:
    request = placed(Workers(device="cuda", num_workers=1).shared(2))({"avoid": ["a", "b"]})
    assert request.bundles == [{"CPU": 1.0, "GPU": 0.5}]
    assert request._kwargs == {"bundle_label_selector": [{"ray.io/node-id": "!in(a,b)"}]}
