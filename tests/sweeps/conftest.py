"""What tests of commands share: the command line in this process, in an empty folder."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.cli.__main__ import command as main
from sweeps.hosts import stop_signals

Answer = tuple[int, str, str]
Call = Callable[..., Answer]


@pytest.fixture(autouse=True)
def _no_stop_is_left() -> Iterator[None]:
    """A signal of one test is none of the next."""
    yield
    stop_signals.forget()


@pytest.fixture
def subind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command in an empty folder; gives exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["subind", *arguments])
        status: Any = 0
        try:
            main()
        except SystemExit as ending:
            status = ending.code
        told = capsys.readouterr()
        return int(status or 0), told.out, told.err

    return call
