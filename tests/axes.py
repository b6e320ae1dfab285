"""The check of tensor axes that the tests put around every function of subind that takes or returns tensors."""

from collections.abc import Callable
from typing import Any

from beartype import beartype
from beartype.roar import BeartypeDecorHintPep3119Exception


def axes_checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function under beartype; as it is where a parameter's Protocol cannot be checked at run time."""
    try:
        return beartype(function)
    except BeartypeDecorHintPep3119Exception:
        return function
