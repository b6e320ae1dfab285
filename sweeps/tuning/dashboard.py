"""Optuna's dashboard, reachable from this machine and from its own pages only.

It has no password. A page of another site in the same browser could read studies through a name that points to
127.0.0.1, or delete one by a request. Both are refused.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

from sweeps.hosts import stop_signals
from sweeps.mirror.server_process import LOOPBACK, check_port
from sweeps.tuning.trials import Trials

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

LOOPBACK_NAMES = (LOOPBACK, "localhost", "::1")
READING = ("GET", "HEAD")


def serve_dashboard(trials: Trials, *, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve Optuna's dashboard on the storage of a study until Ctrl-C or SIGTERM; only this machine reaches it.

    Raises ValueError if the port is taken.
    """
    from optuna_dashboard import wsgi

    application = guarded(wsgi(trials.storage))
    check_port(LOOPBACK, port)
    with stop_signals.interrupting(), make_server(LOOPBACK, port, application, handler_class=_Silent) as server:
        on_ready(f"http://{LOOPBACK}:{port}")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def guarded(application: "WSGIApplication") -> "WSGIApplication":
    """The application, which answers 403 and a line to what `refusal` gives a reason for."""

    def guard(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        reason = refusal(environ)
        if not reason:
            return application(environ, start_response)
        content = f"{reason}\n".encode()
        about = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(content)))]
        start_response("403 Forbidden", about)
        return [content]

    return guard


def refusal(environ: "WSGIEnvironment") -> str:
    """Why a request is refused; empty if it is not.

    Browsers send Origin with every request that may change something, so one without it is no page's.
    """
    host, origin = str(environ.get("HTTP_HOST", "")), str(environ.get("HTTP_ORIGIN", ""))
    if _name(f"//{host}") not in LOOPBACK_NAMES:
        return f"the Host header is not a name of this machine: open http://{LOOPBACK}:{environ.get('SERVER_PORT')}"
    if origin and origin not in (f"http://{host}", f"https://{host}"):
        return "the request comes from a page of another site: open the dashboard itself"
    if environ["REQUEST_METHOD"] in READING:
        return ""
    if not origin or environ.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
        return "a request that changes something must come from the dashboard's own page: open the dashboard itself"
    return ""


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


class _Silent(WSGIRequestHandler):
    """Logs no line per request."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the parameter of the base
        pass
