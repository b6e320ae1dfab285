"""The files that cluster files mount on nodes: the sources of this checkout, the cluster's token, an environment.

They are in `~/.subind` and `~/.ray`, where the cluster files expect them. The sources are one archive with a fixed
order and fixed times, so that `ray up` sets nodes up again only if the code has changed.
"""

import gzip
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from subind.store import provenance
from subind.store.provenance import COMMIT_FILE
from sweeps.hosts.private_files import private_secret, write_private

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = ("subind", "sweeps", "analysis")
FILES = ("pyproject.toml", "README.md", "LICENSE")

ENVIRONMENT = """\
# Read by the shell on every node before Ray starts: what the nodes must know and no cluster file may hold.
# MLFLOW_TRACKING_URI=https://mlflow.example.org
# MLFLOW_TRACKING_USERNAME=
# MLFLOW_TRACKING_PASSWORD=
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The three files, and the commit of the sources: empty if unknown, ending in its state unless clean."""

    sources: Path
    environment: Path
    token: Path
    commit: str


def gather(home: Path, *, root: Path = ROOT) -> Bundle:
    """Write the sources below a home folder, and the environment and the token if they are missing.

    Only their owner can read environment and token, even if they existed before.

    Raises ValueError if the code is an installed wheel, not a checkout.
    """
    if not (root / "pyproject.toml").is_file():
        raise ValueError(
            f"the sources are {root}, which is not a checkout: run `subind bundle` in a clone of the project"
        )
    found = provenance.code()
    commit = found.commit if not found.commit or found.state == "clean" else f"{found.commit} {found.state}"
    bundle = Bundle(
        sources=home / ".subind" / "source.tar.gz",
        environment=home / ".subind" / "environment",
        token=home / ".ray" / "auth_token",
        commit=commit,
    )
    _write(bundle.sources, _archive(root, commit))
    write_private(bundle.environment, ENVIRONMENT)
    private_secret(bundle.token)
    return bundle


def _archive(root: Path, commit: str) -> bytes:
    content = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path in _sources(root):
            _add(archive, path.relative_to(root).as_posix(), path.read_bytes())
        if commit:
            _add(archive, COMMIT_FILE, f"{commit}\n".encode())
    return content.getvalue()


def _sources(root: Path) -> Iterator[Path]:
    yield from (root / name for name in FILES)
    for package in PACKAGES:
        yield from sorted(
            path for path in (root / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts
        )


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
