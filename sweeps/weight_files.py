"""Whether imported weights are those of the network that starts from them, by the header of their file alone."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from subind.specs.quoting import quoted
from subind.specs.runs import Donor, FreshWeights, ImageDonor, ImportedWeights, PublishedWeights
from subind.store.store import Store
from sweeps.plan import Plan

Shapes = Mapping[str, tuple[int, ...]]

MOST_HEADER_BYTES = 100_000_000
"""What the safetensors format allows."""

MOST_NAMES = 3
"""So many tensors that are absent or unknown are named."""


def check_architectures(found: Plan, store: Store) -> None:
    """Refuse donors whose weights are of another architecture than theirs. Those that are not there are left out.

    Raises ValueError naming field, value, the tensor that differs, and the remedy.
    """
    several = (found.runs[run] for run in found.missing)
    donors = {each for each in several if isinstance(each, Donor | ImageDonor)}
    for donor in donors:
        named = _named(donor, store)
        if named is not None:
            field, value, sha256 = named
            difference = _difference(_header(store, sha256), donor)
            if difference:
                remedy = f"import weights of {quoted(donor.model)}, or give the model of these"
                raise ValueError(f"{type(donor).__name__}.weights.{field} is {quoted(value)}: {difference}; {remedy}")


def _named(donor: Donor | ImageDonor, store: Store) -> tuple[str, str, str] | None:
    """The field and value that name the weights and their SHA-256; None for fresh ones, and where they are absent."""
    match donor.weights:
        case ImportedWeights(sha256=sha256):
            return ("sha256", sha256, sha256) if store.has_weights(sha256) else None
        case PublishedWeights(file=file):
            digest = store.named_weights(file)
            return ("file", file, digest) if digest is not None and store.has_weights(digest) else None
        case FreshWeights():
            return None


@cache
def _shapes_of_text(text: bytes) -> Shapes:
    data: dict[str, Any] = json.loads(text)
    return {name: tuple(map(int, each["shape"])) for name, each in data.items() if name != "__metadata__"}


def _header(store: Store, sha256: str) -> Shapes:
    """The shapes of a file's tensors, of which no more than the header is read. Raises ValueError if it is damaged."""
    length = int.from_bytes(store.weights_beginning(sha256, 8), "little")
    try:
        if not 2 <= length <= MOST_HEADER_BYTES:
            raise ValueError(f"{length:,} bytes of header")
        return _shapes_of_text(store.weights_beginning(sha256, 8 + length)[8:])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(
            f"the weights {sha256} in {store.url} are damaged (no header): import the file again"
        ) from None


def _difference(found: Shapes, donor: Donor | ImageDonor) -> str:
    """The first way in which the file is none of the donor's model; empty if it is one."""
    if isinstance(donor, Donor):
        from subind.networks import gpt2
        from subind.tasks.arithmetic import vocabulary_size

        wanted = dict(gpt2.shapes(donor.model, vocabulary_size(donor.task)))
        given = {name.removeprefix("transformer."): shape for name, shape in found.items()}
        given = {name: shape for name, shape in given.items() if not name.endswith((".attn.bias", ".attn.masked_bias"))}
        given.pop("lm_head.weight", None)
    else:
        from subind.networks import vision

        running = {name: tuple(each.shape) for name, each in vision.initial_statistics(donor.model).items()}
        wanted = {**vision.shapes(donor.model), **running}
        given = {name: shape for name, shape in found.items() if not name.endswith("num_batches_tracked")}
        if donor.trained == "head":
            for name in vision.head(donor.model):
                wanted.pop(name)
                given.pop(name, None)
    return _told(given, wanted)


def _told(given: Shapes, wanted: Shapes) -> str:
    if absent := [name for name in wanted if name not in given]:
        return f"its file lacks {', '.join(absent[:MOST_NAMES])} and {max(0, len(absent) - MOST_NAMES)} more"
    if unknown := [quoted(name) for name in given if name not in wanted]:
        return f"its file has {', '.join(unknown[:MOST_NAMES])}, which the model has not"
    other = next((name for name, shape in wanted.items() if given[name] != tuple(shape)), None)
    return "" if other is None else f"its file has {other} of shape {given[other]} and the model {tuple(wanted[other])}"
