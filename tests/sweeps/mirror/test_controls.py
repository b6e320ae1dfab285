"""The comparison of controls: the runs that follow from cells, and the experiment that holds them."""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from analysis.figures.style import STYLES
from subind.specs.run import lineage
from subind.store.store import Store
from sweeps.mirror import views
from sweeps.mirror.controls import Cell, Comparison, comparison
from sweeps.mirror.experiment import Content
from sweeps.mirror.mirror import Mirror, default_tracking_uri
from tests.specs import tiny_transfer
from tests.sweeps.fabricated import commit_fabricated


def ends(values: Sequence[float]) -> tuple[float, float] | None:
    """Lowest and highest."""
    return (min(values), max(values)) if len(values) > 1 else None


def cell(control: str, value: float, *, seed: int = 0, num: int = 10, run: str = "", **params: str) -> Cell:
    """A recipient with an accuracy."""
    own = {"stage": "transfer", "control": control, "seed": str(seed), "num_disambiguation": str(num), **params}
    name = run or f"{control} {seed} {num} {params}"
    return Cell(run_id=name, params=own, metrics={"test_accuracy": value}, ended=1000)


def compared(cells: Sequence[Cell], planned: Sequence[str] = ()) -> Comparison:
    """Their comparison."""
    found = comparison(cells, planned, ends)
    assert found is not None
    return found


def values(run: Content, metric: str) -> dict[int, float]:
    """The points of a metric by their steps."""
    return {point.step: point.value for point in run.points if point.name == metric}


def by_name(found: Comparison) -> dict[str, Content]:
    """The runs by their names."""
    return {run.name: run for run in found.runs}


GRID = [
    cell(control, value + 0.1 * seed + num / 1000, seed=seed, num=num)
    for (control, value), seed, num in product((("subnetwork", 0.5), ("random_init", 0.25)), (0, 1), (10, 100))
]


def test_comparison_has_a_run_per_control_and_seed_with_accuracy_at_each_number_of_samples() -> None:
    runs = by_name(compared(GRID))
    names = [f"{control}, seed {seed}" for control, seed in product(("subnetwork", "random init"), (0, 1))]
    assert sorted(runs) == sorted([*names, "subnetwork", "random init"])
    assert values(runs["random init, seed 1"], "test_accuracy") == {10: 0.25 + 0.1 + 0.01, 100: 0.25 + 0.1 + 0.1}
    assert values(runs["random init, seed 1"], "num_disambiguation") == {10: 10, 100: 100}


def test_gap_is_positive_where_the_subnetwork_of_the_same_seed_is_better() -> None:
    runs = by_name(compared(GRID))
    assert values(runs["random init, seed 0"], "gap") == {10: 0.25, 100: 0.25}
    assert values(runs["subnetwork, seed 0"], "gap") == {}


def test_gap_of_losses_is_positive_where_the_subnetwork_has_less() -> None:
    cells = [cell("subnetwork", 0.5), cell("random_init", 2.0)]
    losses = [
        Cell(run_id=each.run_id, params=each.params, metrics={"test_loss": each.metrics["test_accuracy"]}, ended=1)
        for each in cells
    ]
    assert values(by_name(compared(losses))["random init, seed 0"], "gap") == {0: 1.5}


def test_means_have_the_ends_of_the_interval_and_the_same_in_words() -> None:
    mean = by_name(compared(GRID))["subnetwork"]
    assert values(mean, "test_accuracy") == {10: pytest.approx(0.56), 100: pytest.approx(0.65)}
    assert values(mean, "test_accuracy_low")[10] == 0.5 + 0.01
    assert values(mean, "num_seeds") == {10: 2, 100: 2}
    assert (mean.tags["at 10"], mean.tags["kind"]) == ("0.56 [0.51, 0.61]", "mean")


def test_depths_are_held_and_what_follows_from_them_is_not_named() -> None:
    cells = [
        cell("subnetwork", 0.5, num=num, num_layers=depth, model=f"layers{depth}", mask_seed=depth)
        for depth, num in product(("2", "12"), (10, 100))
    ]
    found = compared(cells)
    assert [dict(each) for each in found.combinations] == [{"num_layers": "2"}, {"num_layers": "12"}]
    assert list(views.of_controls(found)) == [
        f"subind-{name}-num_layers-{depth}" for depth in (2, 12) for name in ("controls", "seeds", "means")
    ]


