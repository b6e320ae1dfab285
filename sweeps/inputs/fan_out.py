"""One function over many items, in processes of Ray on this machine: for data that are made file by file."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

TASKS_PER_CORE = 2
"""So many tasks wait at each core, so that none idles and none of a million items lies in Ray's queue."""


def fanned_out(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, num_cpus: int) -> Iterator[Any]:
    """What the function gives for each of the arguments, as they end; a process that dies is tried thrice more.

    Raises what the function raises.
    """
    if not arguments:
        return
    from sweeps.hosts.local_ray import local_ray  # isort: skip  sets what Ray reads when it is imported
    import ray

    task = ray.remote(max_retries=3)(function)
    with local_ray(num_cpus=num_cpus):
        waiting, running = list(reversed(arguments)), list[Any]()
        while waiting or running:
            while waiting and len(running) < TASKS_PER_CORE * num_cpus:
                running.append(task.remote(*waiting.pop()))
            ended, running = ray.wait(running)
            for each in ended:
                yield ray.get(each)
