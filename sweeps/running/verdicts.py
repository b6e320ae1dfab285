"""Why a pack has fallen, and what follows: it is tried again, halved, or given up.

A lost node is nobody's fault: its pack is tried again without counting, so long as it gets on now and then. A worker
that dies while its node lives, or an exception, counts; a pack that twice gets no further is given up. What lacks
memory is tried in halves. A store that cannot be written or reached is waited for, one whose disk is full without end.
"""

import socket
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, assert_never

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.errors import is_full
from subind.store.results import Failure
from sweeps.hosts.error_lines import one_line, without_secrets

Kind = Literal["node lost", "worker died", "out of memory", "store failed", "disk full", "exception"]

NUM_ATTEMPTS = 2
"""How often a pack is tried whose worker dies or raises without getting on, before its runs are quarantined."""

NUM_LOSSES = 10
"""How many nodes a pack may lose in a row without getting on."""

NUM_STORE_FAILURES = 6
"""How often in a row the store may fail a pack: with the pauses between, some minutes."""

LONGEST_PAUSE_SECONDS = 60.0

LONGEST_WAIT_FOR_ROOM = 15.0
"""Seconds between two attempts while a disk is full: nobody is at fault, and it ends when somebody makes room."""

LACKS_MEMORY = ("can't allocate memory", "not enough memory", "ALLOC_FAILED", "low on memory", "OutOfMemory")
"""What PyTorch's CPU allocator, cuBLAS and Ray say where they raise no class of their own, or where that is lost."""

MOST_WORDS = 300
"""Characters of a worker's last words in a message; the traceback has more."""

FATAL = "Fatal Python error"

NO_SENTENCES = (" ", "\t", "[", ":", "***", "PC: ", "Thread 0x", "Current thread", "Extension modules", "Stack (most")
"""How lines of stacks and Ray's own lines begin."""

NAMING_AN_ERROR = ("Error", "error", "Exception", "No such file", "cannot ", "not found", "terminate called")

