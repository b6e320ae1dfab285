"""Waiting for a store that does not answer: a driver outlives an outage of minutes."""

import time
from collections.abc import Callable
from typing import TypeVar

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0)
"""Seconds between one attempt and the next; three minutes in all."""

Answer = TypeVar("Answer")


def patiently(ask: Callable[[], Answer], *, tell: Callable[[str], None]) -> Answer:
    """What `ask` gives, asked again after a pause where it raises OSError; `tell` is told so. Raises the last error."""
    for pause in PAUSES:
        try:
            return ask()
        except OSError as error:
            tell(f"the store does not answer ({error}); it is asked again in {pause:.0f} s")
            time.sleep(pause)
    return ask()
