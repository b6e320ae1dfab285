"""A run whose parent's file is bad fails alone: the others of its pack have the results that they have without it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import save

from subind.masks import hard as masks
from subind.specs.run import Run
from subind.specs.training import ImportedWeights
from subind.stages.parents import IMPORTED_FILE, MASK_FILE, ReadFile, network_of
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind.packs import PARENTS, finished, perturbed
from tests.vision_specs import image_donor, image_mask, image_transfer

IMPORTED = ImportedWeights(sha256="0" * 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Three runs of one shape, and the file of the second run's parent that is damaged."""

    pack: Sequence[Run]
    damaged: Run
    file: str


def stages() -> dict[str, Stage]:
    seeds = range(3)
    donors = [tiny_donor(seed=seed, weights=IMPORTED) for seed in seeds]
    discovered = [tiny_mask(donor=tiny_donor(seed=seed), seed=seed) for seed in seeds]
    pictured = [image_donor(seed=seed, weights=IMPORTED) for seed in seeds]
    pooled = [image_mask(image_donor(seed=seed), seed=seed) for seed in seeds]
    files = ("weights.safetensors", MASK_FILE)
    return {
        "donor": Stage(pack=donors, damaged=donors[1], file=IMPORTED_FILE),
        "mask": Stage(pack=discovered, damaged=discovered[1].donor, file=files[0]),
        "transfer": Stage(
            pack=[tiny_transfer(mask=each, seed=each.seed) for each in discovered],
            damaged=discovered[1],
            file=files[1],
        ),
        "image donor": Stage(pack=pictured, damaged=pictured[1], file=IMPORTED_FILE),
        "image mask": Stage(pack=pooled, damaged=pooled[1].donor, file=files[0]),
        "image transfer": Stage(
            pack=[image_transfer(mask=each, seed=each.seed) for each in pooled], damaged=pooled[1], file=files[1]
        ),
    }


def whole(parent: Run, file: str) -> bytes:
    """The file of a parent, or the weights that it starts from, as it should be."""
    if file == IMPORTED_FILE:
        return save(network_of(parent).to_library(perturbed(parent)))
    return PARENTS(parent, file)


def with_damage(stage: Stage, damage: Callable[[bytes], bytes]) -> ReadFile:
    def read(parent: Run, file: str) -> bytes:
        content = whole(parent, file)
        return damage(content) if (parent, file) == (stage.damaged, stage.file) else content

    return read


def refused(_content: bytes) -> bytes:
    """As a store does with a file whose checksum differs."""
    raise ValueError("runs/x/file is damaged (its checksum differs): remove its folder and run the sweep again")


def gone(_content: bytes) -> bytes:
    raise FileNotFoundError(2, "No such file or directory", "runs/x/file")


def folder(_content: bytes) -> bytes:
    raise IsADirectoryError(21, "Is a directory", "runs/x/file")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "refused": refused,
    "gone": gone,
    "a folder": folder,
    "empty": lambda _content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "of another network": lambda _content: save({"other.weight": torch.zeros(3)}),
}


@pytest.mark.parametrize("name", stages())
def test_run_with_a_damaged_parent_fails_alone_in_every_stage(name: str) -> None:
    stage = stages()[name]
    others = [stage.pack[0], stage.pack[2]]
    expected = finished(others, read=whole)
    for told, damage in DAMAGES.items():
        found = finished(stage.pack, read=with_damage(stage, damage))
        assert found.keys() == set(stage.pack), told
        failure = found[stage.pack[1]].replica.failure
        assert failure, told
        assert ": " in failure, f"{told}: {failure} has no remedy"
        assert not found[stage.pack[1]].measurements
        for spec in others:
            assert found[spec].measurements == expected[spec].measurements, told
            assert found[spec].files == expected[spec].files, told


@pytest.mark.parametrize("name", stages())
def test_pack_of_which_all_parents_are_damaged_ends_with_a_failure_each(name: str) -> None:
    def read(_parent: Run, _file: str) -> bytes:
        return refused(b"")

    found = finished(stages()[name].pack, read=read)
    assert [each.replica.failure[:11] for each in found.values()] == ["runs/x/file"] * 3


@pytest.mark.parametrize("name", ["transfer", "image transfer"])
def test_recipient_of_a_mask_over_another_network_fails_with_the_name_of_a_matrix(name: str) -> None:
    stage = stages()[name]
    narrow = masks.packed_bits({"h.0.attn.c_attn.weight": torch.ones(2, 3, dtype=torch.bool)})
    found = finished(stage.pack, read=with_damage(stage, lambda _content: narrow))
    failure = found[stage.pack[1]].replica.failure
    assert "has the shape" in failure
    assert "run the mask again" in failure


@pytest.mark.parametrize("name", stages())
def test_store_that_cannot_be_reached_is_no_failure_of_a_run(name: str) -> None:
    """The pack is tried again, for such a store may come back."""

    def read(_parent: Run, _file: str) -> bytes:
        raise ConnectionError("the store does not answer")

    with pytest.raises(ConnectionError):
        finished(stages()[name].pack, read=read)
