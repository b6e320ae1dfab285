"""What goes to the nodes: complete, the same for the same code, and nobody else's to read."""

import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from subind.store import provenance
from sweeps.remote.bundle import Bundle, gather
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return gather(tmp_path_factory.mktemp("home"))


def unpacked(bundle: Bundle, folder: Path) -> Path:
    with tarfile.open(bundle.sources) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_bundle_holds_every_tracked_file_of_the_packages(bundle: Bundle, tmp_path: Path) -> None:
    command = ["git", "ls-files", "subind", "sweeps", "analysis", "pyproject.toml"]
    tracked = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("the files are no git checkout, so none are tracked")
    folder = unpacked(bundle, tmp_path)
    different = [name for name in tracked if (folder / name).read_bytes() != (REPOSITORY / name).read_bytes()]
    assert different == []


def test_bundle_of_the_same_code_is_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    assert gather(tmp_path).sources.read_bytes() == bundle.sources.read_bytes()


def test_code_from_a_bundle_names_its_commit(bundle: Bundle, tmp_path: Path) -> None:
    here = provenance.code()
    folder = unpacked(bundle, tmp_path)
    program = "from subind.store import provenance; code = provenance.code(); print(code.commit, code.dirty)"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*([here.commit] if here.commit else []), str(here.dirty)]


def test_token_and_environment_are_readable_by_their_owner_alone(bundle: Bundle) -> None:
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (bundle.token, bundle.environment)]
    assert modes == [0o600, 0o600]


def test_token_that_is_there_is_kept_and_made_private(tmp_path: Path) -> None:
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("mine")
    token.chmod(0o644)
    gather(tmp_path)
    assert token.read_text() == "mine"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_tokens_of_two_homes_differ(bundle: Bundle, tmp_path: Path) -> None:
    assert gather(tmp_path).token.read_text() != bundle.token.read_text()


def test_bundle_of_an_installed_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="clone"):
        gather(tmp_path / "home", root=tmp_path)
