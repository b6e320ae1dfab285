"""The studies in which a grid's masks were tuned, from the table of trials that `subind tune` writes."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from analysis.elements.columns import INTEGER, NUMBER, TEXT, Column, in_words, typed
from analysis.elements.section import Content, Picture, Results, Section, endings
from analysis.figures import tuning
from analysis.rows.wording import DASH, decimal, listed, signed
from subind.store.schemas import TRIAL_SCHEMA

ENDING = ".tuning.parquet"
DOTS_PER_INCH = 120


def beside(rows: Path) -> Path | None:
    """The table of trials that belongs to a file of rows, if there is one."""
    path = rows.with_suffix(ENDING)
    return path if path.is_file() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A study: its trials that keep a weight, the published setting apart, and the importance of each setting.

    `importances` is a text where there is none, which says why.
    """

    name: str
    rows: pd.DataFrame
    importances: dict[str, float] | str

    def in_state(self, state: str) -> pd.DataFrame:
        """The trials in a state that have a mask which keeps a weight."""
        return self.rows[(self.rows["state"] == state) & (self.rows["density"] > 0)]

    @property
    def front(self) -> pd.DataFrame:
        """The trials that none dominates, by density."""
        finished = self.in_state("finished")
        return finished[finished["is_on_front"]].sort_values("density")


def dominates(one: pd.Series, other: pd.Series) -> bool:
    """Whether a setting is no worse in accuracy and density, and better in one of them."""
    no_worse = one["tuning_accuracy"] >= other["tuning_accuracy"] and one["density"] <= other["density"]
    return bool(no_worse and (one["tuning_accuracy"] > other["tuning_accuracy"] or one["density"] < other["density"]))


def table(studies: Sequence[Tuned]) -> pd.DataFrame:
    """The published setting and the front of each study, and the chosen trial where it is not on the front."""
    return typed((row for study in studies for row in _rows(study)), COLUMNS)


def _rows(study: Tuned) -> Iterator[dict[str, Any]]:
    published, finished = study.in_state("published"), study.in_state("finished")
    chosen = finished[finished["is_chosen"] & ~finished["is_on_front"]]
    front = [row for _, row in study.front.iterrows()]
    for frame in (published, study.front, chosen):
        for _, row in frame.iterrows():
            better = [str(int(each["trial"])) for each in front if dominates(each, row)]
            beaten = any(dominates(row, other) for _, other in published.iterrows()) if len(published) else None
            own = {str(name): row[name] for name in (each.name for each in COLUMNS) if name in row}
            yield {**own, "dominated_by": ", ".join(better), "dominates_published": beaten}


def shown(studies: Sequence[Tuned]) -> pd.DataFrame:
    """The table in words, without the study's name where there is one study."""
    words = in_words(table(studies), COLUMNS)
    return words if len(studies) > 1 else words.drop(columns="study")


def sentences(study: Tuned) -> Iterator[str]:
    """How many trials there are, what dominates the published setting and by how much, and which setting matters."""
    counts = study.rows["state"].value_counts()
    yield (
        f"{study.name}: {counts.get('finished', 0)} trials are finished, {len(study.front)} of them on the front. A "
        "setting dominates another one if it is at least as accurate and as sparse, and better in one of the two."
    )
    yield _of_published(study)
    if isinstance(study.importances, str):
        yield f"The importance of each setting cannot be computed: {study.importances}."


def _of_published(study: Tuned) -> str:
    """What dominates the published setting: the chosen trial if that does, or else the sparsest one that does."""
    published, finished = study.in_state("published"), study.in_state("finished")
    if published.empty:
        return "The published setting has no mask that keeps a weight, so nothing is compared with it."
    (_, setting), *_ = published.iterrows()
    found = [row for _, row in study.front.iterrows() if dominates(row, setting)]
    if not found:
        beaten = sum(dominates(setting, row) for _, row in finished.iterrows())
        return (
            f"No trial dominates the published setting (accuracy {setting['tuning_accuracy']:.3f}, density "
            f"{setting['density']:.2%}), which dominates {beaten} of {len(finished)} trials. {_once(setting)}"
        )
    best, *others = sorted(found, key=lambda row: (not row["is_chosen"], row["density"]))
    gain = best["tuning_accuracy"] - setting["tuning_accuracy"]
    also = f" So {_do(others)} of the front." if others else ""
    return (
        f"Trial {int(best['trial'])}{' (chosen)' * bool(best['is_chosen'])} dominates the published setting: accuracy "
        f"{best['tuning_accuracy']:.3f} instead of {setting['tuning_accuracy']:.3f} ({signed(gain)}), density "
        f"{best['density']:.2%} instead of {setting['density']:.2%} "
        f"({setting['density'] / best['density']:.1f} times sparser).{also} {_once(setting)}"
    )


def _do(others: Sequence[pd.Series]) -> str:
    """The trials with their verb."""
    numbers = listed([str(int(row["trial"])) for row in others])
    return f"does trial {numbers}" if len(others) == 1 else f"do trials {numbers}"


