"""Optuna's dashboard over real HTTP: its own page may read and change studies, a page of another site may not."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from wsgiref.simple_server import make_server

import pytest
from optuna_dashboard import wsgi

from sweeps.tuning.dashboard import guarded
from tests.sweeps.studies import small_trials

EVIL = "http://evil.example"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Where the guarded dashboard of a small study answers."""
    application = guarded(wsgi(small_trials(tmp_path).storage))
    with make_server("127.0.0.1", 0, application) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def asked(port: int, method: str, path: str, headers: dict[str, str], *, content: str = "") -> tuple[int, str]:
    """The status and the text of an answer; the Host header is that of a browser unless it is given."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": f"127.0.0.1:{port}", "Content-Length": str(len(content)), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders(content.encode())
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def num_studies(port: int) -> int:
    """How many studies the dashboard shows."""
    status, text = asked(port, "GET", "/api/studies", {})
    assert status == 200
    return len(json.loads(text)["study_summaries"])


OF_ANOTHER_PAGE: list[dict[str, str]] = [
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://["},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {},
]
"""Headers of requests that no page of the dashboard sends."""


def test_dashboard_that_another_page_asks_to_delete_a_study_keeps_it(port: int) -> None:
    for headers in OF_ANOTHER_PAGE:
        status, text = asked(port, "DELETE", "/api/studies/1", headers)
        assert (status, num_studies(port)) == (403, 1), headers
        assert text.count("\n") == 1
        assert "open the dashboard itself" in text


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_dashboard_under_a_name_of_another_machine_answers_nothing(port: int, method: str) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "127.0.0.2", "", "["):
        status, text = asked(port, method, "/api/studies/1", {"Host": host, "Origin": f"http://{host}"})
        assert (status, num_studies(port)) == (403, 1), host
        assert f"open http://127.0.0.1:{port}" in text


def test_dashboard_answers_no_read_of_another_page(port: int) -> None:
    status, text = asked(port, "GET", "/api/studies", {"Origin": EVIL})
    assert status == 403
    assert "small" not in text


def test_dashboard_makes_no_study_from_a_form_of_another_page(port: int) -> None:
    form = json.dumps({"study_name": "theirs", "directions": ["minimize"]})
    status, _ = asked(port, "POST", "/api/studies", {"Origin": EVIL, "Content-Type": "text/plain"}, content=form)
    assert (status, num_studies(port)) == (403, 1)


@pytest.mark.parametrize("name", ["localhost", "[::1]"])
def test_dashboard_obeys_its_own_page(port: int, name: str) -> None:
    own = {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}", "Sec-Fetch-Site": "same-origin"}
    assert asked(port, "GET", "/api/studies", own)[0] == 200
    assert asked(port, "DELETE", "/api/studies/1", own)[0] == 204
    assert num_studies(port) == 0
