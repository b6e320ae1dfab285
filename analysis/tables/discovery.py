"""Discovery in pretrained against random donors: does a mask find the subtask where nothing was learned?

If a mask over an untrained network computes the subtask as well, the mask and not the network holds it.
"""

import pandas as pd

from analysis.rows import settings
from analysis.rows.load import masks
from analysis.rows.wording import DASH, MISSING, decimal, interval, signed
from analysis.statistics import probability_of_improvement, t_interval

KEY = ["subtask", "penalty", "num_layers"]

COLUMNS = {
    "subtask": pd.StringDtype(),
    "penalty": "Float64",
    "num_layers": "Int64",
    "trained_planned": "Int64",
    "trained_finished": "Int64",
    "trained_accuracy": "Float64",
    "trained_low": "Float64",
    "trained_high": "Float64",
    "trained_density": "Float64",
    "untrained_planned": "Int64",
    "untrained_finished": "Int64",
    "untrained_accuracy": "Float64",
    "untrained_low": "Float64",
    "untrained_high": "Float64",
    "untrained_density": "Float64",
    "difference": "Float64",
    "improvement": "Float64",
    "improvement_low": "Float64",
    "improvement_high": "Float64",
}
"""`*_accuracy` is the mean accuracy on the subtask under the hard mask, with its t interval; `difference` is trained
minus untrained; `improvement` is the probability that a mask in a trained donor is the more accurate one."""


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per subtask, penalty and depth for which masks of untrained donors are planned, the COLUMNS.

    Empty if no donor is planned that is used as it was initialised.
    """
    given = masks(rows)
    untrained = given[given["donor_kind"] == "untrained"]
    keys = untrained[KEY].drop_duplicates()
    made = []
    for key in keys.itertuples(index=False, name=None):
        same = (given[KEY] == list(key)).all(axis=1)
        arms = {kind: given[same & (given["donor_kind"] == kind)] for kind in ("trained", "untrained")}
        made.append({**dict(zip(KEY, key, strict=True)), **_row(arms)})
    typed = pd.DataFrame(made, columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]
    return typed.sort_values(KEY, ignore_index=True)


def _row(arms: dict[str, pd.DataFrame]) -> dict[str, object]:
    row: dict[str, object] = {}
    values = {}
    for kind, arm in arms.items():
        finished = arm[arm["status"] == "finished"]
        values[kind] = finished["subtask_accuracy"].to_numpy(float)
        found = t_interval(values[kind])
        row |= {
            f"{kind}_planned": len(arm),
            f"{kind}_finished": len(finished),
            f"{kind}_accuracy": values[kind].mean() if len(finished) else None,
            f"{kind}_low": found and found.low,
            f"{kind}_high": found and found.high,
            f"{kind}_density": finished["density"].mean() if len(finished) else None,
        }
    chance = probability_of_improvement(values["trained"], values["untrained"])
    if chance is None:
        return row
    return row | {
        "difference": values["trained"].mean() - values["untrained"].mean(),
        "improvement": chance.probability,
        "improvement_low": chance.interval and chance.interval.low,
        "improvement_high": chance.interval and chance.interval.high,
    }


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    columns: dict[str, object] = {
        "subtask": found["subtask"],
        "penalty": [settings.worded(float(value)) for value in found["penalty"]],
        "depth": found["num_layers"].astype("string"),
    }
    for kind, name in (("trained", "pretrained donor"), ("untrained", "random donor")):
        finished, planned = found[f"{kind}_finished"], found[f"{kind}_planned"]
        words = [(MISSING if num else DASH) for num in planned]
        columns |= {
            f"{name}: n finished / planned": finished.astype("string") + " / " + planned.astype("string"),
            f"{name}: subtask accuracy": [
                decimal(value, absent=word) for value, word in zip(found[f"{kind}_accuracy"], words, strict=True)
            ],
            f"{name}: 95% interval (t)": list(map(interval, found[f"{kind}_low"], found[f"{kind}_high"])),
            f"{name}: density": list(map(decimal, found[f"{kind}_density"])),
        }
    return pd.DataFrame(
        {
            **columns,
            "difference": list(map(signed, found["difference"])),
            "P(pretrained is better)": list(map(decimal, found["improvement"])),
            "its 95% interval": list(map(interval, found["improvement_low"], found["improvement_high"])),
        }
    )
