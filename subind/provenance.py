"""Which code computes a run, and with which versions: gathered once in the driver and written into every record."""

import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGES = ("subind", "torch", "numpy", "safetensors", "ray")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The git commit of the code (empty outside a checkout), whether tracked files differ from it, and versions."""

    commit: str
    dirty: bool
    versions: dict[str, str]


def code() -> Code:
    """The code that is running."""
    root = Path(__file__).resolve().parent.parent
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no") if commit else ""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return Code(commit=commit, dirty=bool(changed), versions=versions)


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
