"""A mark that the driver leaves in the store, for the nodes of a cluster to look for: do all see the same store?"""

import contextlib
import uuid
from collections.abc import Iterator

import fsspec

from subind.specs.quoting import quoted_path
from subind.store.store import Store


@contextlib.contextmanager
def mark(store: Store) -> Iterator[str]:
    """A mark in the store for the time of the block. Raises OSError if the store cannot be written."""
    token = uuid.uuid4().hex
    files, path = _place(store.url, token)
    files.makedirs(path.rpartition("/")[0], exist_ok=True)
    try:
        files.pipe_file(path, token.encode())
    except OSError as error:
        raise OSError(
            f"the store {quoted_path(store.url)} cannot be written ({error}): see to it, and run again"
        ) from error
    try:
        yield token
    finally:
        with contextlib.suppress(OSError):
            files.rm_file(path)


def why_unseen(url: str, token: str) -> str:
    """Why the mark is not seen from here; empty if it is."""
    try:
        files, path = _place(url, token)
        return "" if files.cat_file(path) == token.encode() else "another file stands where the driver's should"
    except FileNotFoundError:
        return "what the driver writes there is not seen"
    except Exception as error:  # noqa: BLE001  the libraries of object stores raise what they like
        return f"{type(error).__name__}: {error}"


def _place(url: str, token: str) -> tuple[fsspec.AbstractFileSystem, str]:
    files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True)
    return files, f"{root.rstrip('/')}/.mark-{token}"
