"""`subind stop`."""

from sweeps.cli.following import Address, Job
from sweeps.cli.options import out
from sweeps.remote.jobs import DASHBOARD, Cluster


def stop_command(job: Job, address: Address = DASHBOARD) -> None:
    """End a job as Ctrl-C would end its command: what is finished stays, and the same grid submitted again goes on."""
    if Cluster(address).stop(job):
        out.print(f"{job} is asked to end; `subind attach {job}` shows how it does")
    else:
        out.print(f"{job} was not running")
