"""The groups of commands in `subind --help`, in the order in which one needs them: first what runs a sweep."""

import typer

GROUPS = {
    "Run a sweep": ("run", "plan", "tune", "retry", "submit", "attach", "jobs", "stop", "bundle"),
    "Watch it": ("status", "why", "ui"),
    "Read its results": ("export", "report", "compare", "sync", "serve", "export-weights"),
    "Look after store and machine": ("doctor", "verify", "gc", "import", "data"),
}
"""The commands of each group, by its heading; `subind data` has commands of its own."""


def group_commands(app: typer.Typer) -> None:
    """Give every command of the application its group, and sort them by it; one without a group comes last."""
    places = {name: place for place, name in enumerate(name for names in GROUPS.values() for name in names)}
    headings = {name: heading for heading, names in GROUPS.items() for name in names}
    for command in app.registered_commands:
        command.rich_help_panel = headings.get(str(command.name))
    for group in app.registered_groups:
        group.rich_help_panel = headings.get(str(group.name))
    app.registered_commands.sort(key=lambda command: places.get(str(command.name), len(places)))
    app.registered_groups.sort(key=lambda group: places.get(str(group.name), len(places)))
