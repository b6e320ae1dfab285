"""`subind gc`: find and remove files in the store that nobody needs.

It never removes finished runs, failures, imported weights or files of live workers.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from subind.store.files import FileEntry
from subind.store.listing import FAILURE_FILE, RECORD_FILE, Listing
from subind.store.store import Checkpoint, Heartbeat, Store, opened_files
from sweeps.exporting.record_parts import is_readable
from sweeps.watching.story import FOLDER, journals, noted_runs

Kind = Literal["checkpoint", "heartbeat", "temporary file", "artifact", "index part", "story"]
KINDS: tuple[Kind, ...] = ("checkpoint", "heartbeat", "temporary file", "artifact", "index part", "story")

WRITING_SECONDS = 3600.0
"""A file of this age is not about to be renamed or recorded, which takes seconds."""

IDLE_DAYS = 30.0
"""The default age at which a checkpoint without a worker counts as forgotten."""

TEMPORARY = re.compile(r"\.(.+\.[0-9a-f]{32}|clock-[0-9a-f]{32}|check-[0-9a-f]{32})")
FOLDERS = ("runs", "checkpoints", "running", "weights", "index", FOLDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A file that nobody needs, and why. `runs` and `pack` say whose it was, if its name or content shows it."""

    kind: Kind
    entry: FileEntry
    why: str
    runs: frozenset[str] = frozenset()
    pack: str = ""


def leftovers(store: Store, *, idle_days: float = IDLE_DAYS) -> tuple[Leftover, ...]:
    """All files that nobody needs, by kind and path.

    Files are dated by the store's clock.
    """
    now, trees = store.now(), {folder: list(store.tree(folder)) for folder in FOLDERS}
    listing, beats = store.listing(), store.heartbeats()  # later, so that what has appeared in between is known
    found = [
        *_checkpoints(store, trees["checkpoints"], listing, idle_seconds=86_400 * idle_days, now=now),
        *_heartbeats(trees["running"], beats),
        *_temporary_files([entry for tree in trees.values() for entry in tree], now=now),
        *_artifacts(store, trees["runs"], listing, now=now),
        *_index_parts(trees["index"], now=now),
        *_stories(store, listing, now=now),
    ]
    left = [each for each in found if not _is_in_use(each, beats)]
    return tuple(sorted(left, key=lambda each: (KINDS.index(each.kind), each.entry.path)))


def removed(store: Store, several: Sequence[Leftover]) -> Iterator[Leftover]:
    """Remove the listed files one by one, except those that a worker uses again; yield each after its removal.

    A pack cannot resume from a partly removed checkpoint; it starts over.
    """
    for each in several:
        if each.kind in {"checkpoint", "heartbeat", "artifact"} and _is_in_use(each, store.heartbeats()):
            continue
        store.remove_file(each.entry)
        yield each


def _is_in_use(found: Leftover, beats: Iterable[Heartbeat]) -> bool:
    """Whether a live worker computes the pack or one of the runs."""
    return any(beat.pack == found.pack or not found.runs.isdisjoint(beat.runs) for beat in beats)


def _checkpoints(
    store: Store, entries: Sequence[FileEntry], listing: Listing, *, idle_seconds: float, now: float
) -> Iterator[Leftover]:
    """Checkpoints of packs that are finished or that nobody computes, and states that no checkpoint names."""
    written = {entry.name.removesuffix(".json"): entry.modified for entry in entries if entry.name.endswith(".json")}
    whys = {each.pack: (each, _why(each, listing, now - written.get(each.pack, now), idle_seconds)) for each in
            store.checkpoints()}  # fmt: skip
    for entry in entries:
        if TEMPORARY.fullmatch(entry.name):
            continue
        pack = _pack(entry.name)
        if pack not in whys:
            if now - entry.modified > WRITING_SECONDS:
                yield Leftover(kind="checkpoint", entry=entry, why="no checkpoint names it", pack=pack)
            continue
        checkpoint, why = whys[pack]
        if why:
            yield Leftover(kind="checkpoint", entry=entry, why=why, pack=pack, runs=frozenset(checkpoint.runs))


