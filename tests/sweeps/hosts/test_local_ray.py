"""The Ray of a local sweep: who reaches it, who reads its files, and what becomes of a start that fails."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from sweeps.hosts.local_ray import RayStartError, check_socket_path, local_ray  # isort: skip
import ray

from tests.sweeps.sockets import is_loopback, listening


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of a local Ray while it ran, and the environment after it."""

    sockets: list[tuple[str, str, int]]
    folder: Path
    folder_modes: tuple[int, int]
    token_mode: int
    auth_mode: str
    auth_mode_after: str
    children_after: list[psutil.Process]


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    """A local Ray in an environment that says no authentication, and a mask that lets everyone write."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        before = os.umask(0)
        children = set(psutil.Process().children(recursive=True))
        try:
            with local_ray(num_cpus=1):
                assert ray.get(ray.remote(lambda: os.getpid() + 0).remote()) != os.getpid()
                folder = Path(ray._private.worker._global_node.temp_dir)
                token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
                found = {
                    "sockets": listening(psutil.Process()),
                    "folder": folder,
                    "folder_modes": tuple(stat.S_IMODE(each.stat().st_mode) for each in (folder, folder.parent)),
                    "token_mode": stat.S_IMODE(token.stat().st_mode),
                    "auth_mode": os.environ["RAY_AUTH_MODE"],
                }
        finally:
            os.umask(before)
        after = [each for each in psutil.Process().children(recursive=True) if each not in children]
        alive = [each for each in after if each.status() != psutil.STATUS_ZOMBIE]
        yield Seen(**found, auth_mode_after=os.environ["RAY_AUTH_MODE"], children_after=alive)


def test_local_ray_listens_on_loopback_alone(seen: Seen) -> None:
    assert len(seen.sockets) >= 8
    assert [each for each in seen.sockets if not is_loopback(each[1])] == []


def test_local_ray_asks_for_a_token_whatever_the_environment_says(seen: Seen) -> None:
    assert seen.auth_mode == "token"
    assert seen.auth_mode_after == "disabled"


def test_files_of_local_ray_are_seen_by_their_owner_alone(seen: Seen) -> None:
    assert seen.folder_modes == (0o700, 0o700)
    assert seen.token_mode == 0o600


def test_local_ray_leaves_neither_its_folder_nor_a_process(seen: Seen) -> None:
    assert not seen.folder.parent.exists()
    assert seen.children_after == []


def test_ray_that_times_out_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = list[dict[str, object]]()

    def slow_first(**arguments: object) -> None:
        starts.append(arguments)
        if len(starts) == 1:
            raise Exception("The current node timed out during startup.")

    monkeypatch.setattr("ray.init", slow_first)
    monkeypatch.setattr("sweeps.hosts.local_ray._servers", dict)
    with local_ray(num_cpus=1):
        assert len(starts) == 2


def test_ray_that_never_comes_up_is_told_in_a_line_with_its_details_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(**_: object) -> None:
        raise Exception("The current node timed out during startup.\n" * 3)

    monkeypatch.setattr("ray.init", never)
    with pytest.raises(RayStartError) as raised, local_ray(num_cpus=1):
        pass
    told = str(raised.value)
    assert "\n" not in told
    assert "free some and try again" in told
    details = Path(told.rpartition(" ")[2])
    assert details.read_text().count("timed out") >= 3
    assert stat.S_IMODE(details.stat().st_mode) == 0o600
    details.unlink()


@pytest.mark.parametrize(("length", "holds"), [(20, True), (80, False)])
def test_folder_whose_sockets_have_too_long_paths_is_refused(length: int, holds: bool) -> None:
    folder = Path("/", "t" * (length - 1), "subind-12345678")
    if holds:
        check_socket_path(folder)
        return
    with pytest.raises(ValueError, match=r"TMPDIR is '/t+'.*; set TMPDIR to a folder whose path has at most 2\d, such"):
        check_socket_path(folder)
