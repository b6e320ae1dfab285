"""The studies in which a grid's masks were tuned, from the table of trials that `subind tune` writes."""

import hashlib
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from analysis.elements.section import Content, Picture, Results, Section, endings
from analysis.figures import tuning
from subind.store.schemas import TRIAL_SCHEMA

ENDING = ".tuning.parquet"
DOTS_PER_INCH = 120


def beside(rows: Path) -> Path | None:
    """The table of trials that belongs to a file of rows, if there is one."""
    path = rows.with_suffix(ENDING)
    return path if path.is_file() else None


def content(results: Results) -> Content | None:
    """The pictures of every study whose trials stand beside the rows; nothing if there is none."""
    trials = beside(results.path)
    return None if trials is None else Content(pictures=drawn(trials))


def drawn(path: Path) -> list[Picture]:
    """The pictures of every study in a table of trials. Raises ValueError if it is no such table."""
    source = fingerprint(path)
    trials, importances = _loaded(path)
    names = list(dict.fromkeys(trials["study"]))
    return [
        picture
        for name, ending in zip(names, endings(len(names)), strict=True)
        for picture in _of_study(
            trials[trials["study"] == name], importances.get(name, {}), name=name, ending=ending, source=source
        )
    ]


def pictures(path: Path) -> dict[str, bytes]:
    """The same as PNG files by name."""
    return {f"{picture.name}.png": _png(picture.draw()) for picture in drawn(path)}


def fingerprint(path: Path) -> str:
    """A hash of the table of trials: 16 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _loaded(path: Path) -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is no Parquet file ({error}): write it again with `subind tune`") from None
    wanted = [name for name in TRIAL_SCHEMA.names if name != "chance_accuracy"]
    if absent := [name for name in wanted if name not in table.column_names]:
        raise ValueError(f"{path} lacks the columns {', '.join(absent)}: write it again with `subind tune`")
    metadata: dict[bytes, Any] = table.schema.metadata or {}
    frame: pd.DataFrame = table.to_pandas()
    return frame, json.loads(metadata.get(b"importances", b"{}"))


def _of_study(
    trials: pd.DataFrame, importances: dict[str, float], *, name: str, ending: str, source: str
) -> list[Picture]:
    counts = trials["state"].value_counts()
    finished, stopped = int(counts.get("finished", 0)), int(counts.get("stopped", 0))
    said = f"{finished} finished trials, {stopped} stopped"
    if finished == 0:
        return []
    return [
        Picture(
            fingerprint=source,
            name=f"tuning_front{ending}",
            draw=partial(tuning.front, trials, title=f"Accuracy and density of masks: {name} ({said})"),
            title=f"Tuning: accuracy against density of the masks of {name}",
            description="A point per trial; the front joins the trials that no other beats in both. "
            "The samples are in no reported evaluation.",
        ),
        Picture(
            fingerprint=source,
            name=f"tuning_parallel{ending}",
            draw=partial(tuning.parallel, trials, title=f"Settings of the trials: {name} ({said})"),
            title=f"Tuning: the settings of the trials of {name}",
            description="A line per finished trial, coloured by density; the front's members are thick.",
        ),
        Picture(
            fingerprint=source,
            name=f"tuning_importance{ending}",
            draw=partial(tuning.importance, importances, title=f"Which setting matters: {name}"),
            title=f"Tuning: which setting matters, {name}",
            description="PED-ANOVA: the share of each setting in what tells the best tenth of the trials from all.",
        ),
        Picture(
            fingerprint=source,
            name=f"tuning_epochs{ending}",
            draw=partial(tuning.over_epochs, trials, title=f"The front's members while they train: {name}"),
            title=f"Tuning: the front of {name} over epochs",
            description="Accuracy with the hard mask (solid) and the soft one (dotted), and density, over epochs.",
        ),
    ]


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return content.getvalue()


SECTION = Section(name="tuning", title="Tuning of the masks", place=260, of="arithmetic", content=content)
