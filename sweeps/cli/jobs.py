"""`subind jobs`."""

import json

from rich.table import Table

from sweeps.cli.following import Address
from sweeps.cli.options import AsJson, out
from sweeps.remote.jobs import DASHBOARD, Cluster


def jobs_command(address: Address = DASHBOARD, as_json: AsJson = False) -> None:
    """List the jobs of the cluster, the latest first."""
    found = Cluster(address).jobs()
    if as_json:
        print(json.dumps([each.data() for each in found]))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("job", "status", "started", "ended", "command"):
        table.add_column(column)
    for each in found:
        times = (time.strftime("%Y-%m-%d %H:%M") if time else "" for time in (each.started, each.ended))
        table.add_row(each.job, each.status.lower(), *times, each.command)
    out.print(table)
