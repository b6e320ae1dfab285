"""JSON that others may have written: read within bounds, and refused with the file's name where it is not plain."""

import json
from typing import Any

import orjson

MOST_BYTES = 32_000_000
"""A record of ten thousand epochs has 4 MB."""

MOST_CURVE_VALUES = MOST_BYTES // 25
"""Values of all curves of a record together: one has up to 25 bytes."""

MOST_LEVELS = 100
"""A record's spec has ten."""


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
    num_texts = _num_texts([data], source, 0)
    if b"\\" in content or content.count(b'"') != 2 * num_texts:
        _look_at_every_key(content, source)
    return data


def _look_at_every_key(content: bytes, source: str) -> None:
    try:
        json.loads(content, object_pairs_hook=lambda pairs: _plain(pairs, source))
    except RecursionError:
        raise _too_deep(source) from None


def _num_texts(data: dict[str, Any] | list[Any], source: str, level: int) -> int:
    """The keys and texts in the data: where nothing is escaped, half of the quotation marks that spell them.

    They are fewer than were spelled if a key was there twice, or if something else than numbers follows a number in a
    list; then every key is looked at, which takes ten times as long. Raises ValueError if they are nested too deeply.
    """
    if level > MOST_LEVELS:
        raise _too_deep(source)
    found, values = (len(data), data.values()) if isinstance(data, dict) else (0, data)
    for value in values:
        kind = value.__class__
        if kind is str:
            found += 1
        elif kind is dict or (kind is list and value and value[0].__class__ is not float):  # a curve has no texts
            found += _num_texts(value, source, level + 1)
    return found


def _too_deep(source: str) -> ValueError:
    return ValueError(f"{source} is nested deeper than {MOST_LEVELS} levels: remove it and run the sweep again")


def _plain(pairs: list[tuple[str, Any]], source: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise ValueError(f"{source} has the key {repeated[:80]!r} twice: remove it and run the sweep again")
    return found