def _once(setting: pd.Series) -> str:
    """What an accuracy rests on."""
    number = setting["num_tuning_samples"]
    samples = "samples" if pd.isna(number) else f"{number:,.0f} samples"
    return f"Each setting is trained once, and its accuracy is measured on {samples} that no reported evaluation has."


def content(results: Results) -> Content | None:
    """What dominates, as sentences, a table and pictures of every study next to the rows; nothing if there is none."""
    trials = beside(results.path)
    studies = [] if trials is None else read(trials)
    if trials is None or not studies:
        return None
    told = [sentence for study in studies for sentence in sentences(study)]
    return Content(sentences=told, pictures=drawn(trials), table=table(studies), shown=shown(studies))


def drawn(path: Path) -> list[Picture]:
    """The pictures of every study in a table of trials. Raises ValueError if it is no such table."""
    source, studies = fingerprint(path), read(path)
    several = zip(studies, endings(len(studies)), strict=True)
    return [picture for study, ending in several for picture in _of_study(study, ending=ending, source=source)]


def pictures(path: Path) -> dict[str, bytes]:
    """The same as PNG files by name."""
    return {f"{picture.name}.png": _png(picture.draw()) for picture in drawn(path)}


def fingerprint(path: Path) -> str:
    """A hash of the table of trials: 16 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def read(path: Path) -> list[Tuned]:
    """The studies in a table of trials that have a finished trial. Raises ValueError if it is no such table."""
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is no Parquet file ({error}): write it again with `subind tune`") from None
    wanted = [name for name in TRIAL_SCHEMA.names if name not in ("chance_accuracy", "num_tuning_samples")]
    if absent := [name for name in wanted if name not in table.column_names]:
        raise ValueError(f"{path} lacks the columns {', '.join(absent)}: write it again with `subind tune`")
    metadata: dict[bytes, Any] = table.schema.metadata or {}
    importances = json.loads(metadata.get(b"importances", b"{}"))
    trials: pd.DataFrame = table.to_pandas().reindex(columns=TRIAL_SCHEMA.names)
    return [
        Tuned(name=str(name), rows=rows, importances=importances.get(name) or "the table of trials has none")
        for name, rows in trials.groupby("study", sort=False)
        if (rows["state"] == "finished").any()
    ]


def _of_study(study: Tuned, *, ending: str, source: str) -> list[Picture]:
    counts, name, trials = study.rows["state"].value_counts(), study.name, study.rows
    said = f"{counts.get('finished', 0)} finished trials, {counts.get('stopped', 0)} stopped"
    found = [
        Picture(
            fingerprint=source,
            name=f"tuning_front{ending}",
            draw=partial(tuning.front, trials, title=f"Accuracy and density of masks: {name} ({said})"),
            title=f"Tuning: accuracy against density of the masks of {name}",
            description="A point per trial; the front joins the trials that no other dominates. "
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
            name=f"tuning_epochs{ending}",
            draw=partial(tuning.over_epochs, trials, title=f"The front's members while they train: {name}"),
            title=f"Tuning: the front of {name} over epochs",
            description="Accuracy with the hard mask (solid) and the soft one (dotted), and density, over epochs.",
        ),
    ]
    if isinstance(study.importances, dict):
        importance = Picture(
            fingerprint=source,
            name=f"tuning_importance{ending}",
            draw=partial(tuning.importance, study.importances, title=f"Which setting matters: {name}"),
            title=f"Tuning: which setting matters, {name}",
            description="PED-ANOVA: the share of each setting in what tells the best tenth of the trials from all.",
        )
        found.insert(2, importance)
    return found


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return content.getvalue()


def _trial(number: Any, is_chosen: Any) -> str:
    """The trial's number, or what the row without one is."""
    return "published" if pd.isna(number) else f"{number}{' chosen' * bool(is_chosen)}"


def _density(value: Any) -> str:
    return f"{value:.2%}"


def _significant(value: Any) -> str:
    return f"{value:.3g}".replace("-", "−")


def _yes_or_no(value: Any, number: Any) -> str:
    return DASH if pd.isna(value) or pd.isna(number) else "yes" if value else "no"


def _or_dash(value: Any) -> str:
    return value or DASH


COLUMNS = (
    Column("study", TEXT, "study"),
    Column("trial", INTEGER, "trial", _trial, ("is_chosen",)),
    Column("is_chosen", "boolean"),
    Column("num_tuning_samples", INTEGER),
    Column("tuning_accuracy", NUMBER, "accuracy", decimal),
    Column("density", NUMBER, "density", _density),
    Column("dominates_published", "boolean", "dominates published", _yes_or_no, ("trial",)),
    Column("dominated_by", TEXT, "dominated by", _or_dash),
    Column("penalty", NUMBER, "λ", _significant),
    Column("final_temperature", NUMBER, "final τ", _significant),
    Column("initial_logit", NUMBER, "initial logit", _significant),
    Column("learning_rate", NUMBER, "rate", _significant),
    Column("num_epochs", INTEGER, "epochs"),
)

SECTION = Section(
    name="tuning",
    title="Tuning of the masks",
    place=260,
    of="arithmetic",
    content=content,
    columns=COLUMNS,
    caption="The published setting and the trials of the front, by density.",
)
