"""`subind gc`."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from sweeps.cli.options import AsJson, StorePath, out
from sweeps.planning.store_checks import check_exists, opened_store
from sweeps.store_care import gc
from sweeps.store_care.gc import KINDS, Leftover


def gc_command(
    store: StorePath = "store",
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the files that are listed.")] = False,
    idle_days: Annotated[
        float, typer.Option(help="Days after which a checkpoint without a worker is removed.", min=1)
    ] = gc.IDLE_DAYS,
    as_json: AsJson = False,
) -> None:
    """List files that nobody needs, and remove them with --delete: orphaned checkpoints, dead heartbeats, files of
    killed writers, artifacts that no record names, old parts of the index. Finished runs, failures, imported weights
    and work in progress stay.
    """
    opened = opened_store(store)
    check_exists(opened)
    found = gc.leftovers(opened, idle_days=idle_days)
    gone = tuple(gc.removed(opened, found)) if delete else ()
    if as_json:
        print(json.dumps(_data(found, gone)))
        return
    for each in found:
        out.print(f"{each.kind} {each.entry.path} ({_size(each.entry.num_bytes)}): {each.why}")
    _print_sums(found)
    if delete:
        out.print(f"{len(gone)} of {len(found)} files removed, {_size(_num_bytes(gone))}")
    elif found:
        out.print("nothing was removed; `--delete` removes these files")


def _data(found: tuple[Leftover, ...], gone: tuple[Leftover, ...]) -> dict[str, Any]:
    return {
        "files": [
            {"kind": each.kind, "path": each.entry.path, "num_bytes": each.entry.num_bytes, "why": each.why}
            for each in found
        ],
        "num_bytes": _num_bytes(found),
        "num_removed": len(gone),
        "num_bytes_removed": _num_bytes(gone),
    }


def _print_sums(found: tuple[Leftover, ...]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("not needed", "files", "size"):
        table.add_column(name, justify="left" if name == "not needed" else "right")
    for kind in KINDS:
        some = tuple(each for each in found if each.kind == kind)
        table.add_row(kind, str(len(some)), _size(_num_bytes(some)))
    table.add_row("all", str(len(found)), _size(_num_bytes(found)))
    out.print(table)


def _num_bytes(several: tuple[Leftover, ...]) -> int:
    return sum(each.entry.num_bytes for each in several)


def _size(num_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"
