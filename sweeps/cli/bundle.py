"""`subind bundle`."""

from pathlib import Path

from sweeps.cli.options import out
from sweeps.remote.bundle import gather


def bundle_command() -> None:
    """Gather what cluster files take to the nodes: the sources, the cluster's token, the environment of the nodes."""
    bundle = gather(Path.home())
    out.print(f"sources      {bundle.sources} ({bundle.commit or 'no commit'})")
    out.print(f"environment  {bundle.environment}: addresses and passwords that the nodes need go there")
    out.print(f"token        {bundle.token}: whoever has it can run code on the cluster")
