"""The Ray that a sweep runs on: one of our own on this machine, quiet and on loopback, or a cluster that is there."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers run this environment as it is, not each a `uv run` of its own
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402  Ray reads its settings when it is imported

SECONDS_TO_CONNECT = 10.0


@contextmanager
def local_ray(*, num_cpus: int) -> Iterator[None]:
    """Ray for the time of the block; one that this process is connected to already is used and left as it is."""
    _be_quiet()
    if ray.is_initialized():
        yield
        return
    ray.init(
        address="local",  # without it, Ray would connect to whatever cluster runs on this machine
        num_cpus=num_cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        _node_ip_address="127.0.0.1",
    )
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def cluster_ray(address: str) -> Iterator[None]:
    """A connection to the cluster at an address for the time of the block; `auto` is the one this machine belongs to.

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
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        told = str(error).strip().splitlines()
        raise _no_cluster(address, told[0] if told else type(error).__name__) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise ValueError if nothing listens at HOST:PORT: Ray itself would try for minutes, and print what it tries."""
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
    for name in ("ray", "ray.tune", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
