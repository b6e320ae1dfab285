"""The runs of a store, from one listing of its files' names and times."""

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from subind.store.files import Files, joined

RECORD_FILE = "record.json"
FAILURE_FILE = "failure.json"

_STAMPS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "updated", "mtime", "created")
"""What fsspec's file systems say of a file that changes when it is written anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The runs of a store by id: the finished, each with a stamp of its record's file, and the failed.

    A stamp changes when the file is rewritten; it is empty if the file system reports nothing that does. `damaged`
    has by run what is in the record's place without being a file; such a run is not finished.
    """

    finished: Mapping[str, str]
    failed: frozenset[str]
    damaged: Mapping[str, str] = field(default_factory=dict)


def local_listing(folder: str) -> Listing:
    """The runs in `folder`/<stage>/<slug>-<id>/, a folder of this machine; a record's stamp is its time and size."""
    finished: dict[str, str] = {}
    damaged: dict[str, str] = {}
    failed: list[str] = []
    for stage in _entries(folder):
        for entry in _entries(stage.path):
            run, path = _run(entry.name), f"{entry.path}/{RECORD_FILE}"
            try:
                found = os.stat(path)  # noqa: PTH116  a Path for each of 100,000 runs is slow
                if stat.S_ISREG(found.st_mode) and found.st_size:
                    finished[run] = f"{found.st_mtime_ns}-{found.st_size}"
                else:
                    damaged[run] = _told_damaged(path, found)
            except (FileNotFoundError, NotADirectoryError):
                if Path(path).is_symlink():
                    damaged[run] = _told_damaged(path, None)
                elif Path(entry.path, FAILURE_FILE).exists():
                    failed.append(run)
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                damaged[run] = _told_damaged(path, None)
    return Listing(finished=finished, failed=frozenset(failed).difference(finished), damaged=damaged)


def _told_damaged(path: str, found: os.stat_result | None) -> str:
    if found is None:
        return f"{path} is a link that leads nowhere"
    return f"{path} is empty" if stat.S_ISREG(found.st_mode) else f"{path} is no file"


def remote_listing(found: Mapping[str, Mapping[str, Any]]) -> Listing:
    """The same of what an fsspec file system tells of all files; a stamp is what it tells of the record's file."""
    finished: dict[str, str] = {}
    damaged: dict[str, str] = {}
    failed: list[str] = []
    for path, about in found.items():
        run_folder, _, file = str(path).rpartition("/")
        if file == RECORD_FILE and about.get("size") == 0:
            damaged[_run(run_folder)] = f"{path} is empty"
        elif file == RECORD_FILE:
            finished[_run(run_folder)] = _stamp(about)
        elif file == FAILURE_FILE:
            failed.append(_run(run_folder))
    return Listing(finished=finished, failed=frozenset(failed).difference(finished, damaged), damaged=damaged)


def listing_of_folders(files: Files, folders: Mapping[str, str]) -> Listing:
    """The runs of a few folders, given by run id, without stamps. Raises OSError if the store does not answer."""
    finished = _with_file(files, folders, RECORD_FILE)
    failed = _with_file(files, {run: folders[run] for run in folders.keys() - finished}, FAILURE_FILE)
    return Listing(finished=dict.fromkeys(finished, ""), failed=failed)


def _with_file(files: Files, folders: Mapping[str, str], name: str) -> frozenset[str]:
    contents = files.contents((joined(folder, name) for folder in folders.values()), most=0)
    return frozenset(run for run, content in zip(folders, contents, strict=True) if _is_there(content))


def _is_there(content: bytes | OSError) -> bool:
    """Whether a file is there, by what reading it has given. Raises the error where it does not tell."""
    if isinstance(content, FileNotFoundError | NotADirectoryError):
        return False
    if isinstance(content, OSError):
        raise content
    return True


def _entries(folder: str) -> Iterable[os.DirEntry[str]]:
    return os.scandir(folder) if Path(folder).is_dir() else ()


def _run(folder: str) -> str:
    return folder.rpartition("-")[2]


def _stamp(about: Mapping[str, Any]) -> str:
    found = [str(about[name]) for name in _STAMPS if about.get(name) is not None]
    return "-".join([*found, str(about.get("size"))]) if found else ""
