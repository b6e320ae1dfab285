"""The Ray that a sweep runs on: a private one on this machine, on loopback, or an existing cluster."""

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from sweeps.hosts import stop_signals
from sweeps.hosts.error_lines import BROKEN, details_file, one_line
from sweeps.hosts.private_files import private_secret
from sweeps.hosts.scratch import remove_own, scratch_folder

_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers run this environment as it is, not each a `uv run` of its own
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # nothing is restored from Tune's snapshots, and a full disk would fail them
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402  Ray reads its settings when it is imported
from ray._private import ray_constants  # noqa: E402
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # noqa: E402

# Where another module has imported Ray before, it has read the setting already.
ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] == "1"

SECONDS_TO_CONNECT = 10.0

LOOPBACK = "127.0.0.1"

SECONDS_BETWEEN_LOOKS = 0.05

SECONDS_TO_END = 10.0
"""How long Ray's processes may take to disappear after `kill -9`."""

NUM_STARTS = 3
"""How often a node is started if it does not come up. Ray allows 30 s each, which a busy machine may exceed."""

AGENT_SECONDS = 120
"""How long the raylet waits for its agent, instead of Ray's 30 s."""

RAY = "r"
"""The folder of Ray in the private folder. It is short because socket paths are limited."""

LONGEST_SOCKET_PATH = 107
"""The number of bytes that Linux allows for a socket path."""


SILENT_SECONDS_OF_A_HEAD = 30.0
"""Half of the time after which Ray itself ends a driver with status 1, the status of a failed run."""

SECONDS_BETWEEN_KNOCKS, SECONDS_OF_A_KNOCK = 1.0, 5.0


