"""`subind doctor`."""

import typer

from sweeps.cli.options import StorePath, out
from sweeps.cli.settings import FILE, settings
from sweeps.hosts.secrets import redacted
from sweeps.planning.store_checks import opened_store


def doctor_command(store: StorePath = "store") -> None:
    """Check that this machine can run a sweep, and print a remedy for each problem."""
    if FILE.is_file():
        given = ", ".join(f"{key} = {redacted(value, value)}" for key, value in settings().items())
        out.print(f"defaults of {FILE.absolute()}: {given}")
    out.print("checking this machine; Ray and MLflow take some seconds")
    from sweeps.store_care.doctor import checks

    wrong = 0
    for check in checks(opened_store(store)):
        mark, style = ("ok", "green") if check.holds else ("WRONG", "red")
        wrong += not check.holds
        out.print(f"{mark:>5}", style=style, end="")
        out.print(f" {check.subject}: {check.finding}")
    if wrong:
        raise typer.Exit(1)
