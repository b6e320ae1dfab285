"""Files that only their owner reads: passwords, tokens, keys."""

import os
import secrets
import stat
from pathlib import Path

PRIVATE = 0o600


def write_private(path: Path, content: str) -> bool:
    """Write a private file. If it exists, make it private, leave its content, and return False.

    The file appears whole. The first of several writers wins, and every reader sees its content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        path.hardlink_to(temporary)
    except FileExistsError:
        if stat.S_IMODE(path.stat().st_mode) != PRIVATE:
            path.chmod(PRIVATE)
        return False
    finally:
        temporary.unlink()
    return True


def private_secret(path: Path) -> str:
    """The secret in a file. If there is no file, it gets a random secret. Raises ValueError if the file is empty."""
    write_private(path, secrets.token_hex(32))
    found = path.read_text(encoding="utf-8").strip()
    if not found:
        raise ValueError(f"{path} is empty: put a secret into it, or remove it to have one generated")
    return found
