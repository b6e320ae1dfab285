"""Defaults of options from `subind.toml` in the current folder. The environment and the command line come before it."""

import os
import tomllib
from pathlib import Path

from subind.specs.quoting import quoted

FILE = Path("subind.toml")

KEYS = ("store", "tracking_uri", "device")


def settings() -> dict[str, str]:
    """The defaults in the file, empty without a file. Raises ValueError for an unknown key or a wrong value."""
    if not FILE.is_file():
        return {}
    try:
        found = tomllib.loads(FILE.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'{FILE} is not TOML ({error}): write lines such as store = "s3://bucket/runs"') from None
    for key, value in found.items():
        if key not in KEYS:
            raise ValueError(f"{FILE} has the key {quoted(key)}: give one of {', '.join(KEYS)}")
        if not isinstance(value, str):
            raise ValueError(f"{FILE} has {key} = {quoted(value)}: give a text in quotes")
    if os.environ.get("MLFLOW_TRACKING_URI"):
        found.pop("tracking_uri", None)
    return found
