"""The story of a run: what has befallen it in the sweeps that computed it, as their drivers noted it in the store.

    stories/<sweep>.<part>.jsonl        what one driver has seen, an event a line

A driver has a journal of its own, which is written anew in parts, now and then: what it had not written when it was
killed is lost, and nothing else. Only `why` reads it. Junk in it harms no more than the story.
"""

import json
import os
import re
import secrets
import socket
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from subind.store.files import FileEntry, Files, joined
from subind.store.store import Store, opened_files
from sweeps.hosts.error_lines import one_line
from sweeps.planning.run_states import Move, State

FOLDER = "stories"

PART_BYTES = 256_000
"""A part that is so large is left as it is, and another begun."""

MOST_BYTES = 32_000_000
"""The size of a journal, enough for a million runs. What befalls runs later is not noted."""

SECONDS_BETWEEN_WRITES = 2.0
SECONDS_BETWEEN_REMOTE_WRITES = 30.0
"""On an object store a write is a request."""

SHARE_OF_WRITING = 0.02
"""The part of a driver's time that writing may take."""

NOTED: frozenset[State] = frozenset({"retrying", "stopped", "failed", "finished"})
"""The states of which a journal notes when runs that its driver handed out get into them."""

_FILE = re.compile(r"([\w-]+)\.(\d{4})\.jsonl")
_RUN = re.compile(rb'"([0-9a-f]{16})"')


