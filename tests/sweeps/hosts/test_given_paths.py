"""Paths as a user gives them: the home folder, stores that are not there, and files that are not written over."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subind.store.store import Store
from sweeps.hosts.given_paths import at_home
from sweeps.mirror.tracker import chosen_tracking_uri
from tests.sweeps.conftest import Call
from tests.sweeps.fabricated_grid import donor, store_with, written_grid


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.mark.parametrize("given", ["store", "./~x", "/a/~b", "s3://bucket/x", "sqlite:////a/b.db", "", "http://host:1"])
def test_path_without_a_leading_tilde_stays_as_it_is(given: str) -> None:
    assert at_home(given, "--store") == given


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~/x", "{home}/x"),
        ("~", "{home}"),
        ("file://~/x", "file://{home}/x"),
        ("sqlite:///~/m.db", "sqlite:///{home}/m.db"),
    ],
)
def test_leading_tilde_is_the_home_folder(home: Path, given: str, expected: str) -> None:
    assert at_home(given, "--store") == expected.format(home=home)


def test_home_of_a_user_who_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--store is '~nobody-here/x': there is no such user"):
        at_home("~nobody-here/x", "--store")


def test_tracking_uri_of_the_environment_has_the_home_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///~/m.db")
    assert chosen_tracking_uri(Store(str(tmp_path)), None) == f"sqlite:///{home}/m.db"


def test_options_that_are_paths_take_the_home_folder(subind: Call, home: Path, tmp_path: Path) -> None:
    grid = written_grid(tmp_path)
    store_with(home, donor(0))
    status, out, err = subind("export", grid, "--store=~/store", "--rows=~/rows.parquet")
    assert (status, err) == (0, "")
    assert "1 of them finished" in out
    assert pq.read_table(home / "rows.parquet").num_rows
    assert subind("report", grid, "--rows=~/rows.parquet", "--output=~/page")[0] == 0
    assert (home / "page" / "index.html").is_file()
    assert not (tmp_path / "~").exists()


def _foreign_parquet(path: Path) -> None:
    pq.write_table(pa.table({"mine": [1]}), path)


FOREIGN = {
    "text": lambda path: path.write_text("my thesis"),
    "empty": lambda path: path.touch(),
    "parquet": _foreign_parquet,
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "link to a device": lambda path: path.symlink_to("/dev/null"),
    "link to a text": lambda path: (
        path.with_suffix(".txt").write_text("x"),
        path.symlink_to(path.with_suffix(".txt")),
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.timeout(60)
def test_export_over_what_is_no_rows_is_refused_and_leaves_it(subind: Call, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "theirs.parquet"
    FOREIGN[kind](path)
    before = path.lstat()
    status, out, err = subind("export", written_grid(tmp_path), "--store", str(tmp_path), "--rows", str(path))
    assert (status, out) == (2, "")
    assert f"--rows is '{path}'" in err
    assert (path.lstat().st_ino, path.lstat().st_size) == (before.st_ino, before.st_size)


def test_export_over_rows_replaces_them(subind: Call, tmp_path: Path) -> None:
    grid, path = written_grid(tmp_path), tmp_path / "rows.parquet"
    arguments = ("export", grid, "--store", str(tmp_path), "--rows", str(path))
    assert subind(*arguments)[0] == 0
    first = path.lstat().st_ino
    assert subind(*arguments)[0] == 0
    assert path.lstat().st_ino != first


@pytest.mark.parametrize("command", [("status",), ("retry", "--failed"), ("sync",), ("gc",)], ids=lambda each: each[0])
def test_command_on_a_store_that_is_not_there_says_so(subind: Call, tmp_path: Path, command: tuple[str, ...]) -> None:
    name, *options = command
    grid = [] if name == "gc" else [written_grid(tmp_path)]
    status, out, err = subind(name, *grid, "--store", "absent", *options)
    assert (status, out) == (2, "")
    assert f"--store is '{tmp_path}/absent': there is no such store" in err


def test_status_of_a_store_where_nothing_is_finished_counts_it(subind: Call, tmp_path: Path) -> None:
    (tmp_path / "begun").mkdir()
    assert subind("status", written_grid(tmp_path), "--store", "begun")[0] == 0


@pytest.mark.parametrize("command", ["plan", "status", "run", "export"])
def test_empty_name_of_a_store_is_refused(subind: Call, tmp_path: Path, command: str) -> None:
    status, _, err = subind(command, written_grid(tmp_path), "--store", "")
    assert status == 2
    assert "--store is '': give a folder, or a URL" in err


@pytest.mark.parametrize("command", ["run", "tune"])
def test_sweep_into_the_memory_of_this_process_is_refused(subind: Call, tmp_path: Path, command: str) -> None:
    more = ("--trials", "1", "--storage", f"sqlite:///{tmp_path}/study.db") if command == "tune" else ()
    status, _, err = subind(command, "quickstart", "--store", "memory://sweep", "--device", "cpu", *more)
    assert status == 2
    assert "--store is 'memory://sweep', which no worker shares" in err
