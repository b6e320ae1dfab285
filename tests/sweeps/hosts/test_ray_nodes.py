"""Which nodes a sweep takes, from what they say of themselves; that they say it is seen in tests/end_to_end."""

import os
import re
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from subind.store import provenance
from subind.store.store import Store
from sweeps.hosts import ray_nodes
from sweeps.hosts.ray_nodes import Node, NodeFacts, mark, why_unseen
from sweeps.hosts.sources import check_sources, sources_digest
from sweeps.hosts.workers import Workers

GB = 10**9


def _node(*, num_cpus: int = 4, num_gpus: int = 0, **changes: object) -> Node:
    facts = NodeFacts(
        host="there",
        versions=provenance.code().versions,
        sources=sources_digest(),
        free_bytes=8 * GB,
        gpu_names=("NVIDIA L4",) * num_gpus,
        gpu_free_bytes=(22 * GB,) * num_gpus,
        store_error="",
    )
    return Node(id="abc", num_cpus=num_cpus, num_gpus=num_gpus, facts=replace(facts, **changes))


def test_node_of_the_drivers_code_is_taken() -> None:
    ray_nodes._check_code(_node())


@pytest.mark.parametrize("package", ["torch", "ray", "python", "numpy"])
def test_node_of_another_version_is_refused_with_both_versions(package: str) -> None:
    versions = {**provenance.code().versions, package: "0.1"}
    own = re.escape(provenance.code().versions[package])
    with pytest.raises(ValueError, match=f"node there has {package} 0.1 and the driver has {own}: install the same"):
        ray_nodes._check_code(_node(versions=versions))


def test_node_of_other_sources_is_refused() -> None:
    with pytest.raises(ValueError, match="node there has other sources of subind than the driver"):
        ray_nodes._check_code(_node(sources="0" * 64))


def test_node_that_does_not_see_the_store_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"node there does not share it .* on s3://, gs:// or a network file system"):
        ray_nodes._check_store(_node(store_error="what the driver writes there is not seen"), Store(str(tmp_path)))


def test_workers_of_cpu_nodes_are_their_cores_and_the_least_memory_of_one() -> None:
    found = ray_nodes._cpu_workers([_node(num_cpus=4), _node(num_cpus=8)])
    assert (found.num_workers, found.device, found.num_cores) == (12, "cpu", 12)
    assert found.free_bytes_of_one == GB


def test_workers_of_gpu_nodes_are_their_gpus_with_the_cores_beside_each() -> None:
    found = ray_nodes._gpu_workers([_node(num_gpus=1, num_cpus=8), _node(num_gpus=4, num_cpus=16)])
    assert (found.num_workers, found.device, found.name) == (5, "cuda", "NVIDIA L4")
    assert (found.free_bytes, found.num_cores) == (22 * GB, 20)


def test_gpus_of_several_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="GPUs of several kinds"):
        ray_nodes._gpu_workers([_node(num_gpus=1), _node(num_gpus=1, gpu_names=("NVIDIA H200",))])


def test_gpus_that_cannot_be_asked_are_refused() -> None:
    with pytest.raises(ValueError, match="nvidia-smi on node there does not list its GPUs"):
        ray_nodes._gpu_workers([_node(num_gpus=1, gpu_names=(), gpu_free_bytes=())])


def test_more_workers_keep_the_memory_and_the_cores_of_each() -> None:
    one = Workers(device="cpu", num_workers=2, free_bytes=6 * GB, num_cores=2)
    grown = one.of_number(10)
    assert (grown.num_workers, grown.num_cores) == (10, 10)
    assert grown.free_bytes_of_one == one.free_bytes_of_one


def test_node_with_the_same_store_sees_the_mark(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    with mark(store) as token:
        assert why_unseen(store.url, token) == ""
    assert why_unseen(store.url, token) == "what the driver writes there is not seen"
    assert list((tmp_path / "store").iterdir()) == []


def test_node_with_another_store_of_that_name_does_not_see_the_mark(tmp_path: Path) -> None:
    with mark(Store(str(tmp_path / "store"))) as token:
        assert why_unseen(str(tmp_path / "elsewhere"), token) == "what the driver writes there is not seen"


def test_node_that_cannot_open_the_store_says_why() -> None:
    assert "nosuch" in why_unseen("nosuch://bucket", "token")


def test_worker_of_other_sources_than_the_drivers_refuses_to_train() -> None:
    check_sources(sources_digest())
    with pytest.raises(ValueError, match=r"the sources of this node are .* bring the node to the driver's version"):
        check_sources("0" * 64)


NVIDIA_SMI = """#!/bin/sh
echo 'NVIDIA GB10, [N/A]'
echo 'NVIDIA L4, 1024'
"""


def test_card_that_shares_the_memory_of_its_host_has_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text(NVIDIA_SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (shared, shared_bytes), other = ray_nodes._cards()
    assert (shared, other) == ("NVIDIA GB10", ("NVIDIA L4", 2**30))
    assert 0 < shared_bytes <= psutil.virtual_memory().total