def _why(checkpoint: Checkpoint, listing: Listing, age_seconds: float, idle_seconds: float) -> str:
    """Why a checkpoint is not needed; empty if it is."""
    if all(run in listing.finished for run in checkpoint.runs):
        return "all its runs are finished"
    if age_seconds > idle_seconds:
        return f"no worker has used it for {age_seconds / 86_400:.0f} days"
    return ""


def _pack(name: str) -> str:
    """The pack that a file in `checkpoints` is named after."""
    return re.sub(r"(\.json|-[0-9a-f]{8}\.safetensors)$", "", name)


def _heartbeats(entries: Sequence[FileEntry], beats: Sequence[Heartbeat]) -> Iterator[Leftover]:
    live = {f"{beat.pack}.json" for beat in beats}
    for entry in entries:
        if entry.name.endswith(".json") and not entry.name.startswith(".") and entry.name not in live:
            yield Leftover(kind="heartbeat", entry=entry, why="its worker is dead", pack=entry.name[: -len(".json")])


def _temporary_files(entries: Iterable[FileEntry], *, now: float) -> Iterator[Leftover]:
    for entry in entries:
        if TEMPORARY.fullmatch(entry.name) and now - entry.modified > WRITING_SECONDS:
            run = entry.path.rpartition("/")[0].rpartition("-")[2]
            yield Leftover(kind="temporary file", entry=entry, why="its writer was killed", runs=frozenset({run}))


def _artifacts(store: Store, entries: Sequence[FileEntry], listing: Listing, *, now: float) -> Iterator[Leftover]:
    """Files of runs that no record names, from a writer that came second or was killed before its commit."""
    others: dict[str, list[FileEntry]] = {}
    for entry in entries:
        own = entry.name in {RECORD_FILE, FAILURE_FILE} or entry.name.startswith(".")
        if not own and now - entry.modified > WRITING_SECONDS:
            others.setdefault(entry.path.rpartition("/")[0], []).append(entry)
    named = _named(store, [folder for folder in others if _run(folder) in listing.finished])
    for folder, some in others.items():
        run = _run(folder)
        if run in listing.damaged or (run in listing.finished and folder not in named):
            continue  # its record cannot be read, so nobody knows
        for entry in some:
            if entry.name not in named.get(folder, frozenset()):
                yield Leftover(kind="artifact", entry=entry, why="no record names it", runs=frozenset({run}))


def _named(store: Store, folders: Sequence[str]) -> dict[str, frozenset[str]]:
    """The files that the readable records in the folders name."""
    records = store.readable_records([(folder, _run(folder)) for folder in folders])
    names = {record.run_id: frozenset(each.file for each in record.artifacts.values()) for record in records}
    return {folder: names[_run(folder)] for folder in folders if _run(folder) in names}


def _run(folder: str) -> str:
    return folder.rpartition("-")[2]


def _index_parts(entries: Sequence[FileEntry], *, now: float) -> Iterator[Leftover]:
    for entry in entries:
        is_other = entry.name.startswith("rows-") and not is_readable(entry.name)
        if is_other and now - entry.modified > 24 * WRITING_SECONDS:
            yield Leftover(kind="index part", entry=entry, why="other code has derived it")


def _stories(store: Store, listing: Listing, *, now: float) -> Iterator[Leftover]:
    """Stories that name no run in the store."""
    files = opened_files(store.url)
    known = listing.finished.keys() | listing.failed | listing.damaged.keys()
    known |= {run for checkpoint in store.checkpoints() for run in checkpoint.runs}
    for _, parts in journals(files):
        is_old = all(now - entry.modified > 24 * WRITING_SECONDS for entry in parts)
        if is_old and known.isdisjoint(noted_runs(files, parts)):
            for entry in parts:
                yield Leftover(kind="story", entry=entry, why="the store has none of its runs")
