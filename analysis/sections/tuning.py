"""The section of the studies in which a grid's masks were tuned."""

from analysis import tuning
from analysis.sections.parts import Picture, Results, Section


def sections(results: Results) -> list[Section]:
    """The pictures of every study whose trials stand beside the rows; nothing if there is none."""
    trials = tuning.beside(results.path)
    if trials is None:
        return []
    source = tuning.fingerprint(trials)
    pictures = tuple(
        Picture(name=each.name, draw=each.draw, title=each.title, description=each.description, fingerprint=source)
        for each in tuning.drawn(trials)
    )
    return [Section(name="tuning", title="Tuning of the masks", pictures=pictures)]
