"""Texts for a terminal."""

import pytest

from sweeps.hosts.terminal import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "unknown yet"), (0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (3600, "60 min"), (5400, "1.5 h")],
)
def test_duration_is_said_as_a_person_would(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
