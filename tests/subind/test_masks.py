"""Hard masks against hand-made tensors and closed forms."""

from collections.abc import Callable

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from subind.masks import hard as masks
from subind.masks.hard import HardMask
from tests.specs import tiny_mask
from tests.subind.packs import hand_mask, same_bits

Drawn = Callable[[HardMask, torch.Generator], HardMask]


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_binarise_keeps_positive_logits_and_not_zero() -> None:
    found = masks.binarise(torch.tensor([-0.1, -0.0, 0.0, 1e-30, 0.1]))
    assert found.tolist() == [False, False, False, True, True]


def test_density_is_the_share_over_all_matrices() -> None:
    mask = {"small": torch.tensor([[True, False]]), "large": torch.zeros(2, 3, dtype=torch.bool)}
    assert masks.density(mask) == 1 / 8
    assert masks.densities(mask) == {"small": 0.5, "large": 0.0}


def test_num_kept_counts_per_replica_and_matrix() -> None:
    pack = {"a": torch.tensor([[[True, True]], [[False, True]]]), "b": torch.tensor([[[False]], [[True]]])}
    assert masks.num_kept(pack) == {"a": [2, 1], "b": [0, 1]}


@pytest.mark.parametrize("drawn", [masks.random_mask, masks.random_mask_outside])
def test_random_mask_keeps_the_count_of_every_matrix(drawn: Drawn) -> None:
    mask = hand_mask(tiny_mask())
    found = drawn(mask, draws())
    assert {name: int(bits.sum()) for name, bits in found.items()} == {
        name: int(bits.sum()) for name, bits in mask.items()
    }


@pytest.mark.parametrize("drawn", [masks.random_mask, masks.random_mask_outside])
def test_random_mask_same_state_gives_same_bits(drawn: Drawn) -> None:
    mask = hand_mask(tiny_mask())
    assert same_bits(drawn(mask, draws(1)), drawn(mask, draws(1)))


@pytest.mark.parametrize("drawn", [masks.random_mask, masks.random_mask_outside])
def test_random_mask_other_state_gives_other_bits(drawn: Drawn) -> None:
    mask = hand_mask(tiny_mask())
    first, second = drawn(mask, draws(1)), drawn(mask, draws(2))
    assert not any(torch.equal(first[name], second[name]) for name in mask)


def test_random_mask_is_uniform_over_the_matrix() -> None:
    mask = {"matrix": torch.tensor([[True, True, False, False], [False] * 4])}
    counts = sum(masks.random_mask(mask, draws(seed))["matrix"].long() for seed in range(800))
    assert isinstance(counts, Tensor)
    assert bool(((counts - 200).abs() < 6 * 150**0.5).all())


def test_random_mask_outside_lies_outside() -> None:
    mask = hand_mask(tiny_mask())
    found = masks.random_mask_outside(mask, draws())
    assert not any(bool((found[name] & mask[name]).any()) for name in mask)


def test_random_mask_outside_of_half_density_is_the_complement() -> None:
    mask = {"matrix": torch.tensor([[True, False], [False, True]])}
    assert same_bits(masks.random_mask_outside(mask, draws()), masks.inverted(mask))


def test_random_mask_outside_of_too_dense_a_mask_names_matrix_and_remedy() -> None:
    mask = {"h.0.mlp.c_fc.weight": torch.tensor([[True, True], [False, True]])}
    with pytest.raises(ValueError, match=r"density of h\.0\.mlp\.c_fc\.weight is 0\.750.*raise the penalty"):
        masks.random_mask_outside(mask, draws())


def test_inverted_swaps_ones_and_zeros() -> None:
    assert masks.inverted({"matrix": torch.tensor([[True, False]])})["matrix"].tolist() == [[False, True]]


def test_inverted_shares_no_weight_with_the_mask_and_both_cover_all() -> None:
    mask = hand_mask(tiny_mask())
    for name, bits in masks.inverted(mask).items():
        assert not bool((bits & mask[name]).any())
        assert bool((bits | mask[name]).all())


# ---- unions and overlaps


def test_union_has_what_any_mask_has() -> None:
    rows = [[True, False, False, True], [False, False, True, True], [False, False, False, True]]
    several = [{"matrix": torch.tensor(row)} for row in rows]
    assert masks.union(*several)["matrix"].tolist() == [True, False, True, True]


