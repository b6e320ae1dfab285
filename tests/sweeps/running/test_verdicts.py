"""What is told of an error: its kind, class and message. The errors are those that Ray, torch and Python raise."""

import errno
import os

import pytest
import torch
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError, RayTaskError

from sweeps.hosts.error_lines import LONGEST_LINE
from sweeps.running.verdicts import fall_of, with_words

WORKER_DIED = (
    "The actor died unexpectedly before finishing this task.\n\tclass_name: ImplicitFunc\n\tpid: 31356\n"
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR "
    "Some common causes include: (1) the process was killed by the OOM killer, (2) ray stop --force was called."
)
NODE_DIED = (
    "The actor died unexpectedly before finishing this task.\n\tclass_name: ImplicitFunc\n"
    "The actor is dead because its node has died. Node Id: 20e448"
)


def _from_a_worker(cause: Exception) -> RayTaskError:
    return RayTaskError("train", f"Traceback (most recent call last):\n{cause!r}", cause)


def _died(message: str, *, preempted: bool = False) -> ActorDiedError:
    error = ActorDiedError()
    error.error_msg = message
    error._preempted = preempted
    return error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError("no"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"
        ),
    ],
)
def test_fall_of_what_lacks_memory_is_out_of_memory(error: Exception) -> None:
    found = fall_of(_from_a_worker(error), text="")
    assert (found.kind, found.error) == ("out of memory", "OutOfMemory")


def test_fall_by_rays_memory_monitor_is_out_of_memory() -> None:
    assert fall_of(OutOfMemoryError("Task was killed due to the node running low on memory."), text="").kind == (
        "out of memory"
    )
    assert fall_of(None, text="Task was killed due to the node running low on memory.").kind == "out of memory"


def test_real_allocation_that_cannot_be_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert fall_of(_from_a_worker(raised.value), text="").kind == "out of memory"


def test_fall_of_a_worker_that_died_says_which_line_tells_why() -> None:
    found = fall_of(_died(WORKER_DIED), text="", host="there", node="abc")
    assert (found.kind, found.error, found.host, found.node) == ("worker died", "WorkerDied", "there", "abc")
    assert found.message == "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR"


@pytest.mark.parametrize(
    "error", [_died(NODE_DIED), _died(WORKER_DIED, preempted=True), ActorUnavailableError("Socket closed", None)]
)
def test_fall_with_the_node_is_node_lost(error: Exception) -> None:
    found = fall_of(error, text="")
    assert (found.kind, found.error) == ("node lost", "NodeLost")


def test_fall_of_a_full_disk_is_no_fault_of_the_pack() -> None:
    found = fall_of(_from_a_worker(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))), text="")
    assert (found.kind, found.error) == ("disk full", "OSError")


def test_fall_of_any_other_exception_keeps_its_class_and_its_last_line() -> None:
    found = fall_of(_from_a_worker(ValueError("the first line\nthe last line")), text="")
    assert (found.kind, found.error, found.message) == ("exception", "ValueError", "the last line")
    assert "the first line" in found.traceback


def test_fall_of_an_exception_with_a_long_message_is_told_shortened_and_whole_in_the_traceback() -> None:
    fall = fall_of(RuntimeError("words " * 1000), text="")
    assert len(fall.message) <= LONGEST_LINE
    assert "words " * 1000 in fall.traceback


def test_fall_whose_error_is_lost_is_told_by_its_text() -> None:
    found = fall_of(None, text="something else\n")
    assert (found.kind, found.message) == ("exception", "something else")


# ---- a dead worker's last words

DEAD = fall_of(None, text="The actor is dead because its worker process has died. ")

ABORTED = """:job_id:01000000
:actor_name:train_pack
OSError: /data/photographs: No such file or directory, asked of s3://me:secret@bucket
*** SIGABRT received at time=1795869997 on cpu 0 ***
PC: @     0x7fb2838a8eec  (unknown)  (unknown)
[2026-11-28 12:46:37,522 E 21214 21254] logging.cc:474: *** SIGABRT received
Fatal Python error: Aborted

Stack (most recent call first):
  File "training.py", line 9 in step
Extension modules: numpy (total: 1)
"""


def test_dead_worker_is_told_with_its_own_last_words_and_no_secret() -> None:
    fall = with_words(DEAD, ABORTED)
    assert "it said: OSError: /data/photographs: No such file or directory" in fall.message
    assert 'File "training.py", line 9 in step' in fall.traceback
    assert "secret" not in fall.message + fall.traceback


def test_last_words_are_shortened() -> None:
    assert len(with_words(DEAD, "ImportError: " + "x" * 10**6).message) < 500


@pytest.mark.parametrize("words", ["", ":job_id:01000000\n:actor_name:train_pack\n"])
def test_dead_worker_that_said_nothing_is_told_as_ray_does(words: str) -> None:
    assert with_words(DEAD, words) == DEAD


def test_segmentation_fault_is_told_where_nothing_else_is() -> None:
    words = "Fatal Python error: Segmentation fault\n\nStack (most recent call first):\n  File x\n"
    assert with_words(DEAD, words).message.endswith("it said: Fatal Python error: Segmentation fault")
