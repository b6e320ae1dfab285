"""Which code computes a run, and with which versions: gathered once in the driver and written into every record."""

import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

COMMIT_FILE = "COMMIT"
"""Beside the packages where the sources were brought without their git history: the commit, and `dirty` if so."""

PACKAGES = ("subind", "torch", "numpy", "safetensors", "ray")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The git commit of the code (empty if unknown), whether tracked files differ from it, and versions."""

    commit: str
    dirty: bool
    versions: dict[str, str]


def code() -> Code:
    """The code that is running."""
    root = Path(__file__).resolve().parent.parent
    commit, dirty = _commit(root)
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return Code(commit=commit, dirty=dirty, versions=versions)


def _commit(root: Path) -> tuple[str, bool]:
    """The commit and whether the code differs from it, from git, else from the file that came with the sources."""
    if (commit := _git(root, "rev-parse", "HEAD")) or not (root / COMMIT_FILE).is_file():
        return commit, bool(commit and _git(root, "status", "--porcelain", "--untracked-files=no"))
    commit, _, state = (root / COMMIT_FILE).read_text(encoding="utf-8").strip().partition(" ")
    return commit, state == "dirty"


def _git(root: Path, *arguments: str) -> str:
    """What git says, or nothing where there is no git or no checkout."""
    if not (root / ".git").exists():
        return ""
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
