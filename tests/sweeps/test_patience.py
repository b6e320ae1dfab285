"""Questions to a store that answers late or never."""

from collections.abc import Callable

import pytest

from sweeps import patience
from sweeps.patience import patiently


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0))


def _failing(number: int) -> Callable[[], str]:
    """A question that fails so often before it is answered."""
    errors = iter([ConnectionResetError("cut off")] * number)

    def ask() -> str:
        for error in errors:
            raise error
        return "the answer"

    return ask


@pytest.mark.parametrize("number", [0, 1, 2])
def test_question_that_is_answered_late_is_answered(number: int) -> None:
    told: list[str] = []
    assert patiently(_failing(number), tell=told.append) == "the answer"
    assert told == ["the store does not answer (cut off); it is asked again in 0 s"] * number


def test_question_that_is_never_answered_raises_its_error() -> None:
    with pytest.raises(ConnectionResetError, match="cut off"):
        patiently(_failing(3), tell=lambda _text: None)


def test_question_that_is_wrong_is_not_repeated() -> None:
    told: list[str] = []
    with pytest.raises(ValueError, match="wrong"):
        patiently(lambda: _raise(ValueError("wrong")), tell=told.append)
    assert told == []


def _raise(error: Exception) -> None:
    raise error
