"""Commands for a cluster: what its nodes get, and sweeps there that outlive this machine's connection."""

from pathlib import Path

from sweeps.cli.app import app, out


@app.command("bundle")
def bundle_command() -> None:
    """Gather what cluster files take to the nodes: the sources, the cluster's token, the environment of the nodes."""
    from sweeps.bundle import gather

    bundle = gather(Path.home())
    out.print(f"sources      {bundle.sources} ({bundle.commit or 'no commit'})")
    out.print(f"environment  {bundle.environment}: addresses and passwords that the nodes need go there")
    out.print(f"token        {bundle.token}: whoever has it can run code on the cluster")
