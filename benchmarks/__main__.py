"""`python -m benchmarks NAME`: a benchmark. Progress goes to standard error; JSON stands alone on standard output."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from sweeps.cli.options import AsJson, Device, err, out
from sweeps.hosts.workers import available_workers

bench = typer.Typer(help="Measure how fast this machine trains, and how a large store is read.", no_args_is_help=True)


@bench.command("training")
def training_command(device: Device = "auto", as_json: AsJson = False) -> None:
    """Time the packed trainer against a plain loop over transformers' GPT-2, and against this machine's limit."""
    from benchmarks.training import training_benchmark

    data = training_benchmark(progress=err.print, device=available_workers(device).device)
    _tell(data, data["rows"], title=str(data["machine"]), as_json=as_json)


@bench.command("grid")
def grid_command(device: Device = "auto", as_json: AsJson = False) -> None:
    """Forecast a small real grid and sweep it, then once more with what the first sweep taught; some three minutes."""
    from benchmarks.grid import grid_benchmark

    data = grid_benchmark(progress=err.print, device=device)
    _tell(data, data["rounds"], title="measured over forecast", as_json=as_json)


@bench.command("tuning")
def tuning_command(
    rounds: Annotated[int, typer.Option("--rounds", help="How often each arm runs.", min=1)] = 2,
    as_json: AsJson = False,
) -> None:
    """Time a small study in packs against plain OptunaSearch with one trial per process, alternating; minutes."""
    from benchmarks.tuning import tuning_benchmark

    data = tuning_benchmark(progress=err.print, num_rounds=rounds)
    _tell(data, [data], title="one trial per process over packs", as_json=as_json)


@bench.command("store")
def store_command(
    cells: Annotated[int, typer.Option("--cells", help="Finished cells in the store.", min=1)] = 100_000,
    as_json: AsJson = False,
) -> None:
    """Time plan, export and report over a store of many finished cells, made in a temporary folder: 20 kB a cell."""
    from benchmarks.store import store_benchmark

    data = store_benchmark(cells, progress=err.print)
    _tell(data, [data], title=f"{cells:,} cells", as_json=as_json)


@bench.command("service")
def service_command(
    cells: Annotated[int, typer.Option("--cells", help="Trivial cells of the grid.", min=2)] = 1000,
    as_json: AsJson = False,
) -> None:
    """Sweep many trivial cells, to see what the service costs beside the training; a minute per thousand."""
    from benchmarks.service import service_benchmark

    data = service_benchmark(cells, progress=err.print)
    _tell(data, [data], title=f"{cells:,} trivial cells", as_json=as_json)


@bench.command("vision-input")
def vision_input_command(
    rounds: Annotated[int, typer.Option("--rounds", help="How often each side runs.", min=1)] = 5,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Time cached photographs against a DataLoader that decodes them, alone and with ResNet-18; minutes on a CPU."""
    from benchmarks.vision_input import Work, vision_input_benchmark

    where = available_workers(device).device
    data = vision_input_benchmark(progress=err.print, device=where, work=Work(num_rounds=rounds))
    _tell(data, data["rows"], title=str(data["machine"]), as_json=as_json)


def _tell(data: Any, rows: list[dict[str, Any]], *, title: str, as_json: bool) -> None:
    """What was measured, as JSON or as a table with a line per row."""
    if as_json:
        print(json.dumps(data))
        return
    table = Table(title=title, box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    out.print(table)


if __name__ == "__main__":
    bench()
