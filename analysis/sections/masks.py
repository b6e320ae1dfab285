"""The table of masks: density and subtask accuracy of each mask, beside the accuracy of the donor it was found in."""

import pandas as pd

from analysis.elements.section import Content, Results, Section
from analysis.rows import settings
from analysis.rows.load import donors, masks, transfers
from analysis.rows.wording import DASH, MISSING, decimal, density

COLUMNS = {
    "num_layers": "Int64",
    "donor_seed": "Int64",
    "donor_status": pd.StringDtype(),
    "donor_validation_accuracy": "Float64",
    "mask_seed": "Int64",
    "penalty": "Float64",
    "mask_status": pd.StringDtype(),
    "density": "Float64",
    "subtask_accuracy": "Float64",
}


SETTINGS = ("modulus", "num_integers", "d_model", "subtask", "temperature_schedule", "final_temperature")
"""The settings that a mask has beside its penalty: one that varies among the transfers has a column."""


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per mask, and per donor without one, with the columns and types of COLUMNS after the varying SETTINGS.

    Accuracies and density are shares; they are absent unless the run finished. The donor of a mask is its parent.
    """
    of_donors, of_masks = donors(rows), masks(rows)
    varied = [name for name in settings.varying(transfers(rows)) if name in SETTINGS]
    left = pd.DataFrame(
        {
            "donor_id": of_donors["run_id"],
            "donor_layers": of_donors["num_layers"],
            "donor_seed": of_donors["seed"],
            "donor_status": of_donors["status"],
            "donor_validation_accuracy": of_donors["validation_accuracy"].where(of_donors["status"] == "finished"),
            **{f"donor_{name}": of_donors[name] for name in varied},
        }
    )
    finished = of_masks["status"] == "finished"
    right = pd.DataFrame(
        {
            "donor_id": of_masks["parent_id"],
            "mask_layers": of_masks["num_layers"],
            "mask_seed": of_masks["seed"],
            "penalty": of_masks["penalty"],
            "mask_status": of_masks["status"],
            "density": of_masks["density"].where(finished),
            "subtask_accuracy": of_masks["subtask_accuracy"].where(finished),
            **{name: of_masks[name] for name in varied},
        }
    )
    joined = left.merge(right, on="donor_id", how="outer")
    joined["num_layers"] = joined["mask_layers"].fillna(joined["donor_layers"])
    for name in varied:
        joined[name] = joined[name].fillna(joined[f"donor_{name}"])
    typed = joined.reindex(columns=[*varied, *COLUMNS]).astype(COLUMNS)  # type: ignore[arg-type]
    return typed.sort_values([*varied, "num_layers", "donor_seed", "penalty", "mask_seed"], ignore_index=True)


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    varied = settings.shown(found.drop(columns="penalty"))
    return pd.DataFrame(
        {
            **varied,
            "depth": found["num_layers"].astype("string"),
            "donor seed": found["donor_seed"].astype("string").fillna(DASH),
            "donor": found["donor_status"].fillna(DASH),
            "donor validation accuracy": _measured(found["donor_validation_accuracy"], found["donor_status"]),
            "mask seed": found["mask_seed"].astype("string").fillna(DASH),
            "penalty": [DASH if pd.isna(value) else f"{value:g}" for value in found["penalty"]],
            "mask": found["mask_status"].fillna(DASH),
            "density": [
                density(value, absent=word)
                for value, word in zip(found["density"], _absent(found["mask_status"]), strict=True)
            ],
            "subtask accuracy": _measured(found["subtask_accuracy"], found["mask_status"]),
        }
    )


def _measured(values: pd.Series, statuses: pd.Series) -> list[str]:
    """The numbers; `missing` where the run is planned and gave none, a dash where there is no such run."""
    return [decimal(value, absent=word) for value, word in zip(values, _absent(statuses), strict=True)]


def _absent(statuses: pd.Series) -> list[str]:
    return [DASH if pd.isna(status) else MISSING for status in statuses]


def empty_sentences(rows: pd.DataFrame) -> tuple[str, ...]:
    """What a reader should not miss: finished masks of the rows that keep no weight at all."""
    finished = rows[(rows["stage"] == "mask") & (rows["status"] == "finished")]
    num_empty = int((finished["density"] == 0).sum())
    if not num_empty:
        return ()
    verb = "keeps" if num_empty == 1 else "keep"
    text = (
        f"{num_empty} of {len(finished)} finished masks {verb} nothing (empty): no weight of a donor's matrices is in"
    )
    return (f"{text} such a subnetwork, and a share of it is not defined.",)


def content(results: Results) -> Content | None:
    """The table; nothing without a donor and a mask."""
    found = table(results.arithmetic)
    if found.empty:
        return None
    return Content(sentences=empty_sentences(results.arithmetic), table=found, shown=shown(found))


SECTION = Section(
    name="masks",
    title="Donors and masks",
    place=210,
    of="arithmetic",
    content=content,
    caption="Density is the share of ones; accuracies are on evaluation samples.",
)
