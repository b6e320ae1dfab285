"""Jobs on a cluster: Ray Jobs starts `subind run` on the head, where it outlives this machine.

A job consists of the grid's file, the modules that it imports from its folder, and a command line. Secrets are not
sent: the nodes get them from their environment, and the cluster's token is only in request headers.
"""

import asyncio
import contextlib
import os
import shlex
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sweeps.grids import Grid
from sweeps.grids.cells import chosen, condition
from sweeps.grids.own_code import own_files
from sweeps.hosts.patience import pause
from sweeps.hosts.secrets import redacted

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails
    from ray.job_submission import JobSubmissionClient

DASHBOARD = "http://127.0.0.1:8265"
"""The address to which `ray dashboard` and `kubectl port-forward` forward a cluster's dashboard."""

STOP_SECONDS = 120
"""How long a stopped driver may take before it is killed."""

STOPPED = 130
"""The exit status of a stopped job, as after Ctrl-C."""

OVER = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
SECONDS_BETWEEN_ATTEMPTS = 2.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A sweep for a cluster, as arguments of `subind run`; `options` are further arguments."""

    grid: Grid
    where: tuple[str, ...]
    store: str
    tracking_uri: str | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job of the cluster: its state in Ray's words, when it began and ended, and its command line."""

    job: str
    status: str
    started: datetime | None
    ended: datetime | None
    command: str

    def data(self) -> dict[str, Any]:
        """As JSON data: times in ISO 8601, null for a time that has not come yet."""
        times = {"started": self.started, "ended": self.ended}
        told = {name: time and time.isoformat(timespec="seconds") for name, time in times.items()}
        return {"job": self.job, "status": self.status, **told, "command": self.command}


def checked(order: Order) -> Order:
    """The order, if it can run on a cluster.

    Raises ValueError for a condition that cannot be, a store that the nodes do not share, and a secret in an
    address, which everyone on the head could read in the list of processes.
    """
    if not chosen(order.grid.cells, [condition(text) for text in order.where]):
        raise ValueError(f"--where {' '.join(order.where)} leaves no cell of {order.grid.name}: choose others")
    scheme = urlsplit(order.store).scheme if "://" in order.store else ""
    if scheme in ("memory", "file", "local") or not (scheme or Path(order.store).is_absolute()):
        raise ValueError(
            f"--store is {order.store!r}, which the nodes of a cluster do not share: give s3://BUCKET/FOLDER, "
            "gs://BUCKET/FOLDER, or the absolute path of a folder that all of them mount"
        )
    for option, uri in (("--store", order.store), ("--tracking-uri", order.tracking_uri or "")):
        if (shown := redacted(uri, uri)) != uri:
            raise ValueError(
                f"{option} is {shown!r} and carries a secret, which would stand in the list of processes: leave it out "
                "and set it in the environment of the nodes (~/.subind/environment)"
            )
    return order


def command_line(order: Order) -> str:
    """The job's command line; it starts in the folder with the grid's file."""
    grid = Path(order.grid.name).name
    words = ["subind", "run", grid, "--address", "auto", "--store", order.store]
    for text in order.where:
        words += ["--where", text]
    if order.tracking_uri:
        words += ["--tracking-uri", order.tracking_uri]
    return f"exec {shlex.join([*words, *order.options])}"


