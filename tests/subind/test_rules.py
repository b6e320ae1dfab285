"""Rules against Python's integers."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from subind.specs import rules

RULES = {
    "a + a*b": lambda a, b: a + a * b,
    "a*b": lambda a, b: a * b,
    "a**2 + a*b": lambda a, b: a**2 + a * b,
    "2*b**2": lambda a, b: 2 * b**2,
    "a**2 + a*b + b**2": lambda a, b: a**2 + a * b + b**2,
    "a**3 + a*b + b": lambda a, b: a**3 + a * b + b,
    "a**2 - b**2": lambda a, b: a**2 - b**2,
    "-a - +b - 7": lambda a, b: -a - b - 7,
    "(a - 3*b)**5": lambda a, b: (a - 3 * b) ** 5,
    "a**0 + b**64": lambda a, b: 1 + b**64,
    "12": lambda a, b: 12,
}
OPERANDS = list(itertools.product([0, 1, 2, 5, 6, 11, 998, 999], repeat=2))


@pytest.mark.parametrize("text", RULES)
@pytest.mark.parametrize("modulus", [1, 2, 7, 1000])
def test_evaluate_of_integers_equals_python_arithmetic(text: str, modulus: int) -> None:
    for a, b in OPERANDS:
        assert rules.evaluate(text, (a, b), modulus=modulus) == RULES[text](a, b) % modulus


@pytest.mark.parametrize("text", RULES)
@pytest.mark.parametrize("modulus", [7, 2**31 - 1, 2**31])
def test_evaluate_of_tensors_near_the_largest_modulus_equals_python_integers(text: str, modulus: int) -> None:
    pairs = [(a, b) for a in (0, 3, modulus - 2, modulus - 1) for b in (1, modulus // 2, modulus - 1)]
    a, b = torch.tensor(pairs, dtype=torch.int64).T
    found = rules.evaluate(text, (a, b), modulus=modulus)
    expected = [RULES[text](a, b) % modulus for a, b in pairs]
    assert found.tolist() == expected


@pytest.mark.parametrize("text", RULES)
def test_evaluate_of_numpy_arrays_equals_python_integers(text: str) -> None:
    a, b = np.array(OPERANDS, dtype=np.int64).T
    found = rules.evaluate(text, (a, b), modulus=7)
    assert found.tolist() == [RULES[text](a, b) % 7 for a, b in OPERANDS]


@pytest.mark.parametrize("modulus", [0, -7, 2**31 + 1])
def test_evaluate_with_a_modulus_out_of_range_names_it(modulus: int) -> None:
    with pytest.raises(ValueError, match=rf"modulus is {modulus}: give 1 to 2147483648"):
        rules.evaluate("a", (1, 1), modulus=modulus)


def test_canonical_of_other_spellings_is_one_text() -> None:
    spellings = ["a**2+a*b", "a ** 2 + (a * b)", "  (a**2) + a*b ", "((a)**2 + ((a)*(b)))"]
    assert {rules.canonical(text) for text in spellings} == {"a ** 2 + a * b"}


@pytest.mark.parametrize("text", RULES)
def test_canonical_of_a_canonical_rule_is_itself(text: str) -> None:
    assert rules.canonical(rules.canonical(text)) == rules.canonical(text)


HOSTILE = [
    "",
    "   ",
    "__import__('os').system('true')",
    "a.__class__",
    "lambda: a",
    "[a for a in b]",
    "a if b else a",
    "a := b",
    "a = b",
    "a; b",
    "a\nb",
    "a +",
    "c",
    "a*x",
    "a**b",
    "2**a",
    "a**10**9",
    "a**65",
    "a**-1",
    "a**True",
    "a/b",
    "a//b",
    "a%b",
    "a@b",
    "~a",
    "not a",
    "a and b",
    "a == b",
    "1.5*a",
    "1j*a",
    "True",
    "None",
    "'a'",
    "f'{a}'",
    "a(b)",
    "a[b]",
    "a, b",
    "4294967296*a",
    "9" * 100,
    "(" * 99 + "a" + ")" * 99 + "**b",
    "-" * 150 + "c",
    "a+" * 99 + "c",
    "a\0b",
    "α",
    "a" * 201,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_canonical_of_what_is_no_rule_says_what_a_rule_may_use(text: str) -> None:
    with pytest.raises(ValueError, match=r"rule .* use a, b, integers, \+, -, \* and \*\*"):
        rules.canonical(text)


def test_canonical_of_a_wrong_part_names_the_part() -> None:
    with pytest.raises(ValueError, match=r"has the part 'a / b'"):
        rules.canonical("a**2 + a/b")


def test_canonical_of_a_deep_rule_within_the_length_is_accepted() -> None:
    assert rules.canonical("(" * 50 + "a" + ")" * 50) == "a"
    assert rules.evaluate("-" * 150 + "a", (5, 0), modulus=7) == 5


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("a**2 + a*b", "2*a**2"),
        ("a**64 - b**64 + a", "a"),
        ("(a - b)**8 * (a + b)**8", "0*a"),
        ("((a**8)**8)**8 - ((b**8)**8)**8", "0*b"),
    ],
)
@pytest.mark.timeout(10)
def test_rules_that_agree_are_told_alike_at_the_largest_vocabulary_without_a_walk_through_it(
    text: str, other: str
) -> None:
    assert rules.first_unlike(text, other, modulus=2**31, num_integers=2**31) is None


@pytest.mark.parametrize("modulus", [2, 3, 5, 6, 7, 8, 30, 64])
def test_first_unlike_equals_a_walk_through_all_pairs(modulus: int) -> None:
    texts = [
        "a**2 + a*b",
        "2*b**2",
        "a",
        "a**3",
        "a**5 - a",
        "a**4 + b",
        "(a + 1)**2 - a*b",
        "a*(a - 1)*(b - 2)",
        "12",
        "0",
    ]
    for text, other in itertools.product(texts, repeat=2):
        differences = (
            a
            for a in range(40)
            if rules.evaluate(text, (a, a), modulus=modulus) != rules.evaluate(other, (a, a), modulus=modulus)
        )
        found = rules.first_unlike(text, other, modulus=modulus, num_integers=40)
        assert found == next(differences, None), (text, other)


def test_rule_that_only_fits_the_limit_without_spaces_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"rule .* has 397 characters with spaces, more than 200"):
        rules.canonical("+".join(["a"] * 100))


def test_rule_of_a_huge_degree_is_refused() -> None:
    with pytest.raises(ValueError, match=r"give one of degree 4096 at most"):
        rules.canonical("((a**64)**64)**64")


def test_rule_of_a_megabyte_is_quoted_in_short() -> None:
    with pytest.raises(ValueError, match=r"1,000,000 characters") as refused:
        rules.canonical("a" * 1_000_000)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("text", ["a**2 + a*b", "a*b", "a + a*b", "a**2 - b**2", "12"])
@pytest.mark.parametrize(("modulus", "num_integers"), [(5, 50), (7, 30), (13, 40), (40, 23)])
def test_chance_of_a_rule_is_that_of_counting_all_pairs(text: str, modulus: int, num_integers: int) -> None:
    pairs = list(itertools.product(range(num_integers), repeat=2))
    answers = [RULES[text](a, b) % modulus for a, b in pairs]
    agreeing = [answer == RULES["2*b**2"](a, b) % modulus for answer, (a, b) in zip(answers, pairs, strict=True)]
    sizes = {"modulus": modulus, "num_integers": num_integers}
    assert rules.constant_accuracy(text, **sizes) == max(Counter(answers).values()) / num_integers**2
    assert rules.agreement(text, "2*b**2", **sizes) == sum(agreeing) / num_integers**2


def test_chance_of_the_protocol_and_of_quickstart() -> None:
    protocol = {"modulus": 7, "num_integers": 1000}
    assert rules.constant_accuracy("a**2 + a*b", **protocol) == pytest.approx(0.2654, abs=5e-5)
    assert rules.agreement("a**2 + a*b", "2*a**2", **protocol) == pytest.approx(0.2654, abs=5e-5)
    assert rules.constant_accuracy("a**2 + a*b", modulus=5, num_integers=50) == 0.36


def test_chance_of_more_pairs_than_can_be_counted_is_absent() -> None:
    assert rules.constant_accuracy("a*b", modulus=2000, num_integers=10**6) is None
    assert rules.agreement("a*b", "a", modulus=2**31, num_integers=2**31) is None


# ---- three and four operands

NAMES = ("a", "b", "c", "d")
MORE = {
    "a*b + c": lambda a, b, c: a * b + c,
    "a*b*c - d**3": lambda a, b, c, d: a * b * c - d**3,
    "a + b": lambda a, b, c: a + b,
}


@pytest.mark.parametrize("text", MORE)
@pytest.mark.parametrize("modulus", [7, 2**31])
def test_evaluate_of_several_operands_equals_python_integers(text: str, modulus: int) -> None:
    num = MORE[text].__code__.co_argcount
    rows = list(itertools.product([0, 3, modulus - 1, modulus // 2], repeat=num))
    found = rules.evaluate(text, torch.tensor(rows, dtype=torch.int64).unbind(1), modulus=modulus)
    assert found.tolist() == [MORE[text](*row) % modulus for row in rows]


def test_canonical_of_more_operands_takes_their_names_alone() -> None:
    assert rules.canonical("a*b+c", operands=NAMES[:3]) == "a * b + c"
    with pytest.raises(ValueError, match=r"has the part 'd': use a, b, c, integers"):
        rules.canonical("a*b + d", operands=NAMES[:3])
    with pytest.raises(ValueError, match=r"has the part 'c': use a, b, integers"):
        rules.evaluate("a*b + c", (1, 2), modulus=7)


@pytest.mark.parametrize(("text", "other"), [("a*b*c", "a**3"), ("a*b + c*d", "2*b**2"), ("a + b + c", "3*c + 1")])
def test_first_unlike_of_more_operands_equals_a_walk_where_all_are_equal(text: str, other: str) -> None:
    for modulus in (2, 3, 7, 12):
        equal = [[rules.evaluate(each, (a, a, a, a), modulus=modulus) for a in range(40)] for each in (text, other)]
        expected = next((a for a, (one, two) in enumerate(zip(*equal, strict=True)) if one != two), None)
        assert rules.first_unlike(text, other, modulus=modulus, num_integers=40) == expected


@pytest.mark.parametrize("text", MORE)
@pytest.mark.parametrize(("modulus", "num_integers"), [(5, 11), (7, 6), (12, 9)])
def test_chance_of_more_operands_is_that_of_counting_all_rows(text: str, modulus: int, num_integers: int) -> None:
    num = MORE[text].__code__.co_argcount
    rows = list(itertools.product(range(num_integers), repeat=num))
    answers = [MORE[text](*row) % modulus for row in rows]
    agreeing = [answer == 2 * row[1] % modulus for answer, row in zip(answers, rows, strict=True)]
    sizes = {"modulus": modulus, "num_integers": num_integers, "num_operands": num}
    assert rules.constant_accuracy(text, **sizes) == max(Counter(answers).values()) / num_integers**num
    assert rules.agreement(text, "2*b", **sizes) == sum(agreeing) / num_integers**num


def test_chance_of_four_operands_with_too_many_residues_is_absent() -> None:
    sizes = {"num_integers": 1000, "num_operands": 4}
    assert rules.constant_accuracy("a*b*c*d", modulus=31, **sizes) is not None
    assert rules.constant_accuracy("a*b*c*d", modulus=101, **sizes) is None
    assert rules.agreement("a*b*c*d", "a", modulus=7, num_integers=10**6, num_operands=4) is None
