"""The code and versions that compute a run: gathered once in the driver and written into every record."""

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]

COMMIT_FILE = "COMMIT"
"""Beside the packages where the sources came without their git history: the commit, and its state unless clean."""

PACKAGES = ("subind", "torch", "numpy", "safetensors", "ray")

State = Literal["clean", "dirty", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The git commit of the code, whether tracked files differ from it, and versions.

    An unknown commit is empty, and an unknown `dirty` is None; `unknown` says why.
    """

    commit: str
    dirty: bool | None
    versions: dict[str, str]
    unknown: str = ""

    @property
    def state(self) -> State:
        """Unknown is not clean."""
        return "unknown" if self.dirty is None else "dirty" if self.dirty else "clean"


def code(root: Path = ROOT) -> Code:
    """The running code, in the folder of the packages."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    commit, dirty, unknown = _from_git(root) if (root / ".git").exists() else _from_file(root)
    return Code(commit=commit, dirty=dirty, versions=versions, unknown=unknown)


Found = tuple[str, bool | None, str]
"""The commit, whether the code differs from it, and why one of them is not known."""


def _from_git(root: Path) -> Found:
    """What git says, if the repository is that of this code and not one which it was installed into."""
    commit = ""
    try:
        top = Path(_git(root, "rev-parse", "--show-toplevel"))
        if top.resolve() != root.resolve():
            return "", None, f"{root} lies in the repository {top}, which is another's"
        _git(root, "ls-files", "--error-unmatch", "--", f"{HERE.relative_to(ROOT)}")
        commit = _git(root, "rev-parse", "--verify", "HEAD")
        return commit, bool(_git(root, "status", "--porcelain", "--untracked-files=no")), ""
    except ValueError as error:
        return commit, None, str(error)


def _from_file(root: Path) -> Found:
    """What the file says that came with the sources."""
    try:
        commit, _, state = (root / COMMIT_FILE).read_text(encoding="utf-8").strip().partition(" ")
    except (OSError, UnicodeDecodeError):
        return "", None, f"{root} is no git checkout"
    if not re.fullmatch("[0-9a-f]{7,64}", commit):
        return "", None, f"{root / COMMIT_FILE} names no commit"
    known = {"": False, "dirty": True}
    return commit, known.get(state), "" if state in known else f"{root / COMMIT_FILE} says {state[:20]!r}"


def _git(root: Path, *arguments: str) -> str:
    """What git says of the repository there, whatever the environment names. Raises ValueError if it says nothing."""
    command = ["git", "-C", str(root), *arguments]
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = {**own, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False, env=environment)
    except OSError as error:
        raise ValueError(f"git cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ValueError("git did not answer within 10 s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"git ended with status {done.returncode}"]
        raise ValueError(lines[0][:200])
    return done.stdout.strip()
