"""`subind bundle`."""

from pathlib import Path

from sweeps.cli.options import out
from sweeps.remote.bundle import gather


def bundle_command() -> None:
    """Write the files that a cluster's nodes get: the sources, the cluster's token, the nodes' environment."""
    bundle = gather(Path.home())
    out.print(f"sources      {bundle.sources} ({bundle.commit or 'no commit'})")
    out.print(f"environment  {bundle.environment}: addresses and passwords that the nodes need go there")
    out.print(f"token        {bundle.token}: anyone who has it can run code on the cluster")