def test_union_of_one_mask_leaves_the_mask_as_it_was() -> None:
    mask, other = {"matrix": torch.tensor([True, False])}, {"matrix": torch.tensor([True, True])}
    assert same_bits(masks.union(mask), mask)
    masks.union(mask, other)
    assert mask["matrix"].tolist() == [True, False]


def test_flat_mask_has_every_bit_once() -> None:
    mask = {"small": torch.tensor([[True, False]]), "large": torch.tensor([[False], [True], [True]])}
    assert masks.flat(mask).tolist() == [True, False, False, True, True]


def test_overlaps_count_shared_weights() -> None:
    first, second = torch.tensor([[1, 1, 1, 0, 0]]).bool(), torch.tensor([[0, 1, 1, 1, 1]]).bool()
    assert masks.intersection_over_union(first, second) == 2 / 5
    assert masks.intersection_over_smaller(first, second) == 2 / 3


def test_overlaps_of_empty_masks_are_unknown() -> None:
    empty, full = torch.zeros(4).bool(), torch.ones(4).bool()
    assert masks.intersection_over_union(empty, empty) is None
    assert masks.intersection_over_union(empty, full) == 0
    assert masks.intersection_over_smaller(empty, full) is None
    assert masks.chance_intersection_over_union(0.0, 0.0) is None
    assert masks.chance_intersection_over_smaller(0.0, 0.5) is None


@pytest.mark.parametrize(("p", "q"), [(0.1, 0.3), (0.5, 0.5), (0.02, 0.9)])
def test_two_random_masks_overlap_as_by_chance(p: float, q: float) -> None:
    size = 40_000
    ones = [round(p * size), round(q * size)]
    first, second = (
        masks.random_mask({"matrix": torch.arange(size) < count}, draws(seed))["matrix"]
        for seed, count in enumerate(ones)
    )
    a, b = ones
    deviation = (a * b / size * (1 - a / size) * (size - b) / (size - 1)) ** 0.5  # hypergeometric
    shared = int((first & second).sum())
    assert abs(shared - a * b / size) < 3 * deviation
    slack = 4 * deviation / min(ones)
    assert masks.intersection_over_union(first, second) == pytest.approx(p * q / (p + q - p * q), abs=slack)
    assert masks.intersection_over_smaller(first, second) == pytest.approx(max(p, q), abs=slack)
    assert masks.chance_intersection_over_union(p, q) == pytest.approx(p * q / (p + q - p * q))
    assert masks.chance_intersection_over_smaller(p, q) == max(p, q)


# ---- files


def test_unpacked_bits_of_packed_bits_are_the_mask() -> None:
    mask = {"odd": torch.rand(3, 7, generator=draws()) < 0.5, "empty": torch.zeros(2, 2, dtype=torch.bool)}
    mask |= hand_mask(tiny_mask())
    assert same_bits(masks.unpacked_bits(masks.packed_bits(mask)), mask)


def test_packed_bits_take_an_eighth_of_a_byte_per_weight() -> None:
    mask = {"matrix": torch.ones(1000, 800, dtype=torch.bool)}
    assert 100_000 <= len(masks.packed_bits(mask)) < 100_500


def test_packed_bits_same_mask_gives_same_bytes() -> None:
    assert masks.packed_bits(hand_mask(tiny_mask())) == masks.packed_bits(hand_mask(tiny_mask()))


CONTENT = masks.packed_bits({"matrix": torch.ones(3, 7, dtype=torch.bool)})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no safetensors",
        CONTENT[:-1],
        CONTENT.replace(b"shapes", b"shaped"),
        CONTENT.replace(b"[3, 7]", b"[3, 9]"),
        CONTENT.replace(b"[3, 7]", b"[3, x]"),
        CONTENT.replace(b"[3, 7]", b"[-3,7]"),
        CONTENT.replace(b"[3, 7]", b"{    }"),
        save({"matrix": torch.ones(3, dtype=torch.uint8)}),
        save({"matrix": torch.ones(3)}, metadata={"shapes": '{"matrix": [3, 7]}'}),
        save({"matrix": torch.ones(3, dtype=torch.uint8)}, metadata={"shapes": '{"other": [3, 7]}'}),
        save({"matrix": torch.ones(3, dtype=torch.uint8)}, metadata={"shapes": "[1]"}),
    ],
)
def test_unpacked_bits_of_damaged_content_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no file of packed mask bits"):
        masks.unpacked_bits(content)
