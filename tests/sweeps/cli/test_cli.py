"""The command line: what is printed where, and the exit status. In this process, without Ray."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from subind.identity import run_ids as fingerprint
from subind.store.store import Store
from sweeps.planning.plan import Plan
from tests.subind.records import small_failure
from tests.sweeps.conftest import Call
from tests.sweeps.fabricated_grid import NUM_RUNS, donor, runs, store_with, written_grid


@pytest.fixture
def grid(tmp_path: Path) -> str:
    return written_grid(tmp_path)


# ---- plan


def test_plan_as_json_has_the_keys_that_programs_read(subind: Call, grid: str) -> None:
    status, out, err = subind("plan", grid, "--json", "--device", "cpu")
    data = json.loads(out)
    assert (status, err) == (0, "")
    assert data.keys() >= {"grid", "cells", "finished", "missing", "packs", "stages"}
    assert (data["grid"], data["cells"], data["finished"], data["missing"]) == ("tiny", 12, 0, 12)
    assert data["stages"] == NUM_RUNS


def test_plan_of_paper_arithmetic_counts_4650_runs(subind: Call) -> None:
    _, out, _ = subind("plan", "paper-arithmetic", "--json", "--device", "cpu")
    data = json.loads(out)
    assert (data["cells"], data["missing"]) == (4650, 4650)
    assert data["stages"] == {"donor": 30, "mask": 30, "transfer": 4590}


def test_plan_prints_what_a_run_would_do(subind: Call, grid: str, tmp_path: Path) -> None:
    store_with(tmp_path, donor(0))
    status, out, _ = subind("plan", grid, "--device", "cpu")
    assert status == 0
    assert re.search(r"donor +2 +1 +0 +0 +1 +1 +1 +\d+ s\n", out)
    assert re.search(r"tiny: 11 runs in \d+ packs; forecast \d+ (s|min)\n", out)


def test_plan_makes_no_store(subind: Call, grid: str, tmp_path: Path) -> None:
    subind("plan", grid)
    assert not (tmp_path / "store").exists()


STALE = "3 runs are stale and run again, because mask: logits are clipped"


@pytest.fixture
def stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with all runs of a seed, of which the mask and its two children are of an earlier version."""
    store_with(tmp_path, *runs(0))
    reasons = (*fingerprint.STAGE_VERSIONS["mask"], "logits are clipped")
    monkeypatch.setitem(fingerprint.STAGE_VERSIONS, "mask", reasons)


@pytest.mark.usefixtures("stale")
@pytest.mark.parametrize("command", [("plan", "--device", "cpu"), ("status",), ("export",)], ids=lambda each: each[0])
def test_stale_runs_are_told_in_a_line_with_the_reason(subind: Call, grid: str, command: tuple[str, ...]) -> None:
    name, *options = command
    status, out, err = subind(name, grid, *options)
    assert (status, err) == (0, "")
    assert out.splitlines().count(STALE) == 1


@pytest.mark.usefixtures("stale")
@pytest.mark.parametrize("command", ["plan", "status"])
def test_stale_runs_are_counted_in_json(subind: Call, grid: str, command: str) -> None:
    data = json.loads(subind(command, grid, "--json")[1])
    assert (data["stale"], data["finished"]) == (3, 3)


@pytest.mark.parametrize("command", ["plan", "status", "export"])
def test_store_without_stale_runs_is_told_of_none(subind: Call, grid: str, tmp_path: Path, command: str) -> None:
    store_with(tmp_path, *runs(0))
    assert "stale" not in subind(command, grid)[1]


def test_where_takes_a_part_and_may_be_repeated(subind: Call, grid: str) -> None:
    _, out, _ = subind("plan", grid, "--where", "seed<1", "--where", "control=random_init", "--json")
    assert json.loads(out)["stages"] == {"donor": 0, "mask": 0, "transfer": 2}


# ---- status


