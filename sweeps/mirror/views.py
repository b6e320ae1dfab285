"""Saved views of MLflow's page of runs, as its version 3.17 keeps them: tags of an experiment, opened by an address.

The format is none that MLflow promises; a test opens the views in the UI of the version that the project pins. A view
is lost when its page is loaded again with what the page adds to the address, so the short address is what is given.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.mirror.content import DESCRIPTION_TAG
from sweeps.mirror.controls import KIND_TAG, MEASURES, Comparison, column

PREFIX = "mlflow.sharedViewState."
CONTROLS, SEEDS, MEANS, CELLS, TRIALS = (f"subind-{name}" for name in ("controls", "seeds", "means", "cells", "trials"))

MOST_COMBINATIONS = 12
"""MLflow shows up to 40 views of an experiment."""

WIDE = 8
"""An axis whose last value is this many times its first is drawn on a log scale."""

TEXT_WIDTH = 150
"""Pixels of a column with a mean and its interval."""

View = dict[str, Any]
Charts = Sequence[Mapping[str, Any]]
GENERATED = (
    "curve",
    "density",
    "frozen_fraction",
    "kept_fraction",
    "rival_agreement",
    "Model metrics",
    "System metrics",
)
"""Sections that MLflow adds; open ones of a hundred runs keep the page busy for a minute."""


def address(experiment_id: str, key: str, *, table: bool = False) -> str:
    """The short address of a view, as the part of a URL that follows the host."""
    mode = "TABLE" if table else "CHART"
    query = f"viewStateShareKey={key}&workflowType=machine_learning&compareRunsMode={mode}"
    return f"/#/experiments/{experiment_id}/runs?{query}"


def run_address(experiment_id: str, run: str) -> str:
    """The address of a run's page, in a text that the UI shows."""
    return f"#/experiments/{experiment_id}/runs/{run}?workflowType=machine_learning"


def tags(views: Mapping[str, View], *, created: int) -> dict[str, str]:
    """The tags that keep views by their keys; `created` in milliseconds since 1970."""
    return {
        PREFIX + key: json.dumps(
            {"name": view["name"], "createdAt": created, "updatedAt": created, "state": json.dumps(view["state"])}
        )
        for key, view in views.items()
    }


def of_controls(found: Comparison) -> dict[str, View]:
    """The views of the experiment of controls: of each combination of held values the means, the seeds and a table."""
    made: dict[str, View] = {}
    for values in found.combinations[:MOST_COMBINATIONS]:
        ending = "".join(f"-{name}-{value or 'none'}" for name, value in values.items())
        title = ", ".join(f"{name.replace('_', ' ')} {value or 'none'}" for name, value in values.items())
        made |= {key + ending: view for key, view in _of_combination(found, values, title).items()}
    return made


def _of_combination(found: Comparison, values: Mapping[str, str], title: str) -> dict[str, View]:
    condition = "".join(f" AND params.`{name}` = '{value}'" for name, value in values.items() if value)
    of_seeds = f"tags.`{KIND_TAG}` = 'seed'{condition}"
    of_means = f"tags.`{KIND_TAG}` = 'mean'{condition}"
    ending = f", {title}" if title else ""
    charts: Charts = _line(found) if found.axis else [{"type": "BAR", "metricKey": found.measure}]
    columns = ["params.`control`", *_params(values), *([_metric(found.axis)] if found.axis else [])]
    columns += [_metric(found.measure), _metric("gap")]
    texts = [f"tags.`{column(found.axis, step)}`" for step in found.steps]
    on_axis = f"; the step is {found.axis}" if found.axis else ""
    return {
        CONTROLS: _view(
            f"Controls{ending}",
            {f"Mean and range{on_axis}": charts},
            filter=of_seeds,
            columns=columns,
            grouped="control",
        ),
        SEEDS: _view(
            f"Every seed{ending}",
            {f"A line per seed{on_axis}": charts},
            filter=of_seeds,
            columns=[*columns, "params.`seed`"],
            order=("params.`control`", True),
        ),
        MEANS: _view(
            f"Means and intervals{ending}",
            {f"Means{on_axis}": charts},
            filter=of_means,
            columns=[*_params(values), *texts, _metric("gap"), _metric("num_seeds")],
            widths=dict.fromkeys(texts, TEXT_WIDTH),
            order=(_metric(found.measure), MEASURES[found.measure] < 0),
        ),
    }


def of_cells(found: Comparison) -> dict[str, View]:
    """The view of the experiment of cells: recipients alone, in the columns that are compared."""
    names = [
        *(() if not found.axis else (found.axis,)),
        *(name for values in found.combinations[:1] for name in values),
    ]
    columns = [*(f"params.`{name}`" for name in ("control", *names, "seed")), _metric(found.measure)]
    charts: Mapping[str, Charts] = {found.measure: [{"type": "BAR", "metricKey": found.measure}]}
    return {CELLS: _view("Recipients", charts, filter="params.stage = 'transfer'", columns=columns)}


