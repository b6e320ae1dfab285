"""The command that tunes masks: `subind tune`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from subind.specs.quoting import shortened
from sweeps.cli.crew import crew
from sweeps.cli.options import Device, GridName, StorePath, Tracking, err, home_for, out
from sweeps.cli.rows_and_report import trials_path, write_rows_and_report
from sweeps.grids import read_grid, tuned
from sweeps.hosts import stop_signals
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import opened_store
from sweeps.tuning import choice
from sweeps.tuning.commands import command, set_texts
from sweeps.tuning.objective import Floor, Pareto

if TYPE_CHECKING:
    from analysis.sections.tuning import Tuned
    from sweeps.tuning.session import Session

DASHBOARD_PORT = 8080


ChoiceRule = Annotated[
    str | None,
    typer.Option("--choose", help="Write the trial at the front's knee (knee), or the smallest of floor=0.99."),
]
LeastAccuracy = Annotated[
    float | None,
    typer.Option("--floor", help="Search the smallest mask with at least this accuracy instead of the whole front."),
]
Stopping = Annotated[
    bool, typer.Option("--stop/--no-stop", help="Stop a trial that is worse than the median in every respect.")
]
CheckpointSeconds = Annotated[float, typer.Option(help="Seconds between two checkpoints of a pack.", min=1, max=300)]
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
    trials: Annotated[int, typer.Option("--trials", help="Trials of each study, old ones included.", min=0)] = 0,
    choose: ChoiceRule = None,
    floor: LeastAccuracy = None,
    batch: Annotated[int, typer.Option("--batch", help="Trials that are drawn and trained together.", min=1)] = 8,
    stop: Stopping = True,
    name: Annotated[str | None, typer.Option("--name", help="Begin the studies' names with this.")] = None,
    storage: Storage = None,
    output: ChoiceFile = None,
    store: StorePath = "store",
    device: Device = "auto",
    tracking_uri: Tracking = None,
    address: Annotated[str | None, typer.Option(help="Train on the Ray cluster at HOST:PORT, or auto.")] = None,
    num_workers: Annotated[int, typer.Option(help="On a cluster: packs that train at once.", min=0)] = 0,
    checkpoint_seconds: CheckpointSeconds = 120,
    ui: Annotated[bool, typer.Option("--ui", help="Open Optuna's dashboard on 127.0.0.1 and do nothing else.")] = False,
    port: Annotated[int, typer.Option(help="The dashboard's port.", min=1, max=65535)] = DASHBOARD_PORT,
) -> None:
    """Search the mask settings of a grid with Optuna, and write the chosen one. The same command continues."""
    rule = None if choose is None else choice.rule(choose)
    objective = Pareto() if floor is None else Floor(accuracy=floor)
    _phase(f"{shortened(grid)}: the grid is read, and the studies are opened")
    from sweeps.tuning import session

    request = Request(grid=read_grid(grid), where=(), store=store)
    found = session.opened(request.grid, opened_store(store), storage=storage, name=name, objective=objective)
    if ui:
        _serve(found, port)
        return
    if trials:
        effort = session.Effort(num_trials=trials, batch=batch, stops=stop)
        _phase(", ".join(f"{each.name} has {each.num_asked()} of {trials} trials" for each in found.studies))
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
    _conclude(request, found, choices, tracking_uri=tracking_uri)
    of_study = {"--floor": f"{floor:g}" if floor else None, "--name": name, "--storage": storage}
    _say_what_is_next(found, choices, of_study, store=store, output=output)
    _exit(found, num_trials=trials)


def _serve(found: Session, port: int) -> None:
    from sweeps.tuning.dashboard import serve_dashboard

    serve_dashboard(found.studies[0], port=port, on_ready=lambda url: out.print(f"Optuna: {url} (Ctrl-C ends it)"))


def _phase(text: str) -> None:
    """Say in a line, as a sweep does, what happens before it is shown."""
    out.print(f"{time.strftime('%H:%M:%S')} · {text}", highlight=False, markup=False, soft_wrap=True)


def _say_what_is_next(
    found: Session,
    choices: Sequence[tuned.Choice],
    of_study: Mapping[str, str | None],
    *,
    store: str,
    output: Path | None,
) -> None:
    """Say the command that chooses, or the one that sweeps the grid with what was chosen."""
    grid = found.grid
    of_store = {"--store": None if store == "store" else store}
    if choices:
        settings = set_texts(grid, choices, found.studies[0].definition.published)
        where = grid.label if output is None else str(output)
        line = f"in a grid file, tuned.mask(MASK, grid={where!r}) is the chosen mask"
        if settings:
            arguments = [part for each in settings for part in ("--set", each)]
            line = f"sweep the choice: {command('run', grid.name, arguments, of_store)}"
    elif any(each.counts()["finished"] for each in found.studies):
        rule = f"floor={of_study['--floor']}" if of_study["--floor"] else "knee"
        line = f"choose a trial: {command('tune', grid.name, ('--choose', rule), {**of_study, **of_store})}"
    else:
        return
    out.print(line, highlight=False, markup=False, soft_wrap=True)


def _conclude(request: Request, found: Session, choices: Sequence[tuned.Choice], *, tracking_uri: str | None) -> None:
    """Write the trials, the grid's rows and its report, and say what dominates and what is chosen."""
    from sweeps.tuning.session import mirror
    from sweeps.tuning.table import write_trials

    chosen = frozenset(each.fingerprint for each in choices)
    trials = write_trials(found.studies, found.store, trials_path(request), chosen=chosen)
    out.print(f"trials: {trials}")
    _phase("the rows, the report and its pictures are written")
    plan = accounted(request, found.store)
    write_rows_and_report(request, plan, found.store, output=None)
    from analysis.sections import tuning

    note = mirror(found, tuning.pictures(trials), chosen=chosen, tracking_uri=tracking_uri)
    if note:
        err.print(f"MLflow lacks trials: {note}; the same command mirrors them", style="yellow")
    for study in tuning.read(trials):
        _print_front(study)
    for one in found.studies:
        counts = one.counts()
        out.print(f"{one.name}: " + ", ".join(f"{number} {state}" for state, number in counts.items()))
    for each in choices:
        objectives = ", ".join(f"{name} {value:.4g}" for name, value in each.objectives.items())
        out.print(f"{each.study}: trial {each.trial} is chosen by {each.rule}: {objectives}")


def _print_front(study: Tuned) -> None:
    from analysis.sections import tuning

    words = tuning.shown([study]).drop(columns="dominated by")
    table = Table(box=None, pad_edge=False, collapse_padding=True, title=f"front of {study.name}")
    for column in words.columns:
        table.add_column(column, justify="right")
    for row in words.to_numpy():
        table.add_row(*row)
    out.print(table)
    for sentence in tuning.sentences(study):
        out.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _exit(found: Session, *, num_trials: int) -> None:
    """Exit with the status that says how the studies went."""
    counts = [each.counts() for each in found.studies]
    if any(sum(count.values()) - count["running"] < num_trials for count in counts):
        raise typer.Exit(stop_signals.status())
    if any(count["failed"] for count in counts):
        err.print("some trials failed; their message is in the table of trials", style="red")
        raise typer.Exit(1)
