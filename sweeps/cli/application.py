"""The application `subind`: its commands in groups, each in a module of its name, imported when it is called."""

import ast
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from sweeps.cli.settings import settings

GROUPS = {
    "Run a sweep": ("run", "plan", "tune", "retry", "submit", "attach", "jobs", "stop", "bundle"),
    "Watch it": ("status", "why", "ui"),
    "Read its results": ("export", "report", "compare", "sync", "serve", "export-weights"),
    "Look after store and machine": ("doctor", "verify", "gc", "import", "data"),
}
"""The commands under each heading of `subind --help`, in the order in which they are needed."""

HEADINGS = {name: heading for heading, names in GROUPS.items() for name in names}

WITH_COMMANDS = ("data",)
"""Names that are followed by a further command; their module has a Typer application of that name."""


def module_name(command: str) -> str:
    """The module of a command. `import` is a keyword of Python."""
    return f"sweeps.cli.{'import_weights' if command == 'import' else command.replace('-', '_')}"


def function_name(command: str) -> str:
    """The function of a command in its module."""
    return f"{command.replace('-', '_')}_command"


class CommandModules(Mapping[str, Any]):
    """The commands by name, imported when asked for; a list of them takes their help from the source alone."""

    is_listing = False

    def __getitem__(self, name: str) -> Any:
        if name not in HEADINGS:
            raise KeyError(name)
        if self.is_listing:
            return TyperCommand(name=name, help=help_line(name), rich_help_panel=HEADINGS[name])
        return loaded(name)

    def __iter__(self) -> Iterator[str]:
        return iter(HEADINGS)

    def __len__(self) -> int:
        return len(HEADINGS)


class Commands(TyperGroup):
    """The commands in the order of their groups."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = CommandModules()

    def list_commands(self, ctx: Any) -> list[str]:
        """The names in the order of the groups."""
        return list(self.commands)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the application."""
        with self._listing():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """The names and options that begin so."""
        with self._listing():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _listing(self) -> Iterator[None]:
        self.commands.is_listing = True
        try:
            yield
        finally:
            self.commands.is_listing = False


def loaded(command: str) -> Any:
    """The command, from its module."""
    module = import_module(module_name(command))
    if command in WITH_COMMANDS:
        return typer.main.get_command(getattr(module, command))
    one = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    one.command(command)(getattr(module, function_name(command)))
    return typer.main.get_command(one)


def help_line(command: str) -> str:
    """The first sentence of the command's docstring, read from its source, for an import of all takes half a second."""
    found = find_spec(module_name(command))
    assert found is not None
    assert found.origin is not None
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    of = functions.get(function_name(command), tree)
    sentence = (ast.get_docstring(of) or "").partition(". ")[0].partition("\n\n")[0]
    return f"{sentence.rstrip('.')}."


def _print_version(given: bool) -> None:
    if given:
        print(f"subind {version('subind')}, Python {sys.version.partition(' ')[0]}")
        raise typer.Exit


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def subind(
    ctx: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Run sweeps that find subnetworks, transplant them next to controls, and measure the data they save."""
    ctx.default_map = dict.fromkeys(HEADINGS, settings())