def test_status_as_json_has_the_keys_that_programs_read(subind: Call, grid: str, tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    store.fail(donor(1), small_failure(donor(1)))
    status, out, err = subind("status", grid, "--json")
    data = json.loads(out)
    states = ("finished", "running", "failed", "blocked", "missing")
    assert (status, err) == (0, "")
    assert [data[state] for state in states] == [1, 0, 1, 3, 7]


def test_status_names_the_error_and_the_path_of_its_traceback(subind: Call, grid: str, tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(donor(1), small_failure(donor(1)))
    _, out, _ = subind("status", grid)
    (found,) = re.findall(r"^donor \w{16} failed: RuntimeError: out of luck \(traceback in (.*)\)$", out, re.MULTILINE)
    assert Path(found).is_file()


def test_status_counts_by_stage_and_in_all(subind: Call, grid: str, tmp_path: Path) -> None:
    store_with(tmp_path, *runs(0))
    _, out, _ = subind("status", grid)
    assert re.search(r"stage +runs +finished +planned\n", out)
    assert re.search(r"transfer +8 +4 +4\n", out)
    assert re.search(r"all +12 +6 +6\n", out)


# ---- export, report, run


def test_retry_forgives_the_failed_runs_and_says_how_to_go_on(subind: Call, grid: str, tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(donor(1), small_failure(donor(1)))
    status, out, err = subind("retry", grid, "--failed")
    assert (status, err) == (0, "")
    assert out == f"1 failed runs are forgiven; `subind run {grid}` tries them again\n"
    assert store.failed() == frozenset()


def test_retry_without_a_choice_is_refused(subind: Call, grid: str, tmp_path: Path) -> None:
    store_with(tmp_path)
    status, _, err = subind("retry", grid)
    assert status == 2
    assert "give --failed for every failed run, or --class NAME" in err


def test_number_of_workers_without_a_cluster_is_refused(subind: Call, grid: str, tmp_path: Path) -> None:
    store_with(tmp_path)
    status, _, err = subind("run", grid, "--num-workers", "3")
    assert status == 2
    assert "--num-workers is 3, which is for a cluster" in err


def test_export_writes_one_row_per_planned_cell(subind: Call, grid: str, tmp_path: Path) -> None:
    store_with(tmp_path, donor(0))
    status, out, _ = subind("export", grid)
    assert (status, out) == (
        0,
        "reading store for the rows of tiny\n12 rows, 1 of them finished: results/tiny.parquet\n",
    )
    assert pq.read_table(tmp_path / "results" / "tiny.parquet").num_rows == 12


def test_export_writes_where_it_is_told(subind: Call, grid: str, tmp_path: Path) -> None:
    subind("export", grid, "--rows", "elsewhere/rows.parquet")
    assert (tmp_path / "elsewhere" / "rows.parquet").is_file()
    assert not (tmp_path / "results").exists()


def test_run_with_nothing_missing_starts_nothing_and_ends_with_zero(subind: Call, grid: str, tmp_path: Path) -> None:
    store_with(tmp_path, *runs(0), *runs(1))
    status, out, err = subind("run", grid, "--device", "cpu")
    assert (status, err) == (0, "")
    assert "tiny: 0 runs in 0 packs" in out
    assert "12 finished, 0 failed, 0 blocked, 0 running, 0 missing" in out
    assert (tmp_path / "results" / "tiny.parquet").is_file()
    assert (tmp_path / "reports" / "tiny" / "index.html").is_file()


def test_run_with_a_failed_cell_leaves_it_and_ends_with_one(subind: Call, grid: str, tmp_path: Path) -> None:
    store = store_with(tmp_path, *runs(0), *runs(1)[2:])
    store.fail(donor(1), small_failure(donor(1)))
    status, out, err = subind("run", grid, "--device", "cpu")
    assert status == 1
    assert store.failure_path(donor(1)) in out
    assert "--retry-failed" in err


# ---- errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("plan", "nonsense"), r"grid is 'nonsense': give one of quickstart, figure-3-depth-2, paper-arithmetic"),
        (("plan", "absent.py"), r"grid is 'absent.py': there is no such file"),
        (("run", "quickstart", "--where", "seeds=1"), r"'seeds' is no column of this grid; it has .*seed"),
        (("run", "quickstart", "--where", "seed=one"), r"'one' is no int"),
        (("status", "quickstart", "--where", "seed=99"), r"no cell of the grid has seed=99"),
        (("plan", "quickstart", "--device", "tpu"), r"--device is 'tpu': give auto, cpu or cuda"),
        (("sync", "quickstart", "--tracking-uri", "ftp://host/x"), r"tracking_uri is 'ftp://host/x'"),
        (("report", "quickstart", "--rows", "absent.parquet"), r"absent\.parquet"),
    ],
)
def test_error_of_the_user_is_one_line_on_standard_error_with_status_two(
    subind: Call, arguments: tuple[str, ...], told: str
) -> None:
    status, out, err = subind(*arguments)
    assert (status, out) == (2, "")
    assert re.fullmatch(rf"subind: .*{told}.*\n", err)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("x = 1", r"has no function grid\(\): define one"),
        ("def grid():\n    return ()", r"gives nothing: let it give runs"),
        ("def grid():\n    return (1,)", r"gives 1, item 0: let it give a tuple"),
        ("def grid():\n    return 1", r"gives 1, item 0: let it give a tuple"),
        ("def grid(:", r"SyntaxError: .* line 1"),
        ("import no_such_module", r"ModuleNotFoundError: No module named 'no_such_module' .*line 1"),
        ("\n\ndef grid():\n    return 1 / 0", r"ZeroDivisionError: division by zero .*line 4"),
    ],
)
def test_error_in_a_users_grid_file_is_one_line_that_names_the_file(
    subind: Call, tmp_path: Path, content: str, told: str
) -> None:
    (tmp_path / "mine.py").write_text(content)
    status, out, err = subind("plan", "mine.py")
    assert (status, out) == (2, "")
    assert re.fullmatch(rf"subind: .*mine\.py.*{told}.*\n", err)


def test_brackets_of_a_message_are_told_as_they_are(subind: Call) -> None:
    _, _, err = subind("plan", "[bold]")
    assert "grid is '[bold]'" in err


def test_store_that_is_a_file_is_refused_in_one_line(subind: Call, grid: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    status, _, err = subind("run", grid, "--store", "file/store", "--device", "cpu")
    assert status == 2
    assert len(err.splitlines()) == 1


def test_unknown_command_ends_with_status_two(subind: Call) -> None:
    status, _, err = subind("fly")
    assert status == 2
    assert "No such command 'fly'" in err


def test_interruption_ends_with_status_130_and_says_how_to_go_on(
    subind: Call, grid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> Plan:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "listing", interrupted)
    status, _, err = subind("plan", grid)
    assert status == 130
    assert err == "subind: stopped; the same command continues the sweep\n"


@pytest.mark.parametrize("command", ["plan", "run", "status", "export", "report", "ui", "sync", "doctor"])
def test_help_of_a_command_is_written_as_sentences(subind: Call, command: str) -> None:
    status, out, _ = subind(*command.split(), "--help")
    assert status == 0
    assert "Usage: subind" in out
    assert re.search(r"[A-Z][a-z]+ .*\.", out)
