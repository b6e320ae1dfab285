"""Apply one function to many files, in Ray processes on this machine."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

TASKS_PER_CORE = 2
"""The number of waiting tasks per core: no core idles, and Ray's queue stays short for a million items."""


def fanned_out(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, num_cpus: int) -> Iterator[Any]:
    """The function's results in the order in which they end; a process that dies is retried three times.

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