@contextmanager
def local_ray(*, num_cpus: int, on_death: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Start Ray for the duration of the block, or use the Ray that this process is already connected to.

    It listens on loopback only, requires a token that only this user can read, and keeps all its files in a private
    folder. Raises ValueError if that folder's path is too long, RayStartError if it does not come up.

    If one of Ray's servers dies, this process ends with status 3 and a line, after it calls `on_death`. It also ends
    if the head of a cluster does not answer for half a minute; the workers of other nodes may live on and keep their
    heartbeats.
    """
    _be_quiet()
    if ray.is_initialized():
        with _ended_without_head():
            yield
        return
    with scratch_folder() as folder, _private(folder):
        check_socket_path(folder)
        _start(folder / RAY, num_cpus=num_cpus)
        over = threading.Event()
        servers = _servers()
        watch = threading.Thread(target=_end_with, args=(servers, over, folder, on_death), daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()
            started = _with_children(servers.values())
            ray.shutdown()
            _end(started)


class RayStartError(OSError):
    """Ray did not come up on this machine."""


def check_socket_path(folder: Path) -> None:
    """Raise ValueError if the sockets of a Ray in this folder would have paths that are too long."""
    longest = f"/{RAY}/session_2026-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store"
    surplus = len(os.fsencode(folder)) + len(longest) - LONGEST_SOCKET_PATH
    if surplus > 0:
        parent = str(folder.parent)
        raise ValueError(
            f"TMPDIR is {one_line(parent, 80)!r}: a path of {len(os.fsencode(parent))} bytes is too long for Ray's "
            f"sockets; set TMPDIR to a folder whose path has at most {len(os.fsencode(parent)) - surplus}, such as /tmp"
        )


@contextmanager
def _private(folder: Path) -> Iterator[None]:
    """Use token authentication for the duration of the block, with a token of this Ray, whatever the environment
    says.
    """
    token = folder / "token"
    private_secret(token)
    with _environment({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_AUTH_TOKEN": None}):
        _read_settings_again()
        yield
    _read_settings_again()


def _read_settings_again() -> None:
    """Reset Ray's cached authentication mode and token."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    _set_environment(values)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _start(folder: Path, *, num_cpus: int) -> None:
    """Start a node in the folder, and retry if it does not come up."""
    errors = list[str]()
    folder.mkdir(mode=0o700)
    for _ in range(NUM_STARTS):
        children = set(psutil.Process().children(recursive=True))
        try:
            with _on_loopback(), stop_signals.kept():
                ray.init(
                    address="local",  # without it, Ray would connect to whatever cluster runs on this machine
                    num_cpus=num_cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    _node_ip_address=LOOPBACK,
                    _temp_dir=str(folder),
                    _system_config={"agent_register_timeout_ms": 1000 * AGENT_SECONDS},
                )
            folder.chmod(0o700)  # Ray has opened it to everyone, below a folder that is closed to them
            return
        except BaseException as error:
            _end(set(psutil.Process().children(recursive=True)) - children)
            ray.shutdown()
            if not isinstance(error, Exception):
                raise
            errors.append(" ".join(str(error).split()) or type(error).__name__)
    raise RayStartError(
        f"Ray did not start on this machine in {NUM_STARTS} attempts ({one_line(errors[-1], 200)}): it may be busy, or "
        f"short of memory or disk; free some and try again. Ray's output is in {details_file(_said(folder, errors))}"
    )


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Let Ray use 127.0.0.1 as its node's address. Otherwise it uses the machine's address and listens on all
    interfaces.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


# ---- the death of a server


def _servers() -> dict[str, psutil.Process]:
    """Ray's servers. Without one of them Ray ends this process after a minute or with pages of output."""
    running = ray._private.worker._global_node.all_processes  # type: ignore[attr-defined]
    return {name: psutil.Process(running[name][0].process.pid) for name in ("gcs_server", "raylet")}


def _end_with(
    servers: Mapping[str, psutil.Process], over: threading.Event, folder: Path, on_death: Callable[[], None]
) -> None:
    """End this process in order as soon as a server has died, unless the block is over before.

    The workers of a dead raylet have no parent any more, so the previous look remembers them.
    """
    known = _with_children(servers.values())
    while not over.wait(SECONDS_BETWEEN_LOOKS):
        found = _with_children(servers.values())
        if dead := [name for name, process in servers.items() if is_dead(process)]:
            _end_for(dead[0], known | found, folder, on_death)
        known = found


@contextmanager
def _ended_without_head() -> Iterator[None]:
    """End this process with a line if the cluster's head is silent; Ray would end it after a minute without one."""
    over = threading.Event()
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    watch = threading.Thread(target=_end_without, args=((host, int(port)), over), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _end_without(head: tuple[str, int], over: threading.Event) -> None:
    heard = time.monotonic()
    while not over.wait(SECONDS_BETWEEN_KNOCKS):
        try:
            socket.create_connection(head, timeout=SECONDS_OF_A_KNOCK).close()
            heard = time.monotonic()
        except OSError:
            if time.monotonic() - heard > SILENT_SECONDS_OF_A_HEAD:
                break
    if over.is_set():
        return
    _exit_with(
        _silenced(),
        f"the cluster's head at {head[0]}:{head[1]} has not answered for {SILENT_SECONDS_OF_A_HEAD:.0f} s: "
        "start it again; the same command then continues",
    )


def _end_for(dead: str, processes: set[psutil.Process], folder: Path, on_death: Callable[[], None]) -> None:
    told = _silenced()
    details = details_file(_said(folder, [f"{dead} died"]))
    _end(processes | set(psutil.Process().children(recursive=True)))
    with suppress(Exception):
        on_death()
    _exit_with(
        told,
        f"a server of Ray ({dead}) died during the sweep, killed or out of memory; "
        f"the same command continues. Ray's output is in {details}",
    )


def _exit_with(terminal: int, message: str) -> None:
    """Remove this process's folders, write the message to the open file `terminal`, and exit at once."""
    remove_own()
    show_cursor = "\033[?25h\n" if os.isatty(terminal) else ""
    with suppress(OSError):
        os.write(terminal, f"{show_cursor}subind: {message}\n".encode())
    os._exit(BROKEN)


def _silenced() -> int:
    """Discard both outputs, because Ray's threads write pages to them; return a copy of standard error."""
    told, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    for each in (1, 2):
        os.dup2(nowhere, each)
    return told


def is_dead(process: psutil.Process) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _with_children(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    found = set(processes)
    for each in processes:
        with suppress(psutil.Error):
            found |= set(each.children(recursive=True))
    return found


def _end(processes: Iterable[psutil.Process]) -> None:
    for each in processes:
        with suppress(psutil.Error):
            each.kill()
    psutil.wait_procs(list(processes), timeout=SECONDS_TO_END)


def _said(folder: Path, errors: Sequence[str]) -> str:
    """What went wrong at each start, and the ends of Ray's own logs."""
    logs = sorted(folder.glob("**/session_2*/logs/*"), key=lambda path: path.stat().st_mtime)
    parts = [f"attempt {number}: {error}" for number, error in enumerate(errors, start=1)]
    parts += [f"==> {path.name}\n{log_tail(path)}" for path in logs if path.is_file() and path.stat().st_size]
    return "\n\n".join(parts)


def worker_words(text: str) -> str:
    """The end of the dead worker's standard error, if its log is on this machine."""
    node: Any = ray._private.worker._global_node
    if node is None:
        return ""
    found = re.search(r"\bpid: (\d+)", text)
    pattern = f"worker-*-{found[1]}.err" if found else "raylet.err" if "startup worker" in text else ""
    logs = Path(node.get_logs_dir_path()).glob(pattern) if pattern else ()
    return next(filter(None, map(log_tail, logs)), "")


def log_tail(path: Path, num_bytes: int = 4000) -> str:
    """The end of a log; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - num_bytes))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


@contextmanager
def cluster_ray(address: str) -> Iterator[None]:
    """Connect to the cluster at an address for the duration of the block; `auto` is the cluster of this machine.

    Raises ValueError for an address of Ray Client, which Tune cannot use, and if no cluster answers.
    """
    if "://" in address:
        raise ValueError(
            f"--address is {address!r}: a sweep's driver runs inside the cluster; "
            "send it there with `subind submit`, or give auto or HOST:PORT on a machine of the cluster"
        )
    _check_answers(address)
    _be_quiet()
    try:
        with stop_signals.kept():
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        told = str(error).strip().splitlines()
        raise _no_cluster(address, told[0] if told else type(error).__name__) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise ValueError if nothing listens at HOST:PORT; Ray would retry for minutes and print every attempt."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(error)) from None


def _no_cluster(address: str, told: str) -> ValueError:
    return ValueError(
        f"--address is {address!r}: no Ray cluster answers there ({told}); "
        "start one with `ray up` or `ray start --head`, or leave --address out to run on this machine"
    )


def _be_quiet() -> None:
    """Silence Ray's loggers, and the thread that prints its servers' logs: pages when a raylet dies."""
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    for name in ("ray", "ray.tune", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
