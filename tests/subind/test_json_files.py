"""JSON that others wrote: refused with the file's name, within the time and memory of a small file."""

import json
import tracemalloc

import pytest

from subind.identity.json_files import MOST_BYTES, parsed


@pytest.mark.parametrize(
    "data", [{"a": 1, "b": {"a": [1.5, "x", None, True]}}, {"a": 'in "quotes": and ":'}, [], {"é": "\u2028", "\\": 1}]
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" , ", " : ")])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_parsed_gives_the_data_however_it_is_spelled(
    data: object, separators: tuple[str, str], *, ascii_only: bool
) -> None:
    text = json.dumps(data, separators=separators, ensure_ascii=ascii_only)
    assert parsed(text.encode(), source="file") == data


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 2}',
        b'{"b": {"a":1,"a":1}}',
        b'[{"a" : 1, "a" : 2}]',
        b'{"a"\n:1,"a"\n:2}',
        b'{"a":1,"a":2,"b":"\\u0022:"}',
        b'{"a":1,"\\u0061":2}',
        b'{"a"\n:1,"a":2}',
        b'{"a":1,"a"\t :2}',
        b'{"a":1,"a"  :2}',
        b'{"b\\\\":1,"a":1,"a":"\\":"}',
        b'{"a":1,"a":"\\" :"}',
    ],
)
def test_parsed_refuses_a_key_that_is_there_twice(text: bytes) -> None:
    with pytest.raises(ValueError, match="file has the key 'a' twice: remove it"):
        parsed(text, source="file")


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b'{"a": NaN}', b'{"a": Infinity}', b"\xff\xfe", b'{"a": "\xff"}', b"[" * 10**6, b'{"a":' * 10**6],
)
def test_parsed_refuses_what_is_no_json_in_utf_8(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"file is no JSON .* remove it"):
        parsed(text, source="file")


@pytest.mark.parametrize("before", ["1", '"\\\\"'])
def test_parsed_refuses_what_is_nested_deeper_than_any_of_ours(before: str) -> None:
    text = f'{{"b": {before}, "c": ' + '{"a":' * 900 + "1" + "}" * 900 + "}"
    with pytest.raises(ValueError, match="file is nested deeper than 100 levels"):
        parsed(text.encode(), source="file")


def test_parsed_finds_a_key_that_is_there_twice_behind_numbers() -> None:
    with pytest.raises(ValueError, match="file has the key 'a' twice"):
        parsed(b'[1.0, {"a": 1, "a": 2}]', source="file")


def test_parsed_refuses_more_bytes_than_any_file_has() -> None:
    content = b"[" + b"0," * (MOST_BYTES // 2) + b"0]"
    tracemalloc.start()
    with pytest.raises(ValueError, match="file has more than 32,000,000 bytes"):
        parsed(content, source="file")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000
