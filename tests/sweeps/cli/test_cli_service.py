"""The commands that tell how a sweep stands and what it costs: `status --watch`, `why`, `plan --cost`."""

import json
import re
from pathlib import Path

import pytest

from subind.identity.run_ids import STAGE_VERSIONS, run_id
from tests.specs import tiny_donor
from tests.subind.records import small_failure
from tests.sweeps.conftest import Call
from tests.sweeps.fabricated_grid import donor, mask, runs, store_with, transfers, written_grid


@pytest.fixture
def grid(tmp_path: Path) -> str:
    return written_grid(tmp_path)


# ---- status


def test_watched_grid_that_is_done_is_told_in_a_line_without_colours(subind: Call, grid: str, tmp_path: Path) -> None:
    store_with(tmp_path, *runs(0), *runs(1))
    status, out, err = subind("status", grid, "--watch")
    assert (status, err) == (0, "")
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d · tiny: 12 of 12 runs finished · done · donors 2/2 · masks 2/2 · transfers 8/8\n", out
    )


def test_watched_grid_with_a_failed_run_ends_with_one(subind: Call, grid: str, tmp_path: Path) -> None:
    store = store_with(tmp_path, *runs(0), *(each for each in transfers(1) if each.start.name == "random_init"))
    store.fail(donor(1), small_failure(donor(1)))
    status, out, _ = subind("status", grid, "--watch")
    assert status == 1
    assert "done · 1 failed · 3 blocked" in out


def test_watch_as_json_is_refused(subind: Call, grid: str) -> None:
    status, out, err = subind("status", grid, "--watch", "--json")
    assert (status, out) == (2, "")
    assert "leave one of them out" in err


