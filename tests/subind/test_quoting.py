"""Quoted values: short, whatever is quoted."""

import pytest

from subind.specs.quoting import LONGEST_QUOTE, quoted, shortened
from tests.specs import tiny_transfer


class Unspeakable:
    """Its repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value",
    [
        "a" * 10**6,
        "\0" * 10**6,
        10**5000,
        -(10**5000),
        list(range(10**5)),
        {"key": "x" * 10**6},
        tiny_transfer(),
        b"x" * 10**6,
    ],
    ids=["text", "control characters", "int", "negative int", "list", "dict", "spec", "bytes"],
)
def test_quote_of_a_large_value_is_short(value: object) -> None:
    assert len(quoted(value)) <= LONGEST_QUOTE + len(" of 1,000,000 characters")


@pytest.mark.parametrize("value", ["", "seed<3", "it's", "ä", "\ud800", 7, True, None, 1.5, (1, "a")])
def test_quote_of_a_small_value_is_its_repr(value: object) -> None:
    assert quoted(value) == repr(value)


def test_quote_of_a_value_that_cannot_be_spelled_is_its_type() -> None:
    assert quoted(Unspeakable()) == "a Unspeakable"


def test_shortened_text_keeps_both_ends() -> None:
    assert shortened("b" * 50 + "m" * 100 + "e" * 50) == "b" * 50 + "m" * 9 + "…" + "e" * 20
