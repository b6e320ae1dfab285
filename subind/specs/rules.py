"""Integer rules over two to four operands, such as `a**2 + a*b`: parsed from text, evaluated modulo an integer.

A rule may use the names of its operands (`a` and `b`, or up to `d`), integer literals, `+`, `-`, `*`, and `**` with a
literal exponent. The text is parsed into a syntax tree and walked; it is never executed.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, reduce
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

from subind.specs.quoting import quoted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Counted = npt.NDArray[np.int64]

Integers = TypeVar("Integers")
"""A Python int, a NumPy integer array or an int64 tensor."""

LONGEST_RULE = 200
LARGEST_EXPONENT = 64
LARGEST_DEGREE = 4096
LARGEST_MODULUS = 2**31
"""Products of two residues stay below 2**62, inside int64."""

OPERANDS = ("a", "b", "c", "d")


def operands(num_operands: int) -> tuple[str, ...]:
    """The names of that many operands."""
    return OPERANDS[:num_operands]


@cache
def canonical(text: str, *, operands: tuple[str, ...] = ("a", "b")) -> str:
    """The one spelling of a rule: `a**2+a*b` and `a ** 2 + (a * b)` give the same text.

    Raises ValueError if the text is not a rule of these operands.
    """
    spelled = ast.unparse(_parsed(text, operands))
    if len(spelled) > LONGEST_RULE:
        raise ValueError(
            f"rule {quoted(text)} has {len(spelled)} characters with spaces, more than {LONGEST_RULE}: give a shorter "
            f"one; {_allowed(operands)}"
        )
    return spelled


def evaluate(text: str, operands: Sequence[Integers], *, modulus: int) -> Integers:
    """rule(a, b, …) mod `modulus`, elementwise, in 0 … modulus - 1; `operands` are two to four, in their order.

    Every intermediate result is reduced, so that nothing overflows int64.
    """
    if not 1 <= modulus <= LARGEST_MODULUS:
        raise ValueError(f"modulus is {modulus}: give 1 to {LARGEST_MODULUS}")
    names = OPERANDS[: len(operands)]
    result: Integers = _value(_parsed(text, names).body, dict(zip(names, operands, strict=True)), modulus)
    return result


@cache
def first_unlike(text: str, other: str, *, modulus: int, num_integers: int) -> int | None:
    """The least a below `num_integers` where the rules differ if all operands are a; None if there is none.

    The difference of the rules is a polynomial in a with integer coefficients. One of degree d that is 0 mod m at
    d + 1 consecutive integers is 0 mod m at every integer: its forward differences there, which are its coefficients
    in the basis of binomials, are all 0 mod m. So d + 1 values are enough, whatever the modulus.
    """
    degree = max(_degree(_parsed(each, OPERANDS).body) for each in (text, other))
    for a in range(min(num_integers, modulus, degree + 1)):
        equal = (a,) * len(OPERANDS)
        if evaluate(text, equal, modulus=modulus) != evaluate(other, equal, modulus=modulus):
            return a
    return None


MOST_COUNTED = 2**20
"""Rows of residues that are counted at most: a million take a fraction of a second."""


@cache
def constant_accuracy(text: str, *, modulus: int, num_integers: int, num_operands: int = 2) -> float | None:
    """The share of all rows of operands below `num_integers` that have the most frequent answer: chance.

    That is the accuracy of the best constant answer. None where there are more than MOST_COUNTED rows of residues,
    which is too much to count.
    """
    if not _is_countable(modulus, num_integers, num_operands):
        return None
    import numpy as np

    counts: Counter[int] = Counter()
    for answers, weights in _answers(text, modulus=modulus, num_integers=num_integers, num_operands=num_operands):
        values, places = np.unique(answers, return_inverse=True)
        sums = np.zeros(len(values), np.int64)
        np.add.at(sums, places, weights)
        counts.update(dict(zip(values.tolist(), sums.tolist(), strict=True)))
    return max(counts.values()) / _num_rows(num_integers, num_operands)


@cache
def agreement(text: str, other: str, *, modulus: int, num_integers: int, num_operands: int = 2) -> float | None:
    """The share of all rows of operands below `num_integers` on which two rules have the same answer.

    None where that is too much to count, as for `constant_accuracy`.
    """
    if not _is_countable(modulus, num_integers, num_operands):
        return None
    of_text, of_other = (
        _answers(each, modulus=modulus, num_integers=num_integers, num_operands=num_operands) for each in (text, other)
    )
    pairs = zip(of_text, of_other, strict=True)
    equal = sum(int(weights[answers == others].sum()) for (answers, weights), (others, _) in pairs)
    return equal / _num_rows(num_integers, num_operands)


def _is_countable(modulus: int, num_integers: int, num_operands: int) -> bool:
    """Whether the rows of residues are few enough, and the number of all rows fits int64."""
    rows = _num_rows(min(modulus, num_integers), num_operands)
    return rows <= MOST_COUNTED and _num_rows(num_integers, num_operands) < 2**63


def _num_rows(num_values: int, num_operands: int) -> int:
    """Rows of operands that have one of that many values each."""
    return prod([num_values] * num_operands)


def _answers(text: str, *, modulus: int, num_integers: int, num_operands: int) -> Iterator[tuple[Counted, Counted]]:
    """For each residue a, the answers to all residues of the other operands, and the number of rows behind each.

    An answer depends only on the residues of the operands, so rows of residues stand for all rows of integers.
    """
    import numpy as np

    residues = np.arange(min(modulus, num_integers), dtype=np.int64)
    sizes = (num_integers - 1 - residues) // modulus + 1
    others = [each.ravel() for each in np.meshgrid(*[residues] * (num_operands - 1), indexing="ij")]
    weights = reduce(np.multiply.outer, [sizes] * (num_operands - 1)).ravel()
    for a, size in zip(residues, sizes, strict=True):
        yield evaluate(text, (np.full_like(others[0], a), *others), modulus=modulus), size * weights


def _allowed(operands: tuple[str, ...]) -> str:
    return f"use {', '.join(operands)}, integers, +, -, * and ** with an exponent from 0 to 64, such as 'a**2 + a*b'"


@cache
def _parsed(text: str, operands: tuple[str, ...]) -> ast.Expression:
    if not text.strip() or len(text) > LONGEST_RULE:
        raise ValueError(f"rule {quoted(text)} is not a text of 1 to {LONGEST_RULE} characters: {_allowed(operands)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, SyntaxWarning, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"rule {quoted(text)} is no expression ({error}): {_allowed(operands)}") from None
    _check(tree.body, text, operands)
    if _degree(tree.body) > LARGEST_DEGREE:
        remedy = f"give one of degree {LARGEST_DEGREE} at most"
        raise ValueError(f"rule {quoted(text)} multiplies operands too often: {remedy}; {_allowed(operands)}")
    return tree


def _degree(node: ast.expr) -> int:
    """The degree of the rule as a polynomial in all operands, where nothing cancels."""
    match node:
        case ast.Name():
            return 1
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _degree(left) + _degree(right)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(exponent))):
            return _degree(left) * exponent
        case ast.BinOp(left=left, right=right):
            return max(_degree(left), _degree(right))
        case ast.UnaryOp(operand=operand):
            return _degree(operand)
        case _:
            return 0


def _check(node: ast.expr, text: str, operands: tuple[str, ...]) -> None:
    match node:
        case ast.Name(id=name) if name in operands:
            return
        case ast.Constant(value=int(value)) if not isinstance(value, bool) and value < LARGEST_MODULUS:
            return
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult(), right=right):
            _check(left, text, operands)
            _check(right, text, operands)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(exponent))) if (
            not isinstance(exponent, bool) and 0 <= exponent <= LARGEST_EXPONENT
        ):
            _check(left, text, operands)
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
            _check(operand, text, operands)
        case _:
            raise ValueError(f"rule {quoted(text)} has the part {quoted(ast.unparse(node))}: {_allowed(operands)}")


def _value(node: ast.expr, operands: dict[str, Any], modulus: int) -> Any:
    match node:
        case ast.Name(id=name):
            return operands[name] % modulus
        case ast.Constant(value=int(value)):
            return operands["a"] * 0 + value % modulus
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (_value(left, operands, modulus) + _value(right, operands, modulus)) % modulus
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return (_value(left, operands, modulus) - _value(right, operands, modulus)) % modulus
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _value(left, operands, modulus) * _value(right, operands, modulus) % modulus
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(exponent))):
            base = _value(left, operands, modulus)
            power = base * 0 + 1 % modulus
            for _ in range(exponent):
                power = power * base % modulus
            return power
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, operands, modulus) % modulus
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, operands, modulus)
        case _:
            raise AssertionError(f"unchecked node {ast.dump(node)}")