def test_status_as_json_tells_nodes_and_failure_classes(subind: Call, grid: str, tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    store.fail(donor(1), small_failure(donor(1)))
    data = json.loads(subind("status", grid, "--json")[1])
    assert [(node["host"], node["finished"], node["devices"]) for node in data["nodes"]] == [("here", 1, ["cpu"])]
    assert data["failure_classes"] == [
        {"error": "RuntimeError", "runs": 1, "run_id": run_id(donor(1)), "example": "out of luck"}
    ]
    assert data["unattributed"] == 0


def test_status_names_a_damaged_record_and_the_remedy(subind: Call, grid: str, tmp_path: Path) -> None:
    store = store_with(tmp_path, *runs(0), *runs(1))
    record = Path(store.folder(donor(1)), "record.json")
    record.write_bytes(record.read_bytes()[:100])
    out = subind("status", grid)[1]
    assert "records that cannot be read: 1" in out
    assert str(record) in out
    assert "remove it and run the sweep again" in " ".join(out.split())
    assert list(json.loads(subind("status", grid, "--json")[1])["unreadable"]) == [run_id(donor(1))]
    assert "remove it and run the sweep again" in subind("status", grid, "--watch")[1]


def test_status_in_a_file_shortens_no_host(subind: Call, grid: str, tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(donor(1), small_failure(donor(1), message="it went wrong " * 8))
    assert f"{run_id(donor(1))}: {('it went wrong ' * 8).strip()}" in subind("status", grid)[1]


# ---- why


def test_why_tells_state_spec_parents_and_plan_of_a_missing_run(subind: Call, grid: str, tmp_path: Path) -> None:
    store_with(tmp_path, donor(0))
    spec = transfers(0)[0]
    status, out, err = subind("why", run_id(spec)[:10], grid, "--device", "cpu")
    assert (status, err) == (0, "")
    assert "planned: it waits for its mask" in out
    assert "control subnetwork" in out
    assert re.search(rf"from +mask \S+{run_id(mask(0))}: planned", out)
    assert re.search(rf"└─ donor \S+{run_id(donor(0))}: finished, from 2026-01-02T03:04:05", out)
    assert re.search(r"plan +transfer-\w+ of tiny: (\d+ runs|it alone), number \d of \d in line, trains from", out)


def test_why_of_a_blocked_run_tells_what_failed_and_where_that_is_told(subind: Call, grid: str, tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(donor(0), small_failure(donor(0)))
    _, out, _ = subind("why", run_id(transfers(0)[0]), grid)
    assert f"blocked: it descends from run {run_id(donor(0))}, which has failed" in out
    (path,) = set(re.findall(r"traceback in (\S+)", out))
    assert Path(path).is_file()


def test_why_of_a_failed_run_shows_the_end_of_its_traceback(subind: Call, grid: str, tmp_path: Path) -> None:
    store = store_with(tmp_path)
    lines = [f"line {number}" for number in range(30)]
    store.fail(donor(0), small_failure(donor(0), traceback="\n".join(lines)))
    _, out, _ = subind("why", run_id(donor(0)), grid)
    assert "| line 29\n" in out
    assert "| line 5\n" not in out
    assert "3 runs descend from it" in out


def test_why_of_a_finished_run_tells_when_and_where(subind: Call, grid: str, tmp_path: Path) -> None:
    store_with(tmp_path, *runs(0))
    _, out, _ = subind("why", f"store/runs/mask/layers2-seed0-{run_id(mask(0))}", grid)
    assert "computed   from 2026-01-02T03:04:05+00:00, 6 s on here (cpu) in a pack of 4, 3 epochs, commit c0ffee" in out
    assert "density 0.08" in out


def test_why_finds_a_run_of_no_grid_in_the_store(subind: Call, tmp_path: Path) -> None:
    store_with(tmp_path, donor(0))
    status, out, _ = subind("why", run_id(donor(0)))
    assert status == 0
    assert re.search(r"state +finished\n", out)


def test_why_of_an_outdated_run_with_its_grid_tells_what_has_changed_and_the_id_of_now(
    subind: Call, grid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_with(tmp_path, *runs(0))
    before = run_id(mask(0))
    monkeypatch.setitem(STAGE_VERSIONS, "mask", (*STAGE_VERSIONS["mask"], "logits are clipped"))
    told = f"state      finished, but outdated: mask: logits are clipped; the same spec is now run {run_id(mask(0))}\n"
    for text in (before, before[:12], f"store/runs/mask/layers2-seed0-{before}"):
        status, out, err = subind("why", text, grid, "--device", "cpu")
        assert (status, err) == (0, "")
        assert out.startswith(f"mask       layers2-seed0-{before} of {grid}\n{told}")
    stale = subind("why", run_id(mask(0)), grid, "--device", "cpu")[1]
    assert f"stale: the store has it as run {before}, and since then: mask: logits are clipped\n" in stale


def test_why_of_a_stored_run_that_the_grid_lacks_tells_so(subind: Call, grid: str, tmp_path: Path) -> None:
    other = tiny_donor(seed=7)
    store_with(tmp_path, other)
    status, out, _ = subind("why", run_id(other), grid)
    assert status == 0
    assert re.search(r"state +finished\n", out)
    assert "note       no grid given plans it\n" in out


def test_why_as_json_has_the_tree_and_the_pack(subind: Call, grid: str, tmp_path: Path) -> None:
    store_with(tmp_path, donor(0))
    data = json.loads(subind("why", run_id(transfers(0)[0]), grid, "--json", "--device", "cpu")[1])
    assert (data["state"], data["parents"][0]["state"], data["parents"][0]["parents"][0]["state"]) == (
        "planned",
        "planned",
        "finished",
    )
    assert data["packs"][0]["num_packs"] >= 2
    assert data["num_descendants"] == 0


@pytest.mark.parametrize("run", ["zz", "layers2-seed0"])
def test_why_of_an_unknown_or_ambiguous_run_is_one_line(subind: Call, grid: str, run: str) -> None:
    status, out, err = subind("why", run, grid)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"subind: RUN is '{run}': ")


# ---- plan --cost


def test_cost_is_told_by_stage_with_its_basis(subind: Call, grid: str, tmp_path: Path) -> None:
    store_with(tmp_path, *runs(0))
    status, out, err = subind("plan", grid, "--device", "cpu", "--cost")
    assert (status, err) == (0, "")
    assert re.search(r"donor +1 +1 +0\.\d{3} +measured, 1 pack *\n", out)
    assert "finished before: 6 runs in 4 packs took 0.007 worker-hours on cpu" in out


def test_cost_at_a_price_is_hours_times_price(subind: Call, grid: str, tmp_path: Path) -> None:
    store_with(tmp_path, *runs(0))
    data = json.loads(subind("plan", grid, "--device", "cpu", "--price-per-hour", "360", "--json")[1])
    seconds = sum(stage["worker_seconds"] for stage in data["forecast"]["stages"].values())
    assert data["cost"]["used_cost"]["most"] == pytest.approx(seconds / 3600 * 360)
    assert data["cost"]["spent"]["num_runs"] == 6


def test_cost_of_cards_that_are_not_at_hand_is_assumed(subind: Call, grid: str) -> None:
    arguments = ("--price-per-hour", "2.5", "--device-name", "NVIDIA A100-SXM4-40GB", "--num-devices", "2")
    _, out, _ = subind("plan", grid, *arguments)
    assert "cost on 2 × NVIDIA A100-SXM4-40GB, 2.5 an hour each\n" in out
    assert "nothing was measured on one" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cost", "--device-name", "Abacus 3000"), r"--device-name is 'Abacus 3000': no run .* H200, "),
        (("--num-devices", "3"), r"--num-devices is 3: give --device-name too"),
    ],
)
def test_cost_that_cannot_be_told_is_refused_in_a_line(
    subind: Call, grid: str, arguments: tuple[str, ...], told: str
) -> None:
    status, _, err = subind("plan", grid, *arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert re.search(told, err)
