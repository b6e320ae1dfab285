"""How a message quotes a value that somebody gave, and how names are made of values: as Python spells it, shortened."""

import hashlib
import re
from collections.abc import Sequence

LONGEST_QUOTE = 80
"""Characters of a quoted value."""

LONGEST_PATH = 400
"""Characters of a quoted path or URL, which is copied from a message; temporary folders have long ones."""

LONGEST_NAME = 60
"""Characters of a name made of values, which folders and legends have."""

LARGEST_SPELLED = 10**LONGEST_QUOTE
"""Python refuses to spell integers of thousands of digits, and a message needs none of them."""


def quoted(value: object) -> str:
    """The value's repr in at most LONGEST_QUOTE characters, of a longer one both ends and its length.

    A value whose text cannot be made is named by its type.
    """
    if isinstance(value, str):
        return _shortened_text(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= LARGEST_SPELLED:
        return f"an int of {value.bit_length():,} bits"
    try:
        return shortened(repr(value))
    except Exception:  # noqa: BLE001  # a repr of somebody else's may do anything
        return f"a {type(value).__name__}"


def quoted_path(path: object) -> str:
    """A path, folder or URL in quotes, in at most LONGEST_PATH characters."""
    return shortened(repr(str(path)), LONGEST_PATH)


def shortened(text: str, most: int = LONGEST_QUOTE) -> str:
    """The text itself, or both of its ends with "…" between them."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end - 1]}…{text[-end:]}"


def _shortened_text(value: str) -> str:
    """A text in quotes; the repr of a long one is not made, and its number of characters is given."""
    if len(value) <= LONGEST_QUOTE:
        return shortened(repr(value))
    return f"{shortened(repr(value[: LONGEST_QUOTE // 2] + '…'))} of {len(value):,} characters"


def name_of_parts(parts: Sequence[str]) -> str:
    """The parts joined to one name of letters, digits and the signs _.+-; a long one ends in a checksum."""
    joined = "_".join(parts)
    text = re.sub(r"[^\w.+-]+", "-", joined)
    if len(text) <= LONGEST_NAME:
        return text
    digits = hashlib.sha256(joined.encode()).hexdigest()[:8]
    return f"{text[: LONGEST_NAME - len(digits) - 1]}_{digits}"
