"""`subind doctor`."""

import typer

from sweeps.cli.options import StorePath, out
from sweeps.planning.store_checks import opened_store


def doctor_command(store: StorePath = "store") -> None:
    """Check that this machine can run a sweep, and say what to do where it cannot."""
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
