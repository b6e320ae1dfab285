"""JSON that others may have written: read within bounds, and refused with the file's name where it is not plain."""

import json
from typing import Any

import orjson

MOST_BYTES = 32_000_000
"""A record of ten thousand epochs has 4 MB."""


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
    try:
        may_repeat = _may_repeat_a_key(content, data)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"{source} is nested deeper than any of ours ({error}): remove it and run again") from None
    if may_repeat:
        json.loads(content, object_pairs_hook=lambda pairs: _plain(pairs, source))
    return data


def _may_repeat_a_key(content: bytes, data: Any) -> bool:
    """Whether a key may be there twice: then what was read, written again, has fewer quotation marks and colons.

    Texts keep theirs, unless they are spelled in another way than here; this is a tenth of the time of a look at
    every key.
    """
    spelled = content.count(b'":') + content.count(b'" :')
    return b"\\u00" in content or spelled != orjson.dumps(data).count(b'":')


def _plain(pairs: list[tuple[str, Any]], source: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise ValueError(f"{source} has the key {repeated[:80]!r} twice: remove it and run the sweep again")
    return found
