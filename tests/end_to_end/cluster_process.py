"""A Ray cluster in a process of its own: a head without CPUs, and nodes that come and go as the lines on stdin say.

Several raylets on this machine stand for several machines, each at its own address of 127.0.0.0/8. Every line is a JSON
object, and so is every answer on stdout. When stdin ends, or when this process is killed, all of it ends.
"""

import json
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 3000,
    "health_check_failure_threshold": 4,
}
"""A node is dead after some ten silent seconds, not half a minute."""

PREEMPTION_SECONDS = 5
NUM_STARTS = 5


def main() -> None:
    """Serve the commands on stdin: {"add": environment} and {"preempt": node id}."""
    from ray.cluster_utils import Cluster

    ray_out, sys.stdout = sys.stdout, sys.stderr
    head = {
        "num_cpus": 0,
        "node_ip_address": "127.0.0.2",
        "include_dashboard": False,
        "_system_config": HEALTH,
    }
    cluster = started(lambda: Cluster(initialize_head=True, head_node_args=head))

    def answer(**data: Any) -> None:
        print(json.dumps(data), file=ray_out, flush=True)

    answer(address=cluster.address)
    for number, line in enumerate(sys.stdin, start=3):
        match json.loads(line):
            case {"add": environment}:
                place = {"node_ip_address": f"127.0.0.{number}", "env_vars": environment}
                node = started(partial(cluster.add_node, num_cpus=1, **place))
                raylet = node.all_processes["raylet"][0].process.pid
                answer(id=node.node_id, raylet=raylet)
            case {"preempt": node_id}:
                answer(accepted=_preempt(str(cluster.address), node_id))
    cluster.shutdown()


def started(start: Callable[[], Any]) -> Any:
    """What `start` gives, tried again: on a busy machine Ray gives up a process that takes more than 30 s to start."""
    for _ in range(NUM_STARTS - 1):
        try:
            return start()
        except Exception:  # noqa: BLE001  Ray raises a bare Exception
            traceback.print_exc()
    return start()


def _preempt(address: str, node_id: str) -> bool:
    """Give a node the notice that a spot market gives."""
    from ray._raylet import GcsClient
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    deadline_ms = int((time.time() + PREEMPTION_SECONDS) * 1000)
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, _why = GcsClient(address=address).drain_node(node_id, reason, "the market wants it back", deadline_ms)
    return bool(accepted)


if __name__ == "__main__":
    main()