def test_control_without_a_setting_stands_in_each_combination_that_it_agrees_with() -> None:
    cells = [*(cell("subnetwork", 0.5, penalty=each) for each in ("1e-6", "1e-5")), cell("random_init", 0.25)]
    found = compared(cells)
    assert [run.params["penalty"] for run in found.runs if run.params["control"] == "random_init"] == 2 * [
        "1e-5"
    ] + 2 * ["1e-6"]


def test_of_cells_that_nothing_tells_apart_the_planned_one_is_shown() -> None:
    cells = [cell("subnetwork", 0.25, run="stale"), cell("subnetwork", 0.75, run="new")]
    assert values(by_name(compared(cells, ["new"]))["subnetwork, seed 0"], "test_accuracy") == {0: 0.75}


def test_colours_are_those_of_the_figures() -> None:
    for run in compared(GRID).runs:
        assert run.tags["mlflow.runColor"] == STYLES[run.params["control"]].color


def test_no_view_is_longer_than_mlflow_takes_of_a_tag() -> None:
    cells = [cell("subnetwork", 0.5, num=num, penalty=f"1e-{power}") for num in range(1, 40) for power in range(30)]
    made = views.tags(views.of_controls(compared(cells)), created=0)
    assert (len(made) <= 40, max(map(len, made.values())) < 20_000) == (True, True)


# ---- in MLflow


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store whose transfers are compared twice, and then with one more number of samples."""
    store = Store(str(tmp_path_factory.mktemp("controls") / "store"))
    planned = [tiny_transfer(control, seed=seed) for control in ("subnetwork", "random_init") for seed in (0, 1)]
    commit_fabricated(store, planned)
    for _ in range(2):
        mirror = Mirror(store, grid="grid")
        mirror.mirror(planned)
        assert mirror.compare(ends) == ""
    more = [tiny_transfer("subnetwork", num_disambiguation=100, seed=seed) for seed in (0, 1)]
    commit_fabricated(store, more)
    mirror.mirror(more)
    assert mirror.compare(ends) == ""
    return store


def _found(store: Store) -> tuple[Any, list[Any], MlflowClient]:
    client = MlflowClient(default_tracking_uri(store))
    experiment = client.get_experiment_by_name("grid.controls")
    assert experiment is not None
    return experiment, list(client.search_runs([experiment.experiment_id])), client


def test_comparison_repeated_and_grown_has_each_run_and_point_once(logged: Store) -> None:
    _, runs, client = _found(logged)
    kinds = [(run.data.tags["kind"], run.data.params["control"], run.data.params.get("seed")) for run in runs]
    assert sorted(map(str, kinds)) == sorted(map(str, set(kinds)))
    assert len(kinds) == 6
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "test_accuracy")
        assert len(history) == len({point.step for point in history})


def test_experiment_has_its_views_and_a_text_that_links_them(logged: Store) -> None:
    experiment, _, _ = _found(logged)
    assert {name for name in experiment.tags if name.startswith(views.PREFIX)} == {
        f"{views.PREFIX}subind-{name}" for name in ("controls", "seeds", "means")
    }
    state = json.loads(json.loads(experiment.tags[f"{views.PREFIX}subind-controls"])["state"])
    assert state["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "control"}]
    assert views.address(experiment.experiment_id, "subind-seeds")[1:] in experiment.tags["mlflow.note.content"]


def test_cell_links_to_the_pages_of_its_mask_and_donor(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    transfer = tiny_transfer("subnetwork")
    planned = [*reversed(list(lineage(transfer)))]
    commit_fabricated(store, planned)
    Mirror(store, grid="grid").mirror(planned)
    client = MlflowClient(default_tracking_uri(store))
    by_stage = {run.data.params["stage"]: run for run in client.search_runs(["1"])}
    text = by_stage["transfer"].data.tags["mlflow.note.content"]
    for stage in ("mask", "donor"):
        assert f"/runs/{by_stage[stage].info.run_id}?" in text
