"""The files of a store on S3, GCS or another file system of fsspec, over an unreliable network.

An object appears whole or not at all, and is created only where there is none by the service's own precondition
(`If-None-Match: *` on S3, `ifGenerationMatch=0` on GCS). Temporary errors are retried with growing pauses; permanent
ones, such as wrong credentials or a missing bucket, are reported at once. Listings are never cached.
"""

import os
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from subind.specs.quoting import quoted_path
from subind.store.errors import StoreError, meaning, shown, told
from subind.store.files import CLOCK_SECONDS, FileEntry

PATIENCE_SECONDS = 120.0
"""How long requests to a store that has answered before are retried."""

FIRST_PATIENCE_SECONDS = 20.0
"""The same for a store that has never answered: the address may be wrong, and somebody is waiting."""

INTERRUPTED_PATIENCE_SECONDS = 5.0
"""The same after a stop was requested."""

interruptions: list[Callable[[], bool]] = []
"""Says whether a stop was requested, where a signal raises no KeyboardInterrupt."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 15.0
"""Seconds between two attempts, at first and at most."""

NUM_READERS = 32
"""Files that are read at once: a record is a few kB, and nearly all of its time is the way there and back."""

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""The extra of this package that brings the file system of a URL's scheme."""

_TIMES = ("LastModified", "updated", "mtime", "last_modified", "modified", "created")
"""The keys under which file systems report a file's time."""

Result = TypeVar("Result")


