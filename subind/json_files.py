"""JSON that others may have written: read within bounds, and refused with the file's name where it is not plain."""

import json
from typing import Any

import orjson

MOST_BYTES = 32_000_000
"""A record of ten thousand epochs has 4 MB."""

MOST_LEVELS = 100
"""A record's spec has ten."""

_TEXTS = frozenset({dict, list, str})


def parsed(content: bytes, *, source: str) -> Any:
    """The data of a file's JSON text, which may have MOST_BYTES.

    Raises ValueError naming the file if it is longer, is no JSON in UTF-8, or names a key of an object twice.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(
            f"{source} has more than {MOST_BYTES:,} bytes, which none of ours has: remove it and run again"
        )
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{source} is no JSON ({error}): remove it and run the sweep again") from None
    if b"\\" in content or content.count(b'"') != 2 * _num_texts(data, source, 0):
        json.loads(content, object_pairs_hook=lambda pairs: _plain(pairs, source))
    return data


def _num_texts(data: Any, source: str, level: int) -> int:
    """The keys and texts in the data: where nothing is escaped, half of the quotation marks that spell them.

    They are fewer than were spelled if a key was there twice, and so are counted in a tenth of the time that a look at
    every key takes. Raises ValueError if the data are nested deeper than any of ours.
    """
    if level > MOST_LEVELS:
        raise ValueError(f"{source} is nested deeper than {MOST_LEVELS} levels: remove it and run the sweep again")
    match data:
        case dict():
            return len(data) + sum(_num_texts(each, source, level + 1) for each in data.values())
        case list() if not _TEXTS.isdisjoint(map(type, data)):  # a curve of numbers has none
            return sum(_num_texts(each, source, level + 1) for each in data)
        case str():
            return 1
        case _:
            return 0


def _plain(pairs: list[tuple[str, Any]], source: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise ValueError(f"{source} has the key {repeated[:80]!r} twice: remove it and run the sweep again")
    return found
