"""A real S3 server on loopback, and a connection to it that fails on demand."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDOFATEST",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-a-test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
}
BUCKET = "sweeps"


@contextlib.contextmanager
def s3_server() -> Iterator[int]:
    """The port of moto's server on loopback, with an empty bucket BUCKET."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    try:
        yield port
    finally:
        server.stop()


def make_bucket(port: int, name: str) -> None:
    """An empty bucket; the one there was is emptied."""
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **credentials())
    with contextlib.suppress(client.exceptions.NoSuchBucket):
        found = client.list_objects_v2(Bucket=name).get("Contents", [])
        for each in found:
            client.delete_object(Bucket=name, Key=each["Key"])
    client.create_bucket(Bucket=name)
    client.close()


def credentials() -> dict[str, str]:
    """Those of the test, as boto3 takes them."""
    return {
        "aws_access_key_id": ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        "region_name": ENVIRONMENT["AWS_DEFAULT_REGION"],
    }


def stored_names(port: int) -> list[str]:
    """The names of all objects of the bucket BUCKET."""
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **credentials())
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    found = [each["Key"] for page in pages for each in page.get("Contents", [])]
    client.close()
    return found


def stored_bytes(port: int, name: str) -> bytes:
    """An object of the bucket BUCKET."""
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **credentials())
    found = bytes(client.get_object(Bucket=BUCKET, Key=name)["Body"].read())
    client.close()
    return found


def put_object(port: int, key: str, content: bytes) -> None:
    """Write an object of the bucket BUCKET under a key of any form."""
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **credentials())
    client.put_object(Bucket=BUCKET, Key=key, Body=content)
    client.close()


def forget_connections() -> None:
    """Let the next store connect anew: fsspec keeps a file system for all of the same settings."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


class Proxy:
    """A TCP proxy to a port of this machine that cuts connections: `cuts` of them, each after so many bytes sent up."""

    def __init__(self, target: int) -> None:
        self.cuts = 0
        self.num_cut = 0
        self.after_bytes = 0
        self.swallows_answers = False
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.port = self._listening.getsockname()[1]

    def __enter__(self) -> "Proxy":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for each in [self._listening, *self._sockets]:
            _end(each)
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=target, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                self._start(self._carry, client, server, True)
                self._start(self._carry, server, client, False)

    def _carry(self, source: socket.socket, sink: socket.socket, upwards: bool) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sent += len(data)
                if upwards and not self.swallows_answers and sent > self.after_bytes and self._takes_a_cut():
                    sink.sendall(data[: len(data) // 2])
                    break
                if not upwards and self.swallows_answers and self._takes_a_cut():
                    break
                sink.sendall(data)
        _end(source)
        _end(sink)

    def _takes_a_cut(self) -> bool:
        with self._lock:
            if self.cuts < 1:
                return False
            self.cuts -= 1
            self.num_cut += 1
            return True


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


@contextlib.contextmanager
def answering(status: int, code: str, *, times: int = 10**9, then: int = 0) -> Iterator[tuple[int, list[str]]]:
    """The port of a server that answers as S3 does in trouble, so many times, and the methods that it was asked for.

    After that it sends on what it is asked to the port `then`.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            asked.append(self.command)
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if len(asked) > times:
                self._forward(content)
                return
            body = f"<Error><Code>{code}</Code><Message>{code} it is</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _forward(self, content: bytes) -> None:
            import http.client

            to = http.client.HTTPConnection("127.0.0.1", then)
            to.request(self.command, self.path, body=content, headers=dict(self.headers))
            answer = to.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(body)
            to.close()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815  the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
