"""Machines that are none: network namespaces on a bridge, each with its own processes, names, temporary files and sshd.

The desk is where the user sits; the bridge and its address live there, so that nothing is added to the network of this
machine. The hosts share nothing but the folder `shared`, as machines share a mounted disk. All of it ends with the
block, whatever happens in it: a host is the process tree of one `unshare --kill-child`.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NETWORK = "10.123.77"
"""Of the test's own, and seen inside its namespaces alone."""

PROGRAMS = ("ip", "setpriv", "unshare", "ssh", "ssh-keygen", "rsync", "tar", "uv", "mount")
SSHD = "/usr/sbin/sshd"
START_SECONDS = 30.0

FOLDERS = Path("/var/tmp")
"""Not /tmp, of which each host has its own: the homes stand on the disk of uv's cache, whose files they link."""


def skip_without_privileges() -> None:
    """Skip the test where hosts cannot be made, and say why."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if not Path(SSHD).exists():
        missing.append(SSHD)
    if missing:
        pytest.skip(
            f"three hosts need {', '.join(missing)}, which this machine has not (Debian: openssh-server, rsync)"
        )
    name = f"subind-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"this user may make no network namespaces ({made.stderr.strip()})")
    subprocess.run(["ip", "netns", "delete", name], check=True)


@dataclass(slots=True, kw_only=True)
class Host:
    """A machine of the test: its network namespace, address, home, and what it was started with."""

    name: str
    namespace: str
    address: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """The home of its only user."""
        return self.folder / "home"

    def first_process(self) -> int:
        """The process whose namespaces are the host's."""
        assert self.process is not None
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])


