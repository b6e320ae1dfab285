"""Who trains the packs of a command: the workers of this machine, or of a cluster."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from subind.specs.quoting import quoted_path
from subind.store.store import Store
from sweeps.cli.options import err, out
from sweeps.hosts.workers import Workers, available_workers
from sweeps.planning.store_checks import check_outlives_process
from sweeps.watching.display import SECONDS_BETWEEN_LINES


@contextmanager
def crew(store: Store, address: str | None, *, device: str, num_workers: int) -> Iterator[Workers]:
    """The workers of this machine, or of the Ray cluster at the address, connected to while the block runs."""
    check_outlives_process(store)
    name_useless_home()
    if address is None:
        _check_alone(num_workers)
        yield available_workers(device)
        return
    from sweeps.hosts.ray_nodes import cluster_ray, cluster_workers

    with cluster_ray(address):
        yield cluster_workers(store, device=device, num_workers=num_workers, tell=WaitingLine().tell)


def name_useless_home() -> None:
    """Say so in a line if the home folder can neither be made nor written; a sweep needs it for caches alone."""
    home = Path(os.environ.get("HOME", "")).absolute()
    folder = next(each for each in (home, *home.parents) if each.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it would say the same in several lines
        verb = "written" if home.is_dir() else "made"
        err.print(
            f"subind: HOME is {quoted_path(home)}, which cannot be {verb}: set it to a folder that you may write; "
            "this command keeps its caches in the temporary folder",
            style="yellow",
        )


class WaitingLine:
    """What is waited for: on a terminal a line that is written over, elsewhere one line a minute."""

    def __init__(self) -> None:
        self._told = float("-inf")

    def tell(self, text: str) -> None:
        """Show the line, if it is time to."""
        if out.is_terminal:
            out.print(text, end="\r")
        elif time.monotonic() - self._told > SECONDS_BETWEEN_LINES:
            out.print(text)
            self._told = time.monotonic()


def _check_alone(num_workers: int) -> None:
    if num_workers:
        raise ValueError(f"--num-workers is {num_workers}, which is for a cluster: give its --address, or leave it out")
