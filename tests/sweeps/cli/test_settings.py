"""`subind.toml`: defaults of options, behind the environment and the command line."""

from pathlib import Path

import pytest

from sweeps.cli.settings import settings
from tests.sweeps.conftest import Call


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SUBIND_STORE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "subind.toml"
    path.write_text('store = "of_file"\n')
    return path


def store_of_status(subind: Call, *options: str) -> str:
    status, _, error = subind("status", "quickstart", *options)
    assert status == 2
    return Path(error.split("'")[1]).name


def test_store_comes_from_the_command_line_then_the_environment_then_the_file(
    subind: Call, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store_of_status(subind) == "of_file"
    monkeypatch.setenv("SUBIND_STORE", "of_environment")
    assert store_of_status(subind) == "of_environment"
    assert store_of_status(subind, "--store", "of_line") == "of_line"
    file.unlink()
    monkeypatch.delenv("SUBIND_STORE")
    assert store_of_status(subind) == "store"


def test_help_shows_the_default_of_the_file(subind: Call, file: Path) -> None:
    _, out, _ = subind("status", "--help")
    assert "default: of_file" in out


def test_tracker_of_the_environment_comes_before_that_of_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('tracking_uri = "http://file"')
    assert settings() == {"tracking_uri": "http://file"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert settings() == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('stor = "x"', ("'stor'", "store, tracking_uri, device")),
        ("store = 3", ("store = 3", "quotes")),
        ("store =", ("not TOML", "store =")),
    ],
)
def test_file_that_cannot_be_is_refused_in_a_line(
    subind: Call, file: Path, content: str, words: tuple[str, ...]
) -> None:
    file.write_text(content)
    status, _, error = subind("status", "quickstart")
    assert (status, error.count("\n")) == (2, 1)
    assert all(word in error for word in ("subind.toml", *words))
