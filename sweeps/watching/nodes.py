"""The hosts of a sweep: what each is computing by the heartbeats of its workers, and what it has finished."""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from subind.specs.run import Run
from subind.store.damage import REPAIR
from subind.store.errors import DamagedError
from subind.store.store import HEARTBEAT_SECONDS, Heartbeat, Store
from sweeps.exporting.record_columns import check_measured

SECONDS_OF_PACE = 6.5 * HEARTBEAT_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A host: packs and replicas under way there, runs of the plan finished there, and on which devices.

    `steps_per_second` is the sum over its packs, None while no two heartbeats of one have been seen; `seconds_silent`
    is how long ago the youngest of their heartbeats was written, None where none is under way.
    """

    host: str
    devices: tuple[str, ...]
    num_packs: int
    num_replicas: int
    num_finished: int
    steps_per_second: float | None
    seconds_silent: float | None

    def data(self) -> dict[str, Any]:
        """The node as JSON data."""
        return {
            "host": self.host,
            "devices": list(self.devices),
            "packs": self.num_packs,
            "replicas": self.num_replicas,
            "finished": self.num_finished,
            "steps_per_second": self.steps_per_second,
            "seconds_silent": self.seconds_silent,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a finished run was computed; both are empty if its record cannot be fetched."""

    host: str
    device: str


class Origins:
    """Where the finished runs of a store were computed, read from one record after the other and kept.

    `unreadable` says by run what is wrong with a record that is damaged, and what to do; such a one is read every time.
    """

    def __init__(self, store: Store) -> None:
        self.known: dict[str, Origin] = {}
        self.unreadable: dict[str, str] = {}
        self._store = store

    def learn(self, finished: Mapping[str, Run], *, within_seconds: float) -> int:
        """Read records that are not yet read, until the time is over; how many of the finished runs remain unread."""
        unread = [run for run in finished if run not in self.known]
        self.unreadable = {}
        end = time.monotonic() + within_seconds
        for place, run in enumerate(unread):
            if time.monotonic() >= end:
                return len(unread) - place
            try:
                self.known[run] = self._origin(finished[run])
            except ValueError as error:
                self.unreadable[run] = f"{error}; {REPAIR}"
        return 0

    def _origin(self, spec: Run) -> Origin:
        try:
            record = self._store.record(spec)
            check_measured(record)
        except DamagedError:
            raise
        except OSError:
            return Origin(host="", device="")
        made = record.provenance
        return Origin(host=made.host, device=made.device)


class Pace:
    """The steps a second of the packs under way, over the last minute of the heartbeats that were seen."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Heartbeat]] = {}

    def see(self, beats: Iterable[Heartbeat]) -> None:
        """Take up the heartbeats of now; packs that have none any more are forgotten."""
        self._seen = {beat.pack: _extended(self._seen.get(beat.pack, []), beat) for beat in beats}

    @property
    def rates(self) -> dict[str, float]:
        """By pack, of those of which two heartbeats have been seen."""
        return {
            pack: (several[-1].step - several[0].step) / (several[-1].time - several[0].time)
            for pack, several in self._seen.items()
            if len(several) > 1
        }


def _extended(several: list[Heartbeat], beat: Heartbeat) -> list[Heartbeat]:
    """The heartbeats of one worker with a further one; less those that are too old to tell the speed of now.

    One that was read again counts once, though its time, where it is told by a file system, may differ a little.
    """
    last = several[-1] if several else None
    if last is None or (last.host, last.process) != (beat.host, beat.process) or beat.step < last.step:
        return [beat]
    if beat.time - last.time < HEARTBEAT_SECONDS / 2:
        return several
    return [each for each in several if beat.time - each.time < SECONDS_OF_PACE] + [beat]


def nodes(
    beats: Sequence[Heartbeat],
    *,
    origins: Mapping[str, Origin],
    finished: Collection[str],
    rates: Mapping[str, float],
    now: float,
) -> tuple[Node, ...]:
    """All hosts that compute a pack or have finished a run, the busy ones first.

    `beats` are those of the plan's packs, `origins` where the finished runs were computed, as far as that is known,
    `rates` the steps a second by pack, and `now` a time as the heartbeats have it.
    """
    by_host: dict[str, list[Heartbeat]] = defaultdict(list)
    for beat in beats:
        by_host[beat.host].append(beat)
    num_finished, devices = Counter[str](), defaultdict[str, set[str]](set)
    for run in finished:
        if run in origins and origins[run].host:
            num_finished[origins[run].host] += 1
            devices[origins[run].host].add(origins[run].device)
    found = [
        _node(host, by_host[host], devices=devices[host], num_finished=num_finished[host], rates=rates, now=now)
        for host in {*by_host, *num_finished}
    ]
    return tuple(sorted(found, key=lambda node: (-node.num_packs, -node.num_finished, node.host)))


def _node(
    host: str,
    beats: Sequence[Heartbeat],
    *,
    devices: Collection[str],
    num_finished: int,
    rates: Mapping[str, float],
    now: float,
) -> Node:
    known = [rates[beat.pack] for beat in beats if beat.pack in rates]
    return Node(
        host=host,
        devices=tuple(sorted(devices)),
        num_packs=len(beats),
        num_replicas=sum(len(beat.runs) for beat in beats),
        num_finished=num_finished,
        steps_per_second=sum(known) if known else None,
        seconds_silent=max(0.0, now - max(beat.time for beat in beats)) if beats else None,
    )