class Cluster:
    """The jobs of a cluster, through the address of its dashboard."""

    def __init__(self, address: str = DASHBOARD) -> None:
        """Connect, with the token of this machine if there is one.

        Raises ValueError if nothing answers there, or the token is missing or wrong.
        """
        self.address = address.rstrip("/")
        self._client = _connected(self.address)

    @property
    def sends_token_in_clear(self) -> bool:
        """Whether the token would cross a network unencrypted."""
        parts = urlsplit(self.address)
        return parts.scheme == "http" and parts.hostname not in LOOPBACK and "RAY_AUTH_MODE" in os.environ

    def submit(self, order: Order) -> str:
        """Start the sweep on the head; the job's name. Raises ValueError for an order that cannot run there."""
        checked(order)
        job = f"subind-{order.grid.label}-{uuid.uuid4().hex[:8]}"
        variables = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
        environment: dict[str, Any] = {"env_vars": variables}
        with tempfile.TemporaryDirectory(prefix="subind-submit-") as folder:
            if order.grid.is_file:
                for name, content in own_files(Path(order.grid.name)).items():
                    (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                    (Path(folder) / name).write_bytes(content)
                environment["working_dir"] = folder
            return self._client.submit_job(
                entrypoint=command_line(order), submission_id=job, runtime_env=environment, metadata={"subind": "run"}
            )

    def follow(self, job: str, write: Callable[[str], None]) -> int:
        """Pass the job's log to `write` as it grows, until the job ends; return its exit status.

        It reconnects after a broken connection, and writes nothing twice. Raises ValueError for an unknown job, and
        ConnectionError if the cluster is gone.
        """
        self._details(job)
        log = _Log(write)
        while True:
            # The connection may break, and the log may not be there yet: the next question tells.
            with contextlib.suppress(OSError, RuntimeError):
                asyncio.run(log.follow(self._client, job))
            details = self._details(job)
            if str(details.status) in OVER:
                log.catch_up(self._client.get_job_logs(job))
                return _exit_status(details)
            pause(SECONDS_BETWEEN_ATTEMPTS)

    def stop(self, job: str) -> bool:
        """Ask the job's driver to stop; return whether it was running. Raises ValueError for an unknown job."""
        self._details(job)
        return bool(self._client.stop_job(job))

    def jobs(self) -> list[JobState]:
        """The jobs that were submitted to the cluster, the latest first."""
        found = [_state(each) for each in self._client.list_jobs() if each.submission_id is not None]
        return sorted(found, key=lambda each: each.started or datetime.min.replace(tzinfo=UTC), reverse=True)

    def _details(self, job: str) -> "JobDetails":
        import requests

        try:
            return self._client.get_job_info(job)
        except requests.exceptions.ConnectionError:
            raise ConnectionError(_unreachable(self.address)) from None
        except RuntimeError as error:
            if "404" not in str(error):
                raise ConnectionError(f"{self.address} does not answer about {job}: {_first_line(error)}") from None
            raise ValueError(f"the cluster at {self.address} has no job {job!r}: `subind jobs` lists them") from None


class _Log:
    """A log that arrives in pieces, again from the start after each break, and is written once."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._num_written = 0

    async def follow(self, client: "JobSubmissionClient", job: str) -> None:
        seen = 0
        async for lines in client.tail_job_logs(job):
            self._take(lines, start=seen)
            seen += len(lines)

    def catch_up(self, whole: str) -> None:
        """Write what is missing of the whole log."""
        self._take(whole, start=0)

    def _take(self, text: str, *, start: int) -> None:
        if new := text[max(0, self._num_written - start) :]:
            self._write(new)
        self._num_written = max(self._num_written, start + len(text))


def _connected(address: str) -> "JobSubmissionClient":
    if urlsplit(address).scheme not in ("http", "https"):
        raise ValueError(f"--address is {address!r}: give the URL of the cluster's dashboard, such as {DASHBOARD}")
    _use_token()
    os.environ["RAY_API_SERVER_ADDRESS"] = address  # another one there, or in RAY_ADDRESS, would go before `address`
    import logging

    import requests
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    modules = ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env.packaging")
    for chatty in (f"ray.{name}" for name in modules):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        return JobSubmissionClient(address)
    except AuthenticationError:
        raise ValueError(
            f"the cluster at {address} refuses the token of this machine: take the one of the cluster "
            "(~/.ray/auth_token there) by RAY_AUTH_TOKEN_PATH, and set RAY_AUTH_MODE=token"
        ) from None
    except (ConnectionError, requests.exceptions.RequestException):
        raise ValueError(_unreachable(address)) from None
    except RuntimeError as error:
        raise ValueError(f"{address} is not the dashboard of a Ray cluster: {_first_line(error)}") from None


def _use_token() -> None:
    """Ask for token authentication where there is a token; Ray decides on it when it is imported."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or path.is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _unreachable(address: str) -> str:
    return (
        f"no dashboard of a Ray cluster answers at {address}: keep `ray dashboard CLUSTER.yaml` open in another "
        "terminal, or give --address"
    )


def _exit_status(details: "JobDetails") -> int:
    """The driver's exit status; 1 if there is none, because its node is gone or it could not start."""
    match str(details.status):
        case "SUCCEEDED":
            return 0
        case "STOPPED":
            return STOPPED
        case _:
            return details.driver_exit_code or 1


def _state(details: "JobDetails") -> JobState:
    return JobState(
        job=str(details.submission_id),
        status=str(details.status),
        started=_time(details.start_time),
        ended=_time(details.end_time),
        command=details.entrypoint.removeprefix("exec "),
    )


def _time(milliseconds: int | None) -> datetime | None:
    return None if not milliseconds else datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
