"""The command that tunes masks: `subind tune`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from sweeps.cli.crew import crew
from sweeps.cli.options import Device, GridName, StorePath, Tracking, err, home_for, out
from sweeps.cli.rows_and_report import trials_path, write_rows_and_report
from sweeps.grids import read_grid, tuned
from sweeps.hosts import stop_signals
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import opened_store

if TYPE_CHECKING:
    from sweeps.tuning.session import Session
    from sweeps.tuning.trials import Trials

DASHBOARD_PORT = 8080


ChoiceRule = Annotated[
    str | None,
    typer.Option("--choose", help="Write the trial at the front's knee (knee), or the smallest of floor=0.99."),
]
LeastAccuracy = Annotated[
    float | None,
    typer.Option("--floor", help="Search the smallest mask of at least this accuracy instead of the whole front."),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        callback=home_for("--storage"),
        help="The studies' database, as postgresql://HOST/NAME; else SQLite in the store.",
    ),
]
ChoiceFile = Annotated[
    Path | None, typer.Option("--output", callback=home_for("--output"), help="Where the choice is written.")
]


def tune_command(
    grid: GridName,
    *,
    trials: Annotated[int, typer.Option("--trials", help="Trials that each study is to have in all.", min=0)] = 0,
    choose: ChoiceRule = None,
    floor: LeastAccuracy = None,
    batch: Annotated[int, typer.Option("--batch", help="Trials that are asked and trained together.", min=1)] = 8,
    stop: Annotated[
        bool, typer.Option("--stop/--no-stop", help="Stop a trial that is worse than the median in every respect.")
    ] = True,
    name: Annotated[str | None, typer.Option("--name", help="Begin the studies' names with this.")] = None,
    storage: Storage = None,
    output: ChoiceFile = None,
    store: StorePath = "store",
    device: Device = "auto",
    tracking_uri: Tracking = None,
    address: Annotated[str | None, typer.Option(help="Train on the Ray cluster at HOST:PORT, or auto.")] = None,
    num_workers: Annotated[int, typer.Option(help="On a cluster: packs that train at once.", min=0)] = 0,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="A pack is checkpointed about so often.", min=1, max=300)
    ] = 120,
    ui: Annotated[bool, typer.Option("--ui", help="Open Optuna's dashboard on 127.0.0.1 and do nothing else.")] = False,
    port: Annotated[int, typer.Option(help="The dashboard's port.", min=1, max=65535)] = DASHBOARD_PORT,
) -> None:
    """Search the settings of a grid's masks, and write the one that is chosen. The same command again goes on."""
    from sweeps.tuning import choice, session
    from sweeps.tuning.objective import Floor, Pareto

    request = Request(grid=read_grid(grid), where=(), store=store)
    rule = None if choose is None else choice.rule(choose)
    objective = Pareto() if floor is None else Floor(accuracy=floor)
    found = session.opened(request.grid, opened_store(store), storage=storage, name=name, objective=objective)
    if ui:
        from sweeps.tuning.dashboard import serve_dashboard

        serve_dashboard(found.studies[0], port=port, on_ready=lambda url: out.print(f"Optuna: {url} (Ctrl-C ends it)"))
        return
    if trials:
        effort = session.Effort(num_trials=trials, batch=batch, stops=stop)
        with crew(found.store, address, device=device, num_workers=num_workers) as workers:
            session.train(
                found,
                effort,
                workers,
                tracking_uri=tracking_uri,
                checkpoint_seconds=checkpoint_seconds,
                console=out,
            )
    choices = () if rule is None else session.choose(found, rule, output or tuned.file_of(request.grid.label))
    _conclude(request, found, choices, num_trials=trials, tracking_uri=tracking_uri)


def _conclude(
    request: Request,
    found: Session,
    choices: Sequence[tuned.Choice],
    *,
    num_trials: int,
    tracking_uri: str | None,
) -> None:
    """Write the trials, the grid's rows and its report, say how it went, and exit with the status that tells it."""
    from sweeps.tuning.session import mirror
    from sweeps.tuning.table import write_trials

    chosen = frozenset(choice.fingerprint for choice in choices)
    trials = write_trials(found.studies, found.store, trials_path(request), chosen=chosen)
    out.print(f"trials: {trials}")
    plan = accounted(request, found.store)
    write_rows_and_report(request, plan, found.store, output=None)
    from analysis.sections.tuning import pictures

    note = mirror(found, pictures(trials), chosen=chosen, tracking_uri=tracking_uri)
    if note:
        err.print(f"MLflow lacks trials: {note}; the same command mirrors them", style="yellow")
    counts = [each.counts() for each in found.studies]
    for study, count in zip(found.studies, counts, strict=True):
        _print_front(study)
        out.print(f"{study.name}: " + ", ".join(f"{number} {state}" for state, number in count.items()))
    for choice in choices:
        objectives = ", ".join(f"{name} {value:.4g}" for name, value in choice.objectives.items())
        out.print(f"{choice.study}: trial {choice.trial} is chosen by {choice.rule}: {objectives}")
    if any(sum(count.values()) - count["running"] < num_trials for count in counts):
        raise typer.Exit(stop_signals.status())
    if any(count["failed"] for count in counts):
        err.print("some trials failed; their message is in the table of trials", style="red")
        raise typer.Exit(1)


def _print_front(trials: Trials) -> None:
    from sweeps.grids.studies import values_of
    from sweeps.tuning.choice import front
    from sweeps.tuning.table import points

    table = Table(box=None, pad_edge=False, title=f"front of {trials.name}")
    for column in ("trial", "accuracy", "density", "λ", "final τ", "logit", "rate", "epochs"):
        table.add_column(column, justify="right")
    masks = {trial.number: trial.mask for trial in trials.completed()}
    for point in front(points(trials)):
        mask = masks[point.number]
        values = [f"{value:.3g}" for value in values_of(mask).values()]
        table.add_row(str(point.number), f"{point.accuracy:.3f}", f"{point.density:.4f}", *values)
    out.print(table)
