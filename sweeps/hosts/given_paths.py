"""Paths as a user gives them: a `~` is the home folder."""

import os

from subind.specs.quoting import quoted_path


def at_home(given: str, option: str) -> str:
    """The path with a leading `~` replaced by the home folder; a shell does not expand it in `--store=~/x`.

    In a URL the `~` may follow the scheme, as in sqlite:///~/x. Raises ValueError, naming the option, for an unknown
    user.
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