def of_trials(params: Sequence[str]) -> dict[str, View]:
    """The view of a tuning's experiment: density against accuracy, and the settings of each trial as a line."""
    accuracy, density = "tuning_accuracy", "density"
    axes = {"xaxis": {"key": density, "type": "METRIC"}, "yaxis": {"key": accuracy, "type": "METRIC"}}
    parallel = {"type": "PARALLEL", "selectedParams": list(params), "selectedMetrics": [density, accuracy]}
    charts: Mapping[str, Charts] = {
        "Density against accuracy, a dot per trial": [{"type": "SCATTER", **axes}],
        "Settings of each trial": [{**parallel, "showAllRuns": True}],
    }
    columns = [_metric(accuracy), _metric(density), *(f"params.`{name}`" for name in params)]
    best_first = (_metric(accuracy), False)
    return {TRIALS: _view("Trials", charts, filter="params.stage = 'mask'", columns=columns, order=best_first)}


def description(found: Comparison, *, experiment_id: str, cells_id: str) -> dict[str, str]:
    """The tag with what the head of the experiment's page says: the answer in numbers, and links to the views.

    The page shows its first paragraph, and the others once it is unfolded.
    """
    links = [
        f"[{view['name']}]({address(experiment_id, key, table=key.startswith(MEANS))[1:]})"
        for key, view in of_controls(found).items()
    ]
    links.append(f"[Recipients]({address(cells_id, CELLS, table=True)[1:]})")
    left_out = len(found.combinations) - MOST_COMBINATIONS
    more = [f"{left_out} more combinations have runs here and no views."] if left_out > 0 else []
    first, *others = _answers(found)
    return {DESCRIPTION_TAG: "\n\n".join([" · ".join([first, *links]), *others, *more])}


def _answers(found: Comparison) -> list[str]:
    """Of each combination the means at its last step, the best first."""
    where = f"At {found.axis} {found.steps[-1]}" if found.axis else "Means"
    last = column(found.axis, found.steps[-1])
    answers = []
    for values in found.combinations[:MOST_COMBINATIONS]:
        means = [run for run in found.runs if run.tags[KIND_TAG] == "mean" and _has(run.params, values)]
        told = [(run.tags[last], run.params["control"].replace("_", " ")) for run in means if last in run.tags]
        best_first = sorted(told, reverse=MEASURES[found.measure] > 0)
        held = "".join(f", {name} {value}" for name, value in values.items() if value)
        numbers = ", ".join(f"{control} {text.partition(' ')[0]}" for text, control in best_first)
        answers.append(f"{where}{held}, mean {found.measure}: {numbers}")
    return answers


def _has(params: Mapping[str, str], values: Mapping[str, str]) -> bool:
    return all(params.get(name, "") == value for name, value in values.items())


def _params(names: Sequence[str] | Mapping[str, str]) -> list[str]:
    return [f"params.`{name}`" for name in names]


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _line(found: Comparison) -> list[dict[str, Any]]:
    positive = [step for step in found.steps if step > 0]
    is_wide = len(positive) == len(found.steps) and positive[-1] >= WIDE * positive[0]
    own_axis = {"xAxisKey": "step"} if is_wide else {"xAxisKey": "metric", "selectedXAxisMetricKey": found.axis}
    return [
        {
            "type": "LINE",
            "metricKey": name,
            **own_axis,
            "xAxisScaleType": "log" if is_wide else "linear",
            "scaleType": "linear",
            "lineSmoothness": 0,
            "displayPoints": True,
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "ignoreOutliers": False,
            "useGlobalXaxisKey": False,
            "useGlobalLineSmoothing": False,
        }
        for name in (found.measure, "gap")
    ]


def _view(
    name: str,
    charts: Mapping[str, Charts],
    *,
    filter: str,  # noqa: A002  MLflow's word
    columns: Sequence[str],
    grouped: str = "",
    order: tuple[str, bool] = ("attributes.start_time", True),
    widths: Mapping[str, int] | None = None,
) -> View:
    """A view by its sections: the charts of each, by its title."""
    keys = [{"mode": "param", "groupByData": grouped}] if grouped else []
    own = [_section(f"subind-{place}", title, display=True, height=520) for place, title in enumerate(charts)]
    cards = [
        {**_CARD, **chart, "uuid": f"subind-{place}-{number}", "metricSectionId": f"subind-{place}"}
        for place, some in enumerate(charts.values())
        for number, chart in enumerate(some)
    ]
    state = {
        **_STATE,
        "searchFilter": filter,
        "orderByKey": order[0],
        "orderByAsc": order[1],
        "columnWidths": dict(widths or {}),
        "columnOrder": list(widths or {}),
        "selectedColumns": list(columns),
        "groupBy": {"aggregateFunction": "average", "groupByKeys": keys} if keys else None,
        "compareRunCharts": cards,
        "compareRunSections": [*own, *(_section(f"folded-{each}", each, display=False) for each in GENERATED)],
    }
    return {"name": name, "state": state}


def _section(uuid: str, name: str, *, display: bool, height: int = 360) -> dict[str, Any]:
    return {"uuid": uuid, "name": name, "display": display, "isReordered": True, "columns": 1, "cardHeight": height}


_CARD = {"runsCountToCompare": 100, "deleted": False, "isGenerated": False}
_STATE: dict[str, Any] = {
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "runsHiddenMode": "SHOW_ALL",
    "viewMaximized": False,
    "runListHidden": False,
    "isAccordionReordered": True,
    "useGroupedValuesInCharts": True,
    "hideEmptyCharts": True,
    "groupsExpanded": {},
    "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
}