class Journal:
    """What a driver notes of its sweep. Nothing is written before a pack is handed out."""

    def __init__(self, store: Store, *, grid: str, num_runs: int, num_packs: int) -> None:
        self._files = opened_files(store.url)
        self._pause = SECONDS_BETWEEN_WRITES if store.is_local else SECONDS_BETWEEN_REMOTE_WRITES
        self._next = 0.0
        self._sweep = f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}-{secrets.token_hex(4)}"
        self._part = 0
        self._num_bytes = 0
        self._is_dirty = False
        self._lines: list[bytes] = []
        self._packs: dict[frozenset[str], str] = {}
        self._own: set[str] = set()
        self._heard: set[tuple[str, str, str]] = set()
        place = {"host": socket.gethostname(), "process": os.getpid()}
        self._note("planned", grid=grid, num_runs=num_runs, num_packs=num_packs, **place)

    def hand_out(self, pack: str, runs: Collection[str]) -> None:
        """Note that a pack is handed to a worker."""
        self._packs[frozenset(runs)] = pack
        self._own |= set(runs)
        self._note("running", pack=pack, runs=list(runs))

    def hear(self, trial: str, pack: str, result: Mapping[str, Any]) -> None:
        """Note what the worker of a pack reports that is new: where it is, where it went on, and what it tells."""
        heard = [("place", {"host": result["host"], "process": result.get("pid")})] if "host" in result else []
        if step := result.get("resumed_step"):
            heard.append(("note", {"why": f"went on from the checkpoint at step {step}"}))
        heard += [("note", {"why": one_line(note)}) for note in result.get("notes", ())]
        for event, about in heard:
            key = trial, event, str(about)
            if key not in self._heard:
                self._heard.add(key)
                self._note(event, pack=pack, **about)

    def move(self, move: Move) -> None:
        """Note that runs which were handed out have got into a state; those that fill a pack by its name."""
        runs = move.runs & self._own
        if runs and move.to in NOTED:
            pack = self._packs.get(runs)
            which = {"runs": sorted(runs)} if pack is None else {"pack": pack}
            self._note(move.to, why=one_line(move.why), **which)

    def write(self, *, now: bool = False) -> None:
        """Write what is new, if it is time to. A store that cannot be written is tried again later."""
        start = time.monotonic()
        if not (self._is_dirty and self._own) or (start < self._next and not now):
            return
        content = b"".join(self._lines)
        try:
            self._files.replace(joined(self._files.root, FOLDER, f"{self._sweep}.{self._part:04}.jsonl"), content)
        except OSError:
            self._next = start + SECONDS_BETWEEN_REMOTE_WRITES
            return
        self._is_dirty = False
        if len(content) > PART_BYTES:
            self._part, self._lines = self._part + 1, []
        end = time.monotonic()
        self._next = end + max(self._pause, (end - start) / SHARE_OF_WRITING)

    def _note(self, event: str, **about: Any) -> None:
        line = json.dumps({"time": round(time.time(), 3), "event": event, **about}).encode() + b"\n"
        if self._num_bytes + len(line) <= MOST_BYTES:
            self._num_bytes += len(line)
            self._lines.append(line)
            self._is_dirty = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What befell a run in a sweep: when (UTC in ISO 8601), of what kind, and as a sentence."""

    time: str
    kind: str
    sweep: str
    text: str


def story(store: Store, run: str, *, blocked_by: str = "") -> tuple[Event, ...]:
    """All that drivers have noted of a run, in the order of time; a commit that several have noted is told once.

    Of one that is blocked by a failed run, that run's last failure is told too.
    """
    if blocked_by:
        failures = [each for each in story(store, blocked_by) if each.kind == "failed"]
        blocks = [replace(each, kind="blocked", text=f"run {blocked_by} {each.text}") for each in failures[-1:]]
        return tuple(sorted([*story(store, run), *blocks], key=lambda each: each.time))
    files = opened_files(store.url)
    found = [event for name, parts in journals(files) for event in _events(name, _content(files, parts), run)]
    found.sort(key=lambda each: each.time)
    commits = [event for event in found if event.kind == "finished"]
    return tuple(event for event in found if event not in commits[1:])


def journals(files: Files) -> Iterator[tuple[str, list[FileEntry]]]:
    """The parts of every journal, in order, by the name of its sweep."""
    several: defaultdict[str, list[FileEntry]] = defaultdict(list)
    for entry in sorted(files.entries(joined(files.root, FOLDER)), key=lambda each: each.name):
        if (match := _FILE.fullmatch(entry.name)) and entry.num_bytes <= MOST_BYTES:
            several[match[1]].append(entry)
    yield from sorted(several.items())


def noted_runs(files: Files, parts: Collection[FileEntry]) -> set[str]:
    """The ids of the runs that a journal names."""
    return {each.decode() for each in _RUN.findall(_content(files, parts))}


def _content(files: Files, parts: Collection[FileEntry]) -> bytes:
    contents = files.contents((entry.path for entry in parts), most=MOST_BYTES)
    return b"\n".join(each for each in contents if isinstance(each, bytes))


def _events(sweep: str, content: bytes, run: str) -> Iterator[Event]:
    """What a journal tells of a run. Lines that are no event, such as half of one, are left out."""
    if run.encode() not in content:
        return
    packs: set[bytes] = set()
    holding: dict[str, bool] = {}
    for line in content.splitlines():
        if not (b'"planned"' in line or run.encode() in line or any(name in line for name in packs)):
            continue
        data = _parsed(line)
        if data is None:
            continue
        is_first = data["event"] == "planned"
        pack, runs = data.get("pack"), data.get("runs")
        if isinstance(pack, str) and isinstance(runs, list):
            holding[pack] = run in runs
            packs.add(pack.encode())
        names_it = isinstance(runs, list) and run in runs
        if is_first or names_it or (runs is None and isinstance(pack, str) and holding.get(pack)):
            yield Event(time=data["time"], kind=data["event"], sweep=sweep, text=_sentence(data))


def _parsed(line: bytes) -> dict[str, Any] | None:
    """An event with its time in words; None if the line is none."""
    try:
        data = json.loads(line)
        moment = datetime.fromtimestamp(float(data["time"]), UTC).isoformat(timespec="seconds")
    except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
        return None
    return {**data, "time": moment} if isinstance(data.get("event"), str) else None


def _sentence(data: Mapping[str, Any]) -> str:
    where = f"on {data.get('host')}, process {data.get('process')}"
    match data["event"]:
        case "planned":
            text = f"a sweep of {data.get('grid')} began {where}: {data.get('num_runs')} runs to compute"
        case "running":
            others = len(data.get("runs") or ()) - 1
            text = f"handed to a worker in {data.get('pack')}, {_with(others)}"
        case "place":
            text = f"a worker took it up {where}"
        case "finished":
            text = "committed"
        case "retrying":
            text = f"its pack fell: {data.get('why')}"
        case "failed" | "stopped" as state:
            text = f"{state}: {data.get('why')}"
        case _:
            text = str(data.get("why"))
    return one_line("".join(each if each.isprintable() else "?" for each in text))


def _with(num_others: int) -> str:
    if num_others < 1:
        return "alone"
    return f"with {num_others} other{'s' if num_others > 1 else ''}"
