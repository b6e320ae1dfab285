"""Which code a record names: that which runs, whatever the environment says; and what is not known is not clean."""

import json
import subprocess
from pathlib import Path

import pytest

from subind.store import provenance
from subind.store.provenance import COMMIT_FILE, Code
from subind.store.results import RunRecord
from tests.specs import tiny_donor
from tests.subind.records import small_record

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *settings, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def repository(folder: Path, name: str = "subind/store/provenance.py") -> Path:
    """A repository of one file, committed."""
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text(f"# of {folder.name}\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "One file")
    return folder


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return repository(tmp_path / "ours")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return repository(tmp_path / "other")


def assert_unknown(found: Code, why: str) -> None:
    assert (found.commit, found.dirty, found.state) == ("", None, "unknown")
    assert why in found.unknown


def test_checkout_is_clean_until_a_tracked_file_changes(ours: Path) -> None:
    assert (provenance.code(ours).commit, provenance.code(ours).state) == (git(ours, "rev-parse", "HEAD"), "clean")
    (ours / "subind/store/provenance.py").write_text("# changed\n")
    assert (provenance.code(ours).commit, provenance.code(ours).state) == (git(ours, "rev-parse", "HEAD"), "dirty")


@pytest.mark.parametrize("name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"])
def test_repository_that_the_environment_names_is_not_taken_for_ours(
    name: str, ours: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"GIT_WORK_TREE": other, "GIT_INDEX_FILE": other / ".git" / "index"}.get(name, other / ".git")
    monkeypatch.setenv(name, str(named))
    found = provenance.code(ours)
    monkeypatch.delenv(name)
    assert (found.commit, found.state, found.unknown) == (git(ours, "rev-parse", "HEAD"), "clean", "")


def test_environment_that_bounds_the_search_for_a_repository_changes_nothing(
    ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(ours.parent))
    assert provenance.code(ours).state == "clean"


def test_code_within_another_repository_has_no_commit(ours: Path) -> None:
    """As in the site-packages of an environment within a project."""
    inner = ours / "environment" / "site-packages"
    (inner / "subind").mkdir(parents=True)
    assert_unknown(provenance.code(inner), "is no git checkout")
    (inner / ".git").mkdir()  # git takes a folder without a HEAD for none, and looks further up
    assert_unknown(provenance.code(inner), "another's")


def test_code_that_its_repository_does_not_track_has_no_commit(tmp_path: Path) -> None:
    assert_unknown(provenance.code(repository(tmp_path / "site-packages", "notes.txt")), "did not match")


def test_machine_without_git_knows_no_commit(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert_unknown(provenance.code(ours), "git cannot be started: No such file or directory")


def test_repository_that_git_refuses_has_no_commit(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As git does for a folder of another owner."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text("#!/bin/sh\necho 'fatal: detected dubious ownership in repository' >&2\nexit 128\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    assert_unknown(provenance.code(ours), "fatal: detected dubious ownership in repository")


def test_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    (tmp_path / "subind" / "store").mkdir(parents=True)
    (tmp_path / "subind" / "store" / "provenance.py").touch()
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    assert_unknown(provenance.code(tmp_path), "fatal")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{COMMIT}\n", (COMMIT, False, "clean")),
        (f"{COMMIT} dirty\n", (COMMIT, True, "dirty")),
        (f"{COMMIT} unknown\n", (COMMIT, None, "unknown")),
        ("no commit\n", ("", None, "unknown")),
        ("", ("", None, "unknown")),
    ],
)
def test_sources_without_history_have_the_commit_that_came_with_them(
    text: str, expected: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / COMMIT_FILE).write_text(text)
    found = provenance.code(tmp_path)
    assert (found.commit, found.dirty, found.state) == expected
    assert bool(found.unknown) == (found.state == "unknown")


def test_installed_code_has_the_versions_of_its_packages(tmp_path: Path) -> None:
    found = provenance.code(tmp_path)
    assert_unknown(found, "is no git checkout")
    assert {"python", "subind", "torch"} <= found.versions.keys()


# ---- records


def test_record_of_unknown_code_says_neither_clean_nor_changed() -> None:
    data = json.loads(json.dumps(small_record(tiny_donor()).data()))
    data["provenance"] |= {"commit": "", "dirty": None}
    assert RunRecord.from_data(data, source="record.json").provenance.dirty is None


def test_older_record_that_calls_an_unknown_commit_clean_is_read_as_unknown() -> None:
    data = json.loads(json.dumps(small_record(tiny_donor()).data()))
    data["provenance"] |= {"commit": "", "dirty": False}
    assert RunRecord.from_data(data, source="record.json").provenance.dirty is None
