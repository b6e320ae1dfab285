"""Paths as a user gives them: a `~` is the home folder."""

import os

from subind.specs.quoting import quoted_path


def at_home(given: str, option: str) -> str:
    """The path with the home folder in place of a leading `~`, which a shell leaves as it is in `--store=~/x`.

    In a URL it may follow the scheme, as in sqlite:///~/x. Raises ValueError, naming the option, for the home of a user
    who has none.
    """
    scheme, mark, path = given.rpartition("://")
    slash = "/" if mark and path.startswith("/~") else ""
    text = path.removeprefix(slash) if slash else path
    if not text.startswith("~"):
        return given
    found = os.path.expanduser(text)  # noqa: PTH111  Path.expanduser raises what says neither option nor value
    if found.startswith("~"):
        raise ValueError(
            f"{option} is {quoted_path(given)}: there is no such user; give ./~… for a folder of that name"
        )
    return f"{scheme}{mark}{slash}{found}"
