"""Which run a person means: by its id, the beginning of it, or the name of its folder, in grids and in the store."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType

from subind.identity.run_ids import ID_LENGTH, decode, run_id
from subind.specs.quoting import quoted
from subind.specs.run import STAGES, Run, Stage
from subind.store.files import joined
from subind.store.names import slug
from subind.store.store import Store, opened_files
from sweeps.planning.plan import with_parents

MOST_MATCHES = 4
"""So many of several matches are told."""

ALIKE = 0.75
"""How like a folder's name a text must be for that run to be offered: 1 is equal."""

FILES = ("record.json", "failure.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A run: its id, the name of its folder, the grids that plan it, and its spec, None if only a folder tells of it.

    A folder whose record is of an earlier version has the id of then, and a spec whose id is another now.
    """

    run: str
    stage: Stage
    folder: str
    grids: tuple[str, ...] = ()
    spec: Run | None = None

    def __str__(self) -> str:
        return f"{self.run} ({self.stage} {self.folder.rpartition('-')[0]})"


def folder_name(spec: Run) -> str:
    """The name of the run's folder in any store."""
    return f"{slug(spec)}-{run_id(spec)}"


def planned_runs(cells: Mapping[str, Iterable[Run]]) -> dict[str, Known]:
    """All runs of grids, by id; `cells` are those of a grid by its name."""
    found: dict[str, Known] = {}
    for name, several in cells.items():
        for run, spec in with_parents(several).items():
            before = found.get(run)
            of = (*before.grids, name) if before else (name,)
            found[run] = Known(run=run, stage=spec.stage, folder=folder_name(spec), grids=of, spec=spec)
    return found


def stored_runs(store: Store) -> dict[str, Known]:
    """All runs of which the store has a folder, by id, by one listing of each stage."""
    files, found = opened_files(store.url), dict[str, Known]()
    for stage in STAGES:
        for path in files.paths(joined(files.root, "runs", stage)):
            name = path.rstrip("/").rpartition("/")[2]
            run = name.rpartition("-")[2]
            found[run] = Known(run=run, stage=stage, folder=name)
    return found


def meant_run(
    text: str,
    known: Mapping[str, Known],
    *,
    others: Mapping[str, Known] = MappingProxyType({}),
    near: Mapping[str, Known] | None = None,
) -> Known:
    """The one of the runs that a text means: an id or the beginning of one, or the name or path of a folder.

    Only a text that means none of the `known` may mean one of the `others`. Raises ValueError if it is none of them or
    several; with the nearest matches among `near`, which are the known by default.
    """
    stage, name = _folder_parts(text)
    if stage in STAGES:
        known = {run: each for run, each in known.items() if each.stage == stage}
        others = {run: each for run, each in others.items() if each.stage == stage}
    found = _matches(name, known) or _matches(name, others)
    if not found:
        told = _as_stage(name) or _nearest(name, known if near is None else near, num_known=len(known))
        raise ValueError(f"RUN is {quoted(text)}: no run has that id or folder{told}")
    if len(found) > 1:
        told = ", ".join(map(str, found[:MOST_MATCHES]))
        more = f" and {len(found) - MOST_MATCHES} more" if len(found) > MOST_MATCHES else ""
        raise ValueError(f"RUN is {quoted(text)}: {len(found)} runs begin with it, {told}{more}; give more of the id")
    return found[0]


def _matches(name: str, known: Mapping[str, Known]) -> list[Known]:
    """The run of that id; else those whose ids begin so, else those whose folders do; none for an empty name."""
    if name in known:
        return [known[name]]
    found = [each for each in known.values() if each.run.startswith(name.lower())] if _is_hexadecimal(name) else []
    return found or [each for each in known.values() if name and each.folder.startswith(name)]


def with_spec(found: Known, store: Store) -> Known:
    """The run with the spec of its record, if it has a record that can be read and no spec yet."""
    if found.spec is not None:
        return found
    try:
        record = store.record_in(f"{runs_path(store)}/{found.stage}/{found.folder}", found.run)
        return replace(found, spec=decode(record.spec))
    except (OSError, ValueError):
        return found


def runs_path(store: Store) -> str:
    """Where the store's runs are, as a path of its file system."""
    return joined(opened_files(store.url).root, "runs")


def _folder_parts(text: str) -> tuple[str, str]:
    """Of a path the part that names the run's folder, and the one before it, which may be a stage."""
    parts = ["", *(part for part in text.strip().split("/") if part)]
    if len(parts) > 2 and parts[-1] in FILES:
        parts.pop()
    return ("", parts[-1]) if len(parts) < 2 else (parts[-2], parts[-1])


def _is_hexadecimal(text: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F]+", text) is not None


def _as_stage(name: str) -> str:
    """What to say of the beginning of a stage's name, as the end of a sentence; nothing of any other text."""
    stage = next((stage for stage in STAGES if len(name) > 2 and stage.startswith(name.lower())), None)
    return "" if stage is None else f", and {stage} is a stage; give an id, or {stage}/ and the name of a folder"


def _nearest(name: str, known: Mapping[str, Known], *, num_known: int) -> str:
    """The runs whose ids, or whose folders as far as the text goes, are most like it, as the end of a sentence."""
    if _is_hexadecimal(name):
        close = get_close_matches(name.lower(), known, n=MOST_MATCHES) or _longest_beginning(name, known)
    elif not name:
        close = []
    else:
        beginnings = {each.folder[: len(name)]: run for run, each in known.items()}
        close = [beginnings[each] for each in get_close_matches(name, beginnings, n=MOST_MATCHES, cutoff=ALIKE)]
    if not close:
        return f" (of {num_known}); give a GRID, or --store" if num_known else "; give a GRID, or --store"
    return f"; nearest are {', '.join(str(known[run]) for run in close)}"


def _longest_beginning(name: str, known: Mapping[str, Known]) -> list[str]:
    """The runs that share the most letters of the beginning, if they share more than two."""
    for length in range(min(len(name), ID_LENGTH) - 1, 2, -1):
        found = [run for run in known if run.startswith(name[:length].lower())]
        if found:
            return found[:MOST_MATCHES]
    return []
