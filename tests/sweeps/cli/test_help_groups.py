"""The help of `subind`: every command is in one group, and `run` comes first."""

import re

from sweeps.cli.__main__ import app
from sweeps.cli.help_groups import GROUPS
from tests.sweeps.conftest import Call


def test_every_command_is_in_one_group() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(str(each.name) for each in (*app.registered_commands, *app.registered_groups))


def test_help_has_the_groups_in_order_and_run_first(subind: Call) -> None:
    _, out, _ = subind("--help")
    places = [out.index(heading) for heading in GROUPS]
    assert places == sorted(places)
    commands = re.findall(r"^[│|] ([a-z][a-z-]*) ", out, re.MULTILINE)
    assert commands[0] == "run"
    assert set(commands) >= {name for names in GROUPS.values() for name in names}
