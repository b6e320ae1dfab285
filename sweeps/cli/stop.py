"""`subind stop`."""

from sweeps.cli.following import Address, Job
from sweeps.cli.options import out
from sweeps.remote.jobs import DASHBOARD, Cluster


def stop_command(job: Job, address: Address = DASHBOARD) -> None:
    """Stop a job as Ctrl-C would: finished runs stay, and submitting the same grid continues."""
    if Cluster(address).stop(job):
        out.print(f"{job} is asked to stop; `subind attach {job}` shows its log")
    else:
        out.print(f"{job} was not running")
