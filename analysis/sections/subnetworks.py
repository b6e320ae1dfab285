"""Sections of the masks: by depth, one by one, in random donors, the controls audit, anatomy and overlap."""

from functools import partial

from analysis.figures import anatomy as anatomy_picture
from analysis.figures import audit as audit_picture
from analysis.figures import discovery as discovery_picture
from analysis.figures import masks_by_depth as masks_by_depth_picture
from analysis.figures import overlap as overlap_picture
from analysis.rows import chance
from analysis.rows.load import mask_counts
from analysis.rows.load import masks as load_masks
from analysis.sections.parts import Picture, Results, Section, Sheet
from analysis.tables import anatomy, audit, discovery, masks, masks_by_depth, overlap

UNCOUNTED = "No stored mask was counted: an export counts them where the store has their bits."


def sections(results: Results) -> list[Section]:
    """All of them, in order."""
    return [
        _by_depth(results),
        _each(results),
        _discovery(results),
        _audit(results),
        _anatomy(results),
        _overlap(results),
    ]


def _by_depth(results: Results) -> Section:
    found = masks_by_depth.table(results.rows)
    title = "Table 2: density and subtask accuracy by depth"
    if found.empty:
        return Section(name="masks_by_depth", title=title, sentences=("No mask is planned.",))
    picture = Picture(
        name="masks_by_depth",
        draw=partial(masks_by_depth_picture.draw, found, chance=chance.levels(load_masks(results.rows))),
        title="Density and subtask accuracy of the masks against depth",
        description="A line per kind of mask; bars are t intervals over masks.",
    )
    caption = f"Means over masks. Published: densities {masks_by_depth.PUBLISHED_DENSITY} ({masks_by_depth.SOURCE})."
    sheet = Sheet(numbers=found, shown=masks_by_depth.shown(found), caption=caption)
    empty = masks.empty_sentences(results.rows)
    return Section(name="masks_by_depth", title=title, sentences=empty, pictures=(picture,), sheet=sheet)


def _each(results: Results) -> Section:
    found = masks.table(results.rows)
    if found.empty:
        return Section(name="masks", title="Donors and masks", sentences=("No donor and no mask is planned.",))
    caption = "Density is the share of ones; accuracies are on evaluation samples."
    sheet = Sheet(numbers=found, shown=masks.shown(found), caption=caption)
    return Section(name="masks", title="Donors and masks", sentences=masks.empty_sentences(results.rows), sheet=sheet)


def _discovery(results: Results) -> Section:
    found = discovery.table(results.rows)
    title = "Discovery in pretrained against random donors"
    if found.empty:
        return Section(name="discovery", title=title, sentences=("No mask of an untrained donor is planned.",))
    picture = Picture(
        name="discovery",
        draw=partial(discovery_picture.draw, found, chance=chance.levels(load_masks(results.rows))),
        title=title,
        description="Subtask accuracy of masks in trained and in untrained donors; bars are t intervals.",
    )
    sheet = Sheet(numbers=found, shown=discovery.shown(found), caption="Accuracy on the subtask under the hard mask.")
    return Section(name="discovery", title=title, pictures=(picture,), sheet=sheet)


def _audit(results: Results) -> Section:
    found = audit.table(results.rows, mask_counts(results.path, "recipients"))
    title = "Controls audit: what each control keeps, freezes and contains"
    if found.empty:
        return Section(name="audit", title=title, sentences=(UNCOUNTED,))
    picture = Picture(
        name="audit",
        draw=partial(audit_picture.draw, found),
        title="What each control takes from the donor",
        description="Shares of projection weights, and of the subnetwork's among them, counted on stored masks.",
    )
    sentences = (*audit.sentences(found), *masks.empty_sentences(results.rows))
    caption = "Counted on the stored masks, weight by weight; the last columns are what the recipients recorded."
    sheet = Sheet(numbers=found, shown=audit.shown(found), caption=caption)
    return Section(name="audit", title=title, sentences=sentences, pictures=(picture,), sheet=sheet)


def _anatomy(results: Results) -> Section:
    found = anatomy.table(results.rows, mask_counts(results.path, "parts"))
    title = "Mask anatomy: density per layer, part and head"
    if found.empty:
        return Section(name="anatomy", title=title, sentences=(UNCOUNTED,))
    kinds = list(found.groupby(anatomy.KEY, dropna=False, sort=False))
    endings = [f"-{place}" for place in range(1, len(kinds) + 1)] if len(kinds) > 1 else [""]
    pictures = [
        Picture(
            name=f"anatomy{ending}",
            draw=partial(anatomy_picture.draw, kind, title=heading),
            title=f"Density in % of ones: {heading}",
            description="Heat maps: parts of a layer, and the heads of each part of attention.",
        )
        for (_, kind), ending in zip(kinds, endings, strict=True)
        if (heading := anatomy.heading(kind))
    ]
    sheet = Sheet(numbers=found, shown=anatomy.shown(found), caption="Means over masks; the range is over masks.")
    return Section(name="anatomy", title=title, pictures=tuple(pictures), sheet=sheet)


def _overlap(results: Results) -> Section:
    found = overlap.table(results.rows, mask_counts(results.path, "overlaps"))
    title = "Overlap of masks against chance"
    if found.empty:
        text = "Fewer than two masks of one architecture were counted, so there is no pair to compare."
        return Section(name="overlap", title=title, sentences=(text,))
    picture = Picture(
        name="overlap",
        draw=partial(overlap_picture.draw, found),
        title="Overlap of pairs of masks",
        description="A point per pair: the share of the smaller mask that is in the other; a dash is chance.",
    )
    caption = "Chance is that of two random masks with as many ones in every matrix."
    sheet = Sheet(numbers=found, shown=overlap.shown(found), caption=caption)
    return Section(name="overlap", title=title, pictures=(picture,), sheet=sheet)