class RemoteFiles:
    """Files of an fsspec file system that is no folder."""

    def __init__(self, url: str, *, patience_seconds: float = FIRST_PATIENCE_SECONDS) -> None:
        self.url = url
        self.fs, self.root = _opened(url)
        self._patience = patience_seconds
        self._ahead = 0.0
        self._asked = float("-inf")

    def read(self, path: str, *, most: int | None = None) -> bytes:
        if most is None:
            content: bytes = self._asked_for(self.fs.cat_file, path)
            return content
        try:
            beginning: bytes = self._asked_for(self.fs.cat_file, path, start=0, end=most + 1)
        except StoreError as error:
            if error.__cause__ is not None and meaning(error.__cause__) == "empty":  # it has not even a first byte
                return b""
            raise
        return beginning

    def blocks(self, path: str, *, num_bytes: int) -> Iterator[bytes]:
        start, size = 0, int(self._asked_for(self.fs.info, path)["size"])
        while start < size:
            block: bytes = self._asked_for(self.fs.cat_file, path, start=start, end=min(start + num_bytes, size))
            if not block:
                raise FileNotFoundError(f"{path} has become shorter while it was read")
            yield block
            start += len(block)

    def contents(self, paths: Iterable[str], *, most: int) -> Iterator[bytes | OSError]:
        def one(path: str) -> bytes | OSError:
            try:
                return self.read(path, most=most)
            except OSError as error:
                return error

        with ThreadPoolExecutor(NUM_READERS) as readers:
            ahead: deque[Future[bytes | OSError]] = deque()
            for path in paths:
                ahead.append(readers.submit(one, path))
                if len(ahead) > 2 * NUM_READERS:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def replace(self, path: str, content: bytes) -> None:
        self._asked_for(self.fs.pipe_file, path, content)

    def create(self, path: str, content: bytes) -> bool:
        """As declared. A write whose answer was lost is asked for again and finds itself, which counts as first."""
        try:
            self._asked_for(self.fs.pipe_file, path, content, mode="create")
        except FileExistsError:
            try:
                return self.read(path) == content
            except FileNotFoundError:
                return False
        return True

    def remove(self, path: str) -> None:
        try:
            self._asked_for(self.fs.rm_file, path)
        except FileNotFoundError:
            return

    def move(self, folder: str, target: str) -> None:
        for path in sorted(self.found(folder), key=lambda each: not each.endswith("record.json")):
            self._asked_for(self.fs.cp_file, path, target + path[len(folder) :])
            self.remove(path)

    def exists(self, path: str) -> bool:
        try:
            return bool(self._asked_for(self.fs.exists, path))
        except FileNotFoundError:
            return False

    def paths(self, folder: str) -> list[str]:
        return [str(about["name"]) for about in self._listed(folder)]

    def entries(self, folder: str) -> list[FileEntry]:
        return [self._entry(about) for about in self._listed(folder) if about["type"] == "file"]

    def tree(self, folder: str) -> Iterator[FileEntry]:
        return (self._entry(about) for about in self.found(folder).values())

    def found(self, folder: str) -> Mapping[str, Any]:
        """What the file system tells of all files in a folder and below, by path, from one recursive listing."""
        try:
            found: Mapping[str, Any] = self._asked_for(self.fs.find, folder, detail=True)
        except FileNotFoundError:
            return {}
        return found

    def now(self) -> float:
        if time.monotonic() - self._asked > CLOCK_SECONDS:
            self._ahead = self._time_of_a_new_file() - time.monotonic()
            self._asked = time.monotonic()
        return time.monotonic() + self._ahead

    # ---- asking

    def _asked_for(self, method: Callable[..., Result], *given: Any, **options: Any) -> Result:
        """What the method returns. What passes by itself is tried again for as long as the patience lasts.

        Raises FileNotFoundError, FileExistsError, or StoreError with a line that says what to do.
        """
        start, pause = time.monotonic(), SHORTEST_PAUSE
        while True:
            error = None
            try:
                result = method(*given, **options)
            except Exception as found:  # noqa: BLE001  the errors of optional packages are told apart by name
                error = found
            if error is None:
                self._patience = max(self._patience, PATIENCE_SECONDS)
                return result
            if meaning(error) != "busy" or not self._paused(pause, since=start):
                raise self._final(error, given[0]) from error
            pause = min(2 * pause, LONGEST_PAUSE)

    def _paused(self, pause: float, *, since: float) -> bool:
        """Sleep about so long; False, at once or in the middle, if the patience is at its end."""
        end = time.monotonic() + pause * random.uniform(0.75, 1.25)
        while (left := end - time.monotonic()) > 0:
            patience = min(self._patience, INTERRUPTED_PATIENCE_SECONDS) if _is_interrupted() else self._patience
            if end - since > patience:
                return False
            time.sleep(min(left, 0.2))
        return True

    def _final(self, error: Exception, path: str) -> OSError:
        match meaning(error):
            case "absent":
                return FileNotFoundError(f"{path} is not in the store {shown(self.url)}")
            case "present":
                return FileExistsError(f"{path} is in the store {shown(self.url)} already")
            case _:
                return told(error, self.url)

    def _listed(self, folder: str) -> list[Mapping[str, Any]]:
        try:
            found: list[Mapping[str, Any]] = self._asked_for(self.fs.ls, folder, detail=True, refresh=True)
        except FileNotFoundError:
            return []
        return [about for about in found if str(about["name"]).strip("/") != folder.strip("/")]

    # ---- times

    def _entry(self, about: Mapping[str, Any]) -> FileEntry:
        return FileEntry(path=str(about["name"]), num_bytes=int(about["size"]), modified=self._modified(about))

    def _modified(self, about: Mapping[str, Any]) -> float:
        told_at = next((about[name] for name in _TIMES if about.get(name)), None)
        match told_at if told_at is not None else self._asked_for(self.fs.modified, about["name"]):
            case datetime() as moment:
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
            case str() as text:
                return datetime.fromisoformat(text).timestamp()
            case number:
                return float(number)

    def _time_of_a_new_file(self) -> float:
        """When a file that is written now was written; of this machine's clock where nothing can be written."""
        path = f"{self.root}/.clock-{uuid.uuid4().hex}"
        try:
            self.replace(path, b"0")
            modified = self._modified(self._asked_for(self.fs.info, path))
            self.remove(path)
        except OSError:
            return time.time()
        return modified


def _is_interrupted() -> bool:
    return any(has_come() for has_come in interruptions)


def _opened(url: str) -> tuple[Any, str]:
    """The file system of the URL and the path there. Raises ValueError if it is of no use here."""
    import fsspec

    scheme = url.partition("://")[0]
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # else gcsfs asks a second service by gRPC
    try:
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **_settings(scheme))
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        package = f"install subind[{extra}]" if extra else "install what it names"
        raise ValueError(
            f"--store is {quoted_path(shown(url))}: {error}; {package}, on every machine of the sweep"
        ) from None
    except ValueError as error:
        remedy = "give a folder, or a URL such as s3://bucket/folder or gs://bucket/folder"
        raise ValueError(f"--store is {quoted_path(shown(url))}: {shown(str(error))}; {remedy}") from None
    except Exception as error:
        raise told(error, url) from error
    if EXTRAS.get(scheme) == "s3":
        files.retries = 1
    return files, str(root)


def _settings(scheme: str) -> dict[str, Any]:
    """S3 is asked once by the packages below, so that this module alone decides how long it is asked again."""
    if EXTRAS.get(scheme) != "s3" or os.environ.get("FSSPEC_S3_CONFIG_KWARGS"):
        return {}
    return {"config_kwargs": {"retries": {"total_max_attempts": 1}, "connect_timeout": 10, "read_timeout": 60}}
