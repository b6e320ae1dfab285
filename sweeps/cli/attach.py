"""`subind attach`."""

from sweeps.cli.following import Address, Job, follow
from sweeps.remote.jobs import DASHBOARD, Cluster


def attach_command(job: Job, address: Address = DASHBOARD) -> None:
    """Follow the log of a job from its beginning until it ends or Ctrl-C. The exit status is that of the job."""
    follow(Cluster(address), job)
