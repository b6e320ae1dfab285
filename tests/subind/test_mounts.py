"""Which folders are on a network file system, by tables of mounts as machines have them."""

import os
from pathlib import Path

import pytest

from subind.store.mounts import is_network_type, mounted_type, network_file_system
from subind.store.store import Store

MOUNTS = [
    ("/", "ext4"),
    ("/mnt", "autofs"),
    ("/mnt", "nfs4"),
    ("/mnt/disk", "xfs"),
    ("/data", "lustre"),
    ("/home", "fuse.sshfs"),
    ("/run/media", "fuseblk"),
]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/store", "ext4"),
        ("/", "ext4"),
        ("/mnt", "nfs4"),
        ("/mnt/store/runs", "nfs4"),
        ("/mnt/disk/store", "xfs"),
        ("/mnt/diskette", "nfs4"),
        ("/database", "ext4"),
        ("/data/store", "lustre"),
        ("/home/a/store", "fuse.sshfs"),
        ("/run/media/a", "fuseblk"),
    ],
)
def test_type_of_a_folder_is_that_of_the_nearest_and_last_mount_above_it(folder: str, kind: str) -> None:
    assert mounted_type(folder, MOUNTS) == kind


def test_type_of_a_folder_does_not_depend_on_the_order_of_other_mounts() -> None:
    assert mounted_type("/mnt/disk/store", [*MOUNTS[3:], *MOUNTS[:3]]) == "xfs"


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "lustre", "gpfs", "beegfs", "fuse.gcsfuse", "fuse.sshfs", "NFS", "glusterfs"]
)
def test_type_that_several_machines_mount_is_of_the_network(kind: str) -> None:
    assert is_network_type(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs", "overlay", "apfs", "fuseblk", "fuse.lxcfs", "autofs", ""])
def test_type_of_one_machine_is_not_of_the_network(kind: str) -> None:
    assert not is_network_type(kind)


def test_folder_of_this_machine_is_on_no_network_whether_it_is_there_or_not(tmp_path: Path) -> None:
    assert network_file_system(str(tmp_path / "not" / "yet")) == ""
    assert not Store(str(tmp_path)).is_shared()


def test_folder_behind_a_link_is_where_the_link_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    import psutil

    partition = namedtuple("partition", ["mountpoint", "fstype"])
    real = os.path.realpath(tmp_path / "shared")
    Path(tmp_path / "link").symlink_to(real)
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [partition("/", "ext4"), partition(real, "nfs4")])
    assert network_file_system(str(tmp_path / "link" / "store")) == "nfs4"
    assert Store(str(tmp_path / "link" / "store")).is_shared()
    assert not Store(str(tmp_path / "other")).is_shared()


def test_store_at_a_url_is_shared() -> None:
    assert Store("memory://sweep").is_shared()
