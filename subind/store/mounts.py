"""Which folders several machines may share: those on a network file system."""

import os
from collections.abc import Iterable

NETWORK_TYPES = frozenset(
    {
        "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "gpfs", "lustre", "mmfs", "ncpfs", "nfs", "nfs3",
        "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "quobyte", "smb2", "smb3", "smbfs", "weka", "wekafs",
    }
)  # fmt: skip
"""Types of file systems that are made for several machines. EFS and Filestore are NFS."""

LOCAL_FUSE = frozenset({"encfs", "fuse-overlayfs", "gvfsd-fuse", "lxcfs", "mergerfs", "ntfs-3g", "portal", "snapfuse"})
"""What FUSE shows of this machine itself; all else that it shows, such as sshfs or gcsfuse, is taken for shared."""

Mount = tuple[str, str]
"""Where a file system is mounted, and its type."""


def network_file_system(folder: str) -> str:
    """The type of the network file system that the folder is on, there or not yet; empty if it is on none."""
    kind = mounted_type(os.path.realpath(folder), _mounts())
    return kind if is_network_type(kind) else ""


def mounted_type(folder: str, mounts: Iterable[Mount]) -> str:
    """The type of the file system that a folder is on: of the mounts above it the nearest, and of equal ones the last.

    `folder` is absolute and without links. An empty text if it is on none.
    """
    nearest, found = -1, ""
    for point, kind in mounts:
        above = point.rstrip("/")
        if len(above) >= nearest and (folder == above or folder.startswith(f"{above}/")):
            nearest, found = len(above), kind
    return found


def is_network_type(kind: str) -> bool:
    """Whether several machines may mount a file system of the type."""
    name, _, program = kind.lower().partition(".")
    if name == "fuse" and program:
        return program not in LOCAL_FUSE
    return name in NETWORK_TYPES


def _mounts() -> list[Mount]:
    import psutil

    return [(each.mountpoint, each.fstype) for each in psutil.disk_partitions(all=True)]
