"""The digest of the sources of `subind` and `sweeps`, equal wherever the code is equal."""

import hashlib
from functools import cache
from pathlib import Path

import subind
import sweeps


@cache
def sources_digest() -> str:
    """SHA-256 over the names and contents of the Python files of both packages."""
    digest = hashlib.sha256()
    for package in (subind, sweeps):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py"), key=lambda each: each.relative_to(folder).as_posix()):
            content = path.read_bytes()
            digest.update(f"{package.__name__}/{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


def check_sources(expected: str) -> None:
    """Raise ValueError if the sources of this process have another digest."""
    found = sources_digest()
    if found != expected:
        raise ValueError(
            f"the sources of this node are {found[:12]} and the driver's are {expected[:12]}: "
            "bring the node to the driver's version and run the command again"
        )
