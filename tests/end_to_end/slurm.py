"""A Slurm of a test's own: its controller at the desk of `hosts.lan`, a node of one CPU on each host.

A job that is queued again waits for its old credentials to expire: ten seconds here, two minutes by default.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.hosts import Host, Lan, lan, skip_without_privileges
from tests.end_to_end.sweeps import until

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "nsenter")

SETTINGS = """\
ClusterName=subind
SlurmctldHost=desk({desk})
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
KillWait=30
OverTimeLimit=0
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def skip_without_slurm() -> None:
    """Skip the test where no Slurm can be started, and say why."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"Slurm needs {', '.join(missing)} (Debian: slurmctld, slurmd, slurm-client, munge)")
    skip_without_privileges()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slurm:
    """A controller that answers, and the machines that it knows."""

    lan: Lan
    folder: Path

    def run(self, *command: str) -> str:
        """What a command of Slurm's says at the desk, where it succeeds."""
        done = self._at_desk(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """PENDING, RUNNING, COMPLETED and so on."""
        return self._field(job, "JobState")

    def num_restarts(self, job: str) -> int:
        """How often a job was queued again."""
        return int(self._field(job, "Restarts"))

    def processes(self) -> list[str]:
        """The command lines of what runs on the nodes."""
        return [each for host in self.lan.hosts for each in self.lan.processes(host)]

    def _field(self, job: str, name: str) -> str:
        said = self.run("scontrol", "show", "job", job, "--oneliner")
        return next(each.partition("=")[2] for each in said.split() if each.startswith(f"{name}="))

    def _at_desk(self, *command: str) -> subprocess.CompletedProcess[str]:
        desk = self.lan.desk
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_", "SLURM"))}
        return subprocess.run(
            ["ip", "netns", "exec", desk.namespace, *command],
            cwd=desk.folder,
            env={**kept, "PATH": path, "HOME": str(desk.home), "SLURM_CONF": str(self.folder / "slurm.conf")},
            capture_output=True,
            text=True,
            check=False,
        )


@contextlib.contextmanager
def slurm(num_nodes: int) -> Iterator[Slurm]:
    """A Slurm with so many nodes; it is gone after the block."""
    with lan(num_nodes) as machines:
        found = Slurm(lan=machines, folder=machines.folder / "slurm")
        _write_settings(found)
        _start(found, machines.desk, "munged", "--foreground", "--force", *_munge_files(found.folder))
        until((found.folder / "munge" / "socket").exists)
        _start(found, machines.desk, "slurmctld", "-D")
        for host in machines.hosts:
            _start(found, host, "slurmd", "-D", "-N", host.name)
        idle = f"{num_nodes} idle"
        until(lambda: found._at_desk("sinfo", "--noheader", "--format=%D %t").stdout.strip() == idle)
        yield found


def _write_settings(slurm: Slurm) -> None:
    munge = slurm.folder / "munge"
    spools = [slurm.folder / f"spool-{host.name}" for host in slurm.lan.hosts]
    for path in (slurm.folder, munge, slurm.folder / "state", *spools):
        path.mkdir(mode=0o755)
    (munge / "key").write_bytes(os.urandom(128))
    (munge / "key").chmod(0o600)
    nodes = "\n".join(
        f"NodeName={host.name} NodeAddr={host.address} CPUs=1 RealMemory=1000 State=UNKNOWN" for host in slurm.lan.hosts
    )
    text = SETTINGS.format(desk=slurm.lan.desk.address, folder=slurm.folder, nodes=nodes)
    (slurm.folder / "slurm.conf").write_text(text)
    (slurm.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # so that slurmd asks for no cgroup


def _munge_files(folder: Path) -> list[str]:
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
    return [f"--{option}={folder / 'munge' / name}" for option, name in files.items()]


def _start(slurm: Slurm, host: Host, *command: str) -> None:
    """A daemon at the desk, or on a host in its namespaces; it ends with the machines."""
    named = ["unshare", "--uts", "bash", "-c", f'hostname {host.name}; exec "$@"', "_"]
    place = ["ip", "netns", "exec", host.namespace, *named]
    if host.process is not None:
        place = ["nsenter", "--target", str(host.first_process()), "--all"]
    with (slurm.folder / f"{host.name}-{command[0]}.out").open("w") as said:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *place, *command],
            env={**os.environ, "SLURM_CONF": str(slurm.folder / "slurm.conf")},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            text=True,
            start_new_session=True,
        )
    slurm.lan.running.append(process)
