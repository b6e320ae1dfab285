"""Check by the header of a weights file that it fits the network that starts from it."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from subind.specs.quoting import quoted
from subind.specs.run import Run
from subind.store.store import Store
from sweeps.inputs.published_weights import imported_digest

Shapes = Mapping[str, tuple[int, ...]]

MOST_HEADER_BYTES = 100_000_000
"""The longest header that the safetensors format allows."""


def check_architectures(runs: Sequence[Run], store: Store) -> None:
    """Refuse donors whose weights belong to another architecture. Missing weights are skipped.

    Raises ValueError naming field, value, the tensor that differs, and the remedy.
    """
    for spec in dict.fromkeys(runs):
        weights = spec.imported()
        digest = None if weights is None else imported_digest(store, weights)
        if weights is None or digest is None or not store.has_weights(digest):
            continue
        if difference := _difference(_header(store, digest), spec):
            remedy = f"import weights of {quoted(spec.network)}, or give the network of these"
            raise ValueError(f"{type(spec).__name__}.weights is {quoted(weights)}: {difference}; {remedy}")


@cache
def _shapes_of_text(text: bytes) -> Shapes:
    data: dict[str, Any] = json.loads(text)
    return {name: tuple(map(int, each["shape"])) for name, each in data.items() if name != "__metadata__"}


def _header(store: Store, sha256: str) -> Shapes:
    """The shapes of a file's tensors; only the header is read. Raises ValueError if it is damaged."""
    length = int.from_bytes(store.weights_beginning(sha256, 8), "little")
    try:
        if not 2 <= length <= MOST_HEADER_BYTES:
            raise ValueError(f"{length:,} bytes of header")
        return _shapes_of_text(store.weights_beginning(sha256, 8 + length)[8:])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(
            f"the weights {sha256} in {store.url} are damaged (no header): import the file again"
        ) from None


def _difference(found: Shapes, run: Run) -> str:
    """The first difference between the file and the run's network; empty if it fits."""
    import torch

    from subind.networks.network import bound

    network = bound(run.network, run.task.signature())
    tensors = {name: torch.empty(shape, device="meta") for name, shape in found.items()}
    try:
        network.from_library(tensors, without=() if run.imports_head() else network.head)
    except ValueError as error:
        return str(error)
    return ""
