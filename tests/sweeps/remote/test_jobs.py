"""What is sent to a cluster, and what is refused before anything is sent."""

import shlex
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from click.testing import CliRunner

from sweeps.cli.__main__ import app
from sweeps.grids import read_grid
from sweeps.remote.jobs import Cluster, Order, checked, command_line

ORDER = Order(
    grid=read_grid("quickstart"), where=("seed<3",), store="s3://bucket/store", options=("--num-workers", "4")
)


def test_command_line_is_that_of_a_run_inside_the_cluster() -> None:
    words = shlex.split(command_line(ORDER))
    run = ["exec", "subind", "run", "quickstart", "--address", "auto", "--store", "s3://bucket/store"]
    assert words == [*run, "--where", "seed<3", "--num-workers", "4"]


def test_command_line_is_one_that_run_understands() -> None:
    words = shlex.split(command_line(ORDER))[2:]
    command = typer.main.get_command(app)
    shown = CliRunner().invoke(command, [*words, "--help"])
    assert shown.exit_code == 0, shown.output


def test_command_line_names_a_grids_file_without_its_folder() -> None:
    assert (
        shlex.split(command_line(replace(ORDER, grid=replace(ORDER.grid, name="somewhere/my grid.py"))))[3]
        == "my grid.py"
    )


@pytest.mark.parametrize("store", ["s3://bucket/store", "gs://bucket/store", "/mnt/shared/store"])
def test_order_with_a_store_that_nodes_can_share_is_taken(store: str) -> None:
    assert checked(replace(ORDER, store=store)).store == store


@pytest.mark.parametrize("store", ["store", "./store", "memory://store", "file:///store"])
def test_order_with_a_store_of_this_machine_is_refused_with_the_remedy(store: str) -> None:
    with pytest.raises(ValueError, match=r"--store is .*s3://BUCKET/FOLDER"):
        checked(replace(ORDER, store=store))


@pytest.mark.parametrize("field", ["store", "tracking_uri"])
def test_order_with_a_secret_in_an_address_is_refused_without_telling_it(field: str) -> None:
    with pytest.raises(ValueError, match="carries a secret") as refused:
        checked(replace(ORDER, **{field: "https://anna:s3cret@host/folder"}))
    assert "s3cret" not in str(refused.value)


def test_order_whose_conditions_leave_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="seed=99"):
        checked(replace(ORDER, where=("seed=99",)))


def test_dashboard_that_does_not_answer_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        with pytest.raises(ValueError, match=r"no dashboard .* answers at .*`ray dashboard") as refused:
            Cluster(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert "\n" not in str(refused.value)


def test_address_that_is_no_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="URL of the cluster's dashboard"):
        Cluster("10.0.0.1:6379")


@pytest.mark.parametrize("option", ["--store", "--tracking-uri"])
def test_run_with_a_secret_in_an_address_is_refused_without_telling_it(option: str) -> None:
    with pytest.raises(ValueError, match=r"\*\*\*@host.* carries a secret") as refused:
        CliRunner().invoke(
            typer.main.get_command(app), ["run", "quickstart", option, "https://anna:s3cret@host/folder"],
            catch_exceptions=False,
        )  # fmt: skip
    assert "s3cret" not in str(refused.value)