STORE_LIBRARIES = frozenset({"botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "google", "fsspec"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """How a pack ended that did not end well: of what kind, the error's class, message and traceback, and where."""

    kind: Kind
    error: str
    message: str
    traceback: str
    host: str
    node: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The pack is tried again after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Halved:
    """The pack is tried again in two halves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """The pack's runs have failed."""


Verdict = Again | Halved | GivenUp


@dataclass(slots=True)
class Account:
    """What has befallen a pack: how often it was tried in all, and its falls since it last got on."""

    num_attempts: int = 0
    falls: list[Fall] = field(default_factory=list)

    def verdict(self, fall: Fall, *, got_on: bool, num_runs: int, is_alive: Callable[[str], bool]) -> Verdict:
        """Enter a fall and say what follows. A worker whose node has died since counts as lost with its node."""
        self.num_attempts += 1
        if got_on:
            self.falls.clear()
        self.falls.append(fall)
        self.falls = [_with_its_node(each, is_alive) for each in self.falls]
        num_alike = sum(each.kind == fall.kind for each in self.falls)
        match fall.kind:
            case "node lost":
                return self._again_or_given_up(num_alike, NUM_LOSSES)
            case "store failed":
                return self._again_or_given_up(num_alike, NUM_STORE_FAILURES)
            case "disk full":
                return Again(seconds=min(LONGEST_WAIT_FOR_ROOM, 2.0**num_alike))
            case "out of memory" if num_runs > 1:
                return Halved()
            case "out of memory" | "worker died" | "exception":
                counting = sum(each.kind in ("out of memory", "worker died", "exception") for each in self.falls)
                return GivenUp() if counting >= NUM_ATTEMPTS else Again(seconds=0.0)
            case _:
                assert_never(fall.kind)

    @staticmethod
    def _again_or_given_up(number: int, most: int) -> Verdict:
        if number >= most:
            return GivenUp()
        return Again(seconds=min(LONGEST_PAUSE_SECONDS, 2.0**number))


def _with_its_node(fall: Fall, is_alive: Callable[[str], bool]) -> Fall:
    lost = fall.kind == "worker died" and fall.node and not is_alive(fall.node)
    return replace(fall, kind="node lost", error="NodeLost") if lost else fall


def fall_of(error: BaseException | None, *, text: str, host: str = "", node: str = "") -> Fall:
    """What a worker's error tells; `text` is what was said of it, where the error itself is lost."""
    cause = getattr(error, "cause", None) or error
    told = str(cause) if cause is not None else text
    kind = _kind(error, cause, told)
    lines = [line.strip() for line in told.strip().splitlines() if line.strip()]
    name = "" if cause is None else type(cause).__name__
    return Fall(
        kind=kind,
        error=_error_class(kind, name),
        message=one_line(_message(kind, lines)) if lines else name or "the worker left no message",
        traceback="".join(traceback.format_exception(error)) if error is not None else text or "there is no traceback",
        host=host or socket.gethostname(),
        node=node,
    )


def with_words(fall: Fall, words: str) -> Fall:
    """The fall of a worker that died, with what it last wrote to its standard error: without that Ray can but guess."""
    line = _telling(words)
    if not line:
        return fall
    end = f"The end of the worker's standard error:\n{without_secrets(words)}\n"
    message = f"{fall.message.rstrip(' .')}; it said: {one_line(line, MOST_WORDS)}"
    return replace(fall, message=message, traceback=f"{fall.traceback}\n{end}")


def _telling(words: str) -> str:
    """The last line that names an error, else the last that is a sentence, if there is one."""
    lines = [line for line in words.splitlines() if line.strip() and not line.startswith(NO_SENTENCES)]
    naming = [line for line in lines if any(word in line for word in NAMING_AN_ERROR) and FATAL not in line]
    return next(iter([*naming[-1:], *lines[-1:]]), "")


def _kind(error: BaseException | None, cause: BaseException | None, told: str) -> Kind:
    names = {each.__name__ for each in type(cause).__mro__} if cause is not None else set()
    if names & {"OutOfMemoryError", "MemoryError"} or _lacks_memory(names, told):
        return "out of memory"
    if getattr(error, "preempted", False) or names & {"ActorUnavailableError", "NodeDiedError", "PreemptedError"}:
        return "node lost"
    if "RayActorError" in names or (cause is None and "actor" in told.lower()):
        return "node lost" if "node has died" in told or "node was" in told else "worker died"
    if cause is not None and is_full(cause):
        return "disk full"
    root = type(cause).__module__.partition(".")[0]
    is_damage = isinstance(cause, ValueError)  # asking again is no use
    return "store failed" if (isinstance(cause, OSError) and not is_damage) or root in STORE_LIBRARIES else "exception"


def _lacks_memory(names: set[str], told: str) -> bool:
    return (not names or "RuntimeError" in names) and any(words in told for words in LACKS_MEMORY)


def _error_class(kind: Kind, name: str) -> str:
    match kind:
        case "node lost":
            return "NodeLost"
        case "worker died":
            return "WorkerDied"
        case "out of memory":
            return "OutOfMemory"
        case "store failed" | "disk full" | "exception":
            return name or "UnknownError"
        case _:
            assert_never(kind)


def _message(kind: Kind, lines: Sequence[str]) -> str:
    """The line that says most: of an exception the last one, of Ray's words on a dead worker the one with the cause."""
    match kind:
        case "node lost" | "worker died":
            line = next((line for line in lines if line.startswith("The actor is dead")), lines[0])
            return line.partition(" Some common causes include")[0]  # the traceback has Ray's guesses
        case _:
            return lines[-1]


def failure(spec: Run, pack: Sequence[Run], fall: Fall, *, num_attempts: int) -> Failure:
    """What failure.json says of a run whose pack is given up."""
    return Failure(
        run_id=run_id(spec),
        error=fall.error,
        message=fall.message,
        traceback=fall.traceback,
        host=fall.host,
        pack=tuple(run_id(each) for each in pack),
        attempts=num_attempts,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
