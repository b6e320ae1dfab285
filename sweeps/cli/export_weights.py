"""The command that takes a network out of the store: `subind export-weights`."""

from pathlib import Path
from typing import Annotated

import typer

from subind.store.files import joined
from subind.store.results import RunRecord
from subind.store.row_values import WEIGHTS
from subind.store.store import Store
from sweeps.cli.options import StorePath, home_for, out
from sweeps.exporting.row_files import written_whole
from sweeps.planning.store_checks import opened_store
from sweeps.watching.which_run import Known, meant_run, runs_path, stored_runs


def export_weights_command(
    run: Annotated[str, typer.Argument(help="A run's id, the beginning of it, or the name or path of its folder.")],
    *,
    output: Annotated[
        Path, typer.Option("--output", callback=home_for("--output"), help="The safetensors file to write.")
    ],
    store: StorePath = "store",
) -> None:
    """Write the weights of a donor or of a kept recipient, as its library loads them.

    They are a state dict with the names of transformers, torchvision or the module itself.
    """
    opened = opened_store(store)
    found = meant_run(run, stored_runs(opened))
    folder = joined(runs_path(opened), found.stage, found.folder)
    content = _weights(opened, found, folder)
    output.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(output) as temporary:
        temporary.write_bytes(content)
    out.print(f"{output}: the weights of {found}, {len(content) / 1e6:.1f} MB; load them with")
    out.print(f"    module.load_state_dict(safetensors.torch.load_file({str(output)!r}))")


def _weights(store: Store, found: Known, folder: str) -> bytes:
    """The run's file of weights. Raises ValueError saying why there is none, and how to have one."""
    try:
        record = store.record_in(folder, found.run)
    except FileNotFoundError:
        raise ValueError(f"RUN is {found}, which is not finished: `subind why {found.run}` says why") from None
    if WEIGHTS not in record.artifacts:
        raise ValueError(f"RUN is {found}, {_why_none(record)}")
    return store.artifact_in(folder, found.run, WEIGHTS)


def _why_none(record: RunRecord) -> str:
    match record.stage:
        case "mask":
            return f"which leaves a mask and no network: export the donor {record.parents[0]}"
        case "measurement":
            return f"which measures a network and leaves none: export the run {record.parents[0]}"
        case _:
            return (
                "whose weights were not kept: add the line KEEP = True to the grid's file, or give `subind run` the "
                "option `--keep all`, and run the grid again; the run is then computed once more"
            )
