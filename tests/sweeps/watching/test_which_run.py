"""Which run is meant by an id, a part of one, or a folder."""

from pathlib import Path

import pytest

from subind.identity.run_ids import run_id
from subind.store.names import slug
from subind.store.store import Store
from sweeps.grids import read_grid
from sweeps.watching.which_run import Known, meant_run, planned_runs, stored_runs, with_spec
from tests.subind.records import small_failure
from tests.sweeps.conftest import Call
from tests.sweeps.fabricated_grid import donor, exportable_record, ids, mask, runs, store_with, transfers, written_grid


@pytest.fixture
def known(tmp_path: Path) -> dict[str, Known]:
    return _planned(written_grid(tmp_path))


def _planned(*names: str) -> dict[str, Known]:
    return planned_runs({name: read_grid(name).cells for name in names})


def _run(name: str, stage: str = "transfer", folder: str = "cell") -> Known:
    assert stage in ("donor", "mask", "transfer")
    return Known(run=name, stage=stage, folder=f"{folder}-{name}")


def test_planned_runs_are_those_of_the_grid_with_their_grid(tmp_path: Path) -> None:
    path = written_grid(tmp_path)
    found = _planned(path, "quickstart")
    assert ids([*runs(0), *runs(1)]) <= found.keys()
    assert found[run_id(mask(0))].grids == (path,)


def test_run_of_several_grids_has_them_all(tmp_path: Path) -> None:
    cells = read_grid(written_grid(tmp_path)).cells
    assert planned_runs({"one": cells, "two": cells})[run_id(mask(0))].grids == ("one", "two")


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_stored_runs_are_finished_and_failed_ones(tmp_path: Path, kind: str) -> None:
    store = Store(str(tmp_path / "store") if kind == "local" else f"memory://{tmp_path.name}")
    assert stored_runs(store) == {}
    store.commit(donor(0), exportable_record(donor(0)), {})
    store.fail(mask(0), small_failure(mask(0)))
    found = stored_runs(store)
    assert found.keys() == ids([donor(0), mask(0)])
    assert found[run_id(mask(0))].stage == "mask"


def test_stored_run_knows_its_spec_by_its_record(tmp_path: Path) -> None:
    store = store_with(tmp_path, mask(0))
    assert with_spec(stored_runs(store)[run_id(mask(0))], store).spec == mask(0)


def test_stored_run_without_a_readable_record_has_no_spec(tmp_path: Path) -> None:
    store = store_with(tmp_path, mask(0))
    Path(store.folder(mask(0)), "record.json").write_text("{")
    assert with_spec(stored_runs(store)[run_id(mask(0))], store).spec is None


def test_run_is_meant_by_its_id_its_beginning_and_its_folder(known: dict[str, Known]) -> None:
    spec = transfers(0)[0]
    run, folder = run_id(spec), f"{slug(spec)}-{run_id(spec)}"
    texts = (run, run[:12], run.upper()[:12], folder, f"store/runs/transfer/{folder}/", f"/a/{folder}/record.json")
    assert {meant_run(text, known).run for text in texts} == {run}


def test_run_is_meant_by_the_beginning_of_its_folder(known: dict[str, Known]) -> None:
    assert meant_run("random_init-layers2-n8-seed1", known).run == run_id(transfers(1)[3])


def test_stage_tells_runs_apart_that_are_named_alike(known: dict[str, Known]) -> None:
    assert meant_run("mask/layers2-seed0", known).run == run_id(mask(0))


def test_several_runs_are_told_with_how_many_they_are() -> None:
    known = {name: _run(name) for name in ("ab1", "ab2", "ab3", "ab4", "ab5", "ac1")}
    with pytest.raises(
        ValueError, match=r"RUN is 'ab': 5 runs begin with it, ab1 \(transfer cell\), .* and 1 more; give"
    ):
        meant_run("ab", known)


def test_whole_id_is_meant_even_if_another_begins_with_it() -> None:
    known = {name: _run(name) for name in ("ab", "ab1")}
    assert meant_run("ab", known).run == "ab"


@pytest.mark.parametrize("text", ["fedcba9876543211", "fedcba98765432100", "fedcc"])
def test_unknown_id_is_told_with_the_nearest(text: str) -> None:
    known = {name: _run(name) for name in ("fedcba9876543210", "0123456789abcdef")}
    with pytest.raises(
        ValueError, match=rf"RUN is '{text}': no run .*; nearest are fedcba9876543210 \(transfer cell\)$"
    ):
        meant_run(text, known)


def test_misspelt_folder_is_told_with_the_nearest(known: dict[str, Known]) -> None:
    with pytest.raises(ValueError, match=r"nearest are \w{16} \(transfer random_init-layers2-n\d-seed\d\)"):
        meant_run("randm_init-layers2", known)


@pytest.mark.parametrize("text", ["", "/", "zzz"])
def test_text_that_means_nothing_is_told_with_the_remedy(text: str) -> None:
    with pytest.raises(ValueError, match=r"give a GRID, or --store"):
        meant_run(text, {"0123456789abcdef": _run("0123456789abcdef")})


@pytest.mark.parametrize("text", ["tran", "transfer", "Mask", "don"])
def test_beginning_of_a_stage_is_told_as_a_stage_and_offers_no_run(known: dict[str, Known], text: str) -> None:
    with pytest.raises(ValueError, match=r"and (transfer|mask|donor) is a stage; give an id, or \w+/ and the name"):
        meant_run(text, known)


def test_runs_that_the_store_lacks_are_not_offered(known: dict[str, Known]) -> None:
    near = {run: each for run, each in known.items() if each.stage == "mask"}
    with pytest.raises(ValueError, match=r"no run has that id or folder \(of 12\); give a GRID"):
        meant_run("randm_init-layers2", known, near=near)
    with pytest.raises(ValueError, match=r"nearest are \w{16} \(mask layers2-seed\d\)"):
        meant_run("layrs2-seed0", known, near=near)


def test_other_runs_are_meant_only_by_what_means_none_of_the_known() -> None:
    known, others = {"ab1": _run("ab1")}, {each: _run(each) for each in ("ab1", "ab2", "cd")}
    assert meant_run("ab", known, others=others).run == "ab1"
    assert meant_run("cd", known, others=others).run == "cd"
    with pytest.raises(ValueError, match="no run has that id or folder"):
        meant_run("ef", known, others=others)


def test_why_of_a_misspelt_run_offers_those_of_the_store_alone(subind: Call, tmp_path: Path) -> None:
    store_with(tmp_path, *runs(0))
    status, _, err = subind("why", "randm_init-layers2-n8")
    assert status == 2
    assert "random_init-layers2-n" in err
    assert "vit" not in err
    assert "nearest" not in subind("why", "random_init-vit_b_17", "--store", str(tmp_path / "none"))[2]