@dataclass(slots=True, kw_only=True)
class Lan:
    """The desk and the hosts, a folder that all of them see, and the key that opens the hosts."""

    folder: Path
    desk: Host
    hosts: list[Host] = field(default_factory=list)
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def shared(self) -> Path:
        """What the machines have in common."""
        return self.folder / "shared"

    @property
    def key(self) -> Path:
        """The private key of the desk's user."""
        return self.desk.home / ".ssh" / "id_ed25519"

    def start(self, *command: str, cwd: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command at the desk."""
        process = subprocess.Popen(
            _inside(self.desk, shlex.join(command)),
            cwd=cwd,
            env={
                **_clean_environment(),
                "HOME": str(self.desk.home),
                "TMPDIR": str(self.desk.folder / "ray"),  # Ray keeps cluster files in it that name this cluster
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def run(self, *command: str, cwd: Path, seconds: float = 300.0) -> tuple[int, str]:
        """Run a command at the desk to its end; its exit status and what it said."""
        process = self.start(*command, cwd=cwd)
        out, _ = process.communicate(timeout=seconds)
        return process.returncode, out

    def processes(self, host: Host) -> list[str]:
        """The command lines of the processes of a host."""
        namespace = Path(f"/proc/{host.first_process()}/ns/pid").readlink()
        found = []
        for each in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if each.name.isdigit() and (each / "ns/pid").readlink() == namespace:
                    found.append((each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip())
        return found


@contextlib.contextmanager
def lan(num_hosts: int) -> Iterator[Lan]:
    """A desk and hosts; they and all that runs there are gone after the block."""
    _remove_what_killed_tests_left()
    label = f"subind{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix=f"{label}-hosts-", dir=FOLDERS))
    desk = _host("desk", label, folder, number=1)
    found = Lan(
        folder=folder, desk=desk, hosts=[_host(f"host{n}", label, folder, number=10 + n) for n in range(num_hosts)]
    )
    try:
        found.shared.mkdir()
        _make_network(found)
        _make_keys(found)
        for host in found.hosts:
            host.process = _start_host(found, host)
        for host in found.hosts:
            _wait_for_sshd(found, host)
        yield found
    finally:
        _end(found)


def _remove_what_killed_tests_left() -> None:
    found = [*Path("/run/netns").glob("subind[0-9]*-*"), *FOLDERS.glob("subind[0-9]*-hosts-*")]
    for path in found:
        owner = path.name.removeprefix("subind").partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            if path.parent == FOLDERS:
                shutil.rmtree(path, ignore_errors=True)
            else:
                subprocess.run(["ip", "netns", "delete", path.name], capture_output=True, check=False)


def _host(name: str, label: str, folder: Path, *, number: int) -> Host:
    host = Host(name=name, namespace=f"{label}-{name}", address=f"{NETWORK}.{number}", folder=folder / name)
    host.home.mkdir(parents=True)
    (host.folder / "ray").mkdir()
    return host


def _make_network(lan: Lan) -> None:
    for host in (lan.desk, *lan.hosts):
        _ip("netns", "add", host.namespace)
        _ip("-n", host.namespace, "link", "set", "lo", "up")
    desk = lan.desk.namespace
    _ip("-n", desk, "link", "add", "bridge", "type", "bridge")
    _ip("-n", desk, "address", "add", f"{lan.desk.address}/24", "dev", "bridge")
    _ip("-n", desk, "link", "set", "bridge", "up")
    for host in lan.hosts:
        _ip("-n", desk, "link", "add", host.name, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        _ip("-n", desk, "link", "set", host.name, "master", "bridge", "up")
        _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", host.namespace, "link", "set", "eth0", "up")
        # It leads nowhere; Ray looks at the route to the Internet to find its own address.
        _ip("-n", host.namespace, "route", "add", "default", "via", lan.desk.address)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)


def _make_keys(lan: Lan) -> None:
    lan.key.parent.mkdir(mode=0o700)
    for path in (lan.key, *(host.folder / "host_key" for host in lan.hosts)):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    for host in lan.hosts:
        shutil.copy(lan.key.with_suffix(".pub"), host.folder / "authorized_keys")


def _start_host(lan: Lan, host: Host) -> subprocess.Popen[bytes]:
    """Its sshd, with the homes of this machine's user replaced by the host's own."""
    _write_home(host)
    settings = {"UV_CACHE_DIR": _uv_cache(), "UV_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    (host.folder / "sshd_config").write_text(
        f"Port 22\nHostKey {host.folder}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"PasswordAuthentication no\nAuthorizedKeysFile {host.folder}/authorized_keys\n"
        f"MaxSessions 100\nMaxStartups 100\nSetEnv {' '.join(f'{name}={value}' for name, value in settings.items())}\n"
    )
    command = f"exec {SSHD} -D -e -f {host.folder}/sshd_config"
    with (host.folder / "sshd.log").open("wb") as log:
        return subprocess.Popen(
            _inside(host, command, is_apart=True), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, env=_clean_environment(),
        )  # fmt: skip


def _write_home(host: Host) -> None:
    """What an administrator has set up: a shell, uv, a Python; accounts and names are bound over those of /etc."""
    programs = host.home / ".local" / "bin"
    programs.mkdir(parents=True)
    (programs / "uv").symlink_to(str(shutil.which("uv")))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (programs / f"python{version}").symlink_to(Path(sys.executable).resolve())
    (host.home / ".bashrc").write_text('export PATH="$HOME/.local/bin:$PATH"\n')
    accounts = Path("/etc/passwd").read_text().splitlines()
    own = f"root:x:0:0:root:{host.home}:/bin/bash"
    (host.folder / "passwd").write_text("\n".join([own, *accounts[1:]]) + "\n")
    (host.folder / "hosts").write_text(f"127.0.0.1 localhost\n{host.address} {host.name}\n")


def _uv_cache() -> str:
    done = subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _inside(host: Host, command: str, *, is_apart: bool = False) -> Sequence[str]:
    """The command in the host's namespaces; one that is apart has its own names, /tmp, /run and /dev/shm too.

    The process numbers are its own in any case: `ray stop` ends every Ray that it sees.
    """
    alone = [
        f"hostname {host.name}",
        *(f"mount -t tmpfs tmpfs {path}" for path in ("/tmp", "/run", "/dev/shm")),
        "mkdir -m 755 /run/sshd && chmod 1777 /tmp /dev/shm",
        *(f"mount --bind {host.folder}/{name} /etc/{name}" for name in ("passwd", "hosts")),
    ]
    # Ray's own folder stands outside, where the test can read its logs.
    ray = [f"mkdir -p /tmp/ray && mount --bind {host.folder}/ray /tmp/ray"]
    script = " && ".join([*(alone if is_apart else []), *ray, command])
    apart = ["--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "ip",
        "netns",
        "exec",
        host.namespace,
        "unshare",
        *apart,
        "bash",
        "-c",
        script,
    ]


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_", "UV_"))}


def _wait_for_sshd(lan: Lan, host: Host) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        status, _ = lan.run("bash", "-c", f"exec 3<>/dev/tcp/{host.address}/22", cwd=lan.folder)
        if status == 0:
            return
    raise AssertionError(f"{host.name} has no sshd: {(host.folder / 'sshd.log').read_text()}")


def _end(lan: Lan) -> None:
    for process in (*lan.running, *(host.process for host in lan.hosts if host.process is not None)):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    for host in (lan.desk, *lan.hosts):
        subprocess.run(["ip", "netns", "delete", host.namespace], capture_output=True, check=False)
    shutil.rmtree(lan.folder, ignore_errors=True)
