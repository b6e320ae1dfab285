"""The MLflow tracking server of a team: PostgreSQL behind it, artifacts in an object store, a password before it.

It listens on loopback, behind a proxy with TLS, unless told otherwise. All that is secret comes from the environment
or from files that only their owner reads, and reaches MLflow in the same ways.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sweeps.hosts.private_files import private_secret, write_private
from sweeps.hosts.secrets import redacted
from sweeps.mirror import server_process
from sweeps.mirror.tracker import scheme

BACKEND = "MLFLOW_BACKEND_STORE_URI"
ARTIFACTS = "MLFLOW_ARTIFACTS_DESTINATION"
USERNAME = "MLFLOW_AUTH_ADMIN_USERNAME"
PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"  # noqa: S105  the name of a variable
SECRET_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"  # noqa: S105

KNOWN_PASSWORDS = frozenset({"password1234", "password", "admin", "changeme"})
"""The one that MLflow once shipped, and what comes to mind first."""

SHORTEST_PASSWORD = 12
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
OBJECT_STORES = ("s3", "gs", "abfss", "wasbs", "hdfs", "file", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How the server is reached: address, port, and the Host headers it answers to, none meaning those of loopback.

    `folder` keeps the generated admin password and the key of its sessions from one start to the next.
    """

    host: str
    port: int
    allowed_hosts: tuple[str, ...]
    artifacts: str
    folder: Path
    num_workers: int


def serve(
    service: Service, *, environment: Mapping[str, str] = os.environ, on_ready: Callable[[str], None] = print
) -> int:
    """Serve until Ctrl-C or SIGTERM; `on_ready` is called with the URL once it answers.

    Returns 0 when it was ended so, else the exit status of MLflow.

    Raises ValueError if the database, the artifacts, the hosts, the password or the port cannot be.
    """
    backend = checked_backend(environment)
    check_reach(service)
    password = admin_password(service, environment)
    with _authentication(backend, environment.get(USERNAME) or "admin") as config:
        settings = {
            BACKEND: backend,
            ARTIFACTS: checked_artifacts(service.artifacts),
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            PASSWORD: password,
            SECRET_KEY: environment.get(SECRET_KEY) or private_secret(service.folder / "session_key"),
            "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(_host_headers(service)),
            "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",
        }
        arguments = ("--workers", str(service.num_workers), "--app-name", "basic-auth")
        return server_process.serve(arguments, settings, host=service.host, port=service.port, on_ready=on_ready)


def checked_backend(environment: Mapping[str, str]) -> str:
    """The URI of the PostgreSQL database. Raises ValueError if there is none; it never shows a password."""
    uri = environment.get(BACKEND, "")
    if scheme(uri) != "postgresql":
        found = f"is {redacted(uri, uri)!r}" if uri else "is not set"
        raise ValueError(
            f"{BACKEND} {found}: a team's server keeps its runs in PostgreSQL, so set it to "
            "postgresql://USER:PASSWORD@HOST/DATABASE; for a SQLite mirror on this machine there is `subind ui`"
        )
    return uri


def checked_artifacts(artifacts: str) -> str:
    """Where artifacts are kept. Raises ValueError for a relative folder, an unknown scheme, and a secret in it."""
    kind = urlsplit(artifacts).scheme
    if kind not in OBJECT_STORES or not (kind or Path(artifacts).is_absolute()):
        shown = redacted(artifacts, artifacts)
        raise ValueError(f"--artifacts is {shown!r}: give s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or an absolute path")
    if redacted(artifacts, artifacts) != artifacts:
        raise ValueError("--artifacts carries a secret: leave it out and set it in the environment")
    return artifacts


def check_reach(service: Service) -> None:
    """Raise ValueError if other machines shall reach the server and nothing says by which names."""
    if service.host not in LOOPBACK_NAMES and not service.allowed_hosts:
        raise ValueError(
            f"--host is {service.host!r}, which other machines reach, and no --allowed-host says by which name: give "
            "the names that clients use, such as --allowed-host mlflow.example.org"
        )


def admin_password(service: Service, environment: Mapping[str, str]) -> str:
    """The administrator's password: from the environment, else generated once into a file of the service's folder.

    Raises ValueError for one that everybody knows or that is short; it is not shown.
    """
    password = environment.get(PASSWORD) or private_secret(password_file(service))
    if password in KNOWN_PASSWORDS or len(password) < SHORTEST_PASSWORD:
        raise ValueError(
            f"{PASSWORD} is one that everybody tries first, or has less than {SHORTEST_PASSWORD} characters: take a "
            "random one, or leave it unset to have one generated"
        )
    return password


def password_file(service: Service) -> Path:
    """Where a generated password is kept."""
    return service.folder / "admin_password"


def _host_headers(service: Service) -> list[str]:
    """With and without the port, as browsers and clients send them."""
    names = [*LOOPBACK_NAMES[:2], *service.allowed_hosts]
    return [form for name in dict.fromkeys(names) for form in ((name,) if ":" in name else (name, f"{name}:*"))]


@contextmanager
def _authentication(backend: str, administrator: str) -> Iterator[Path]:
    """MLflow's file of settings for authentication; it names the database, hence nobody else reads it.

    Everyone with an account may write: drivers of a team share the experiment of a grid.
    """
    uri = backend.replace("%", "%%")
    text = (
        "[mlflow]\n"
        "default_permission = EDIT\n"
        f"database_uri = {uri}\n"
        f"admin_username = {administrator}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_ttl_seconds = 60\n"
    )
    with tempfile.TemporaryDirectory(prefix="subind-serve-") as folder:
        path = Path(folder) / "basic_auth.ini"
        write_private(path, text)
        yield path
