"""A store on GCS, as far as its JSON interface can be played here: the first writer wins by the precondition."""

import importlib.util
import json
import re
import threading
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec
import pytest

from subind.identity.run_ids import run_id
from subind.store.store import Store
from tests.specs import tiny_donor
from tests.subind.records import small_record

if importlib.util.find_spec("gcsfs") is None:
    pytest.skip("needs gcsfs", allow_module_level=True)


class Bucket(BaseHTTPRequestHandler):
    """Upload, read, list and delete of one bucket, as the documentation of the JSON API describes them."""

    objects: ClassVar[dict[str, bytes]] = {}
    preconditions: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        wanted = parse_qs(urlsplit(self.path).query).get("ifGenerationMatch", [""])[0]
        parts: Any = message_from_bytes(f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode() + content)
        about, body = parts.get_payload()
        name = json.loads(about.get_payload(decode=True))["name"]
        self.preconditions.append(wanted)
        if wanted == "0" and name in self.objects:
            self._answer(412, b'{"error": {"code": 412, "message": "conditionNotMet"}}')
            return
        self.objects[name] = body.get_payload(decode=True)
        self._answer(200, json.dumps(self._about(name)).encode())

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if found := re.fullmatch(r".*/b/sweeps/o/(.+)", parts.path):
            name, content = unquote(found[1]), self.objects.get(unquote(found[1]))
            if content is None:
                self._answer(404, b"{}")
            elif "alt=media" in parts.query or "/download/" in parts.path:
                self._answer(200, content)
            else:
                self._answer(200, json.dumps(self._about(name)).encode())
            return
        prefix = parse_qs(parts.query).get("prefix", [""])[0]
        items = [self._about(name) for name in sorted(self.objects) if name.startswith(prefix)]
        self._answer(200, json.dumps({"kind": "storage#objects", "items": items}).encode())

    def do_DELETE(self) -> None:
        name = unquote(self.path.rpartition("/o/")[2].partition("?")[0])
        self._answer(204 if self.objects.pop(name, None) is not None else 404, b"")

    def _about(self, name: str) -> dict[str, Any]:
        size = str(len(self.objects[name]))
        dates = {"updated": "2026-01-01T00:00:00Z", "timeCreated": "2026-01-01T00:00:00Z"}
        return {"name": name, "bucket": "sweeps", "size": size, "generation": "1", "etag": "e", **dates}

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    server.daemon_threads = True
    Bucket.objects, Bucket.preconditions = {}, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
    for scheme in ("gcs", "gs"):
        monkeypatch.setitem(fsspec.config.conf, scheme, {"token": "anon"})
    yield Store("gs://sweeps/sweep")
    fsspec.get_filesystem_class("gs").clear_instance_cache()
    server.shutdown()
    thread.join()
    server.server_close()


def test_commit_to_gcs_asks_for_the_precondition_and_the_first_one_wins(gcs: Store) -> None:
    spec = tiny_donor()
    assert gcs.commit(spec, small_record(spec), {"a": b"first"})
    assert Bucket.preconditions == ["", "0"]
    assert not gcs.commit(spec, small_record(spec, measurements={}), {"a": b"second"})
    assert gcs.record(spec).measurements == small_record(spec).measurements
    assert gcs.artifact(spec, "a") == b"first"


def test_listing_of_gcs_holds_what_was_committed_with_its_stamp(gcs: Store) -> None:
    gcs.commit(tiny_donor(), small_record(tiny_donor()), {})
    found = gcs.listing().finished
    assert found.keys() == {run_id(tiny_donor())}
    assert all(found.values())


def test_run_that_gcs_does_not_hold_is_not_found(gcs: Store) -> None:
    assert not gcs.is_finished(tiny_donor())
    with pytest.raises(FileNotFoundError):
        gcs.record(tiny_donor())


@pytest.mark.parametrize("name", ["sweep/", "sweep//double", "sweep/runs//double/record.json", "sweep/runs/../up/x"])
def test_object_with_a_name_that_is_no_path_stops_no_listing_of_gcs(gcs: Store, name: str) -> None:
    gcs.commit(tiny_donor(), small_record(tiny_donor()), {})
    Bucket.objects[name] = b"x"
    assert run_id(tiny_donor()) in gcs.finished()
    assert (gcs.heartbeats(), gcs.checkpoints()) == ((), ())
