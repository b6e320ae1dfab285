"""Sections of what happens during training: validation accuracy, and which rule a recipient follows, by epoch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import pandas as pd

from analysis.figures import readings as readings_picture
from analysis.figures import training as training_picture
from analysis.rows import chance
from analysis.rows.load import chance_agreement
from analysis.rows.load import readings as load_readings
from analysis.rows.settings import Combination
from analysis.sections.parts import Picture, Results, Section, Sheet, titled
from analysis.tables import readings, training


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What was learned in a combination at one depth, and the ending of its files."""

    combination: Combination
    ending: str
    depth: int
    training: pd.DataFrame
    readings: pd.DataFrame
    rule: str
    chance_agreement: Mapping[str, float]

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table with the combination and the depth."""
        return self.combination.labelled(table).assign(num_layers=self.depth)


def sections(results: Results) -> Iterator[Section]:
    """Both, at the greatest depth with a finished transfer of each combination; the curves are read once."""
    found = [_learned(results, *each) for each in zip(results.combinations, results.endings(), strict=True)]
    learning = pd.concat([each.labelled(each.training) for each in found], ignore_index=True)
    yield Section(
        name="training",
        title="Training dynamics",
        pictures=tuple(map(_training, found)),
        sheet=Sheet(
            numbers=learning,
            shown=training.shown(learning),
            caption="Mean validation accuracy over seeds at a few epochs; the files hold every epoch.",
        ),
    )
    followed = pd.concat([each.labelled(each.readings) for each in found], ignore_index=True)
    yield Section(
        name="readings",
        title="Which rule a recipient follows while it learns",
        sentences=(
            "Agreement with the rule is the validation accuracy.",
            "Agreement with a rival is the share of validation samples that are answered as it would.",
            "Readings agree with each other on some samples.",
        ),
        pictures=tuple(map(_readings, found)),
        sheet=Sheet(
            numbers=followed,
            shown=readings.shown(followed),
            caption="Mean agreement over seeds at a few epochs; the files hold every epoch.",
        ),
    )


def _learned(results: Results, combination: Combination, ending: str) -> Learned:
    given = combination.rows
    finished = given[given["status"] == "finished"]
    depth = int((results.rows if finished.empty else finished)["num_layers"].max())
    run_ids = finished[finished["num_layers"] == depth]["run_id"].to_list()
    found = load_readings(results.path, run_ids=run_ids)
    return Learned(
        combination=combination,
        ending=ending,
        depth=depth,
        training=training.table(_own(found)),
        readings=readings.table(found),
        rule=str(found["rule"].iloc[0]) if len(found) else "",
        chance_agreement=chance_agreement(results.path, run_ids=run_ids),
    )


def _own(given: pd.DataFrame) -> pd.DataFrame:
    """Validation accuracy among the readings: the agreement with the rule itself."""
    own = given[given["reading"] == given["rule"]]
    return own.rename(columns={"agreement": "validation_accuracy"}).drop(columns=["reading", "rule"])


def _training(learned: Learned) -> Picture:
    title = titled(f"Training at depth {learned.depth}, mean over seeds", learned.combination)
    num_runs = training.num_runs(learned.training)
    return Picture(
        name=f"training{learned.ending}",
        draw=partial(
            training_picture.draw,
            learned.training,
            num_runs=num_runs,
            title=title,
            chance=chance.levels(learned.combination.rows),
        ),
        title=title,
        description="Validation accuracy over epochs: each control's mean over seeds, a panel per number of samples.",
    )


def _readings(learned: Learned) -> Picture:
    title = titled(f"Which rule is followed, depth {learned.depth}", learned.combination)
    return Picture(
        name=f"readings{learned.ending}",
        draw=partial(
            readings_picture.draw,
            learned.readings,
            rule=learned.rule,
            title=title,
            chance=learned.chance_agreement,
        ),
        title=title,
        description="Agreement with each reading over epochs: a row per control, a column per number of samples. "
        "Dotted is chance: with the rule, that of the best constant answer; with a rival, that of the rule itself.",
    )
