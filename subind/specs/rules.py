"""Integer rules over two operands, such as `a**2 + a*b`: parsed from text, evaluated modulo an integer.

A rule may use the names `a` and `b`, integer literals, `+`, `-`, `*`, and `**` with a literal exponent. The text is
parsed into a syntax tree and walked; it is never executed.
"""

import ast
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from subind.specs.quoting import quoted

Integers = TypeVar("Integers")
"""A Python int, a NumPy integer array or an int64 tensor."""

LONGEST_RULE = 200
LARGEST_EXPONENT = 64
LARGEST_DEGREE = 4096
LARGEST_MODULUS = 2**31
"""Products of two residues stay below 2**62, inside int64."""

ALLOWED = "use a, b, integers, +, -, * and ** with an exponent from 0 to 64, such as 'a**2 + a*b'"


OPERANDS = ("a", "b", "c", "d")


def operands(num_operands: int) -> tuple[str, ...]:
    """The names of that many operands."""
    return OPERANDS[:num_operands]


@cache
def canonical(text: str, *, operands: tuple[str, ...] = ("a", "b")) -> str:
    """The one spelling of a rule: `a**2+a*b` and `a ** 2 + (a * b)` give the same text.

    Raises ValueError if the text is not a rule of these operands.
    """
    found = ast.unparse(_parsed(text))
    if len(found) > LONGEST_RULE:
        remedy = f"give a shorter one; {ALLOWED}"
        raise ValueError(
            f"rule {quoted(text)} has {len(found)} characters with spaces, more than {LONGEST_RULE}: {remedy}"
        )
    return found


def evaluate(text: str, a: Integers, b: Integers, *, modulus: int) -> Integers:
    """rule(a, b) mod `modulus`, elementwise, in 0 … modulus - 1.

    Every intermediate result is reduced, so that nothing overflows int64.
    """
    if not 1 <= modulus <= LARGEST_MODULUS:
        raise ValueError(f"modulus is {modulus}: give 1 to {LARGEST_MODULUS}")
    result: Integers = _value(_parsed(text).body, {"a": a, "b": b}, modulus)
    return result


@cache
def first_unlike(text: str, other: str, *, modulus: int, num_integers: int) -> int | None:
    """The least a below `num_integers` where the rules differ on the pair (a, a); None if there is none.

    The difference of the rules is a polynomial in a with integer coefficients. One of degree d that is 0 mod m at
    d + 1 consecutive integers is 0 mod m at every integer: its forward differences there, which are its coefficients
    in the basis of binomials, are all 0 mod m. So d + 1 values tell, whatever the modulus.
    """
    degree = max(_degree(_parsed(each).body) for each in (text, other))
    a = np.arange(min(num_integers, modulus, degree + 1))
    unlike = np.flatnonzero(evaluate(text, a, a, modulus=modulus) != evaluate(other, a, a, modulus=modulus))
    return int(unlike[0]) if unlike.size else None


LARGEST_COUNTED = 1024
"""Residues of each operand up to which pairs are counted: a million pairs take a fraction of a second."""


@cache
def constant_accuracy(text: str, *, modulus: int, num_integers: int) -> float | None:
    """The share of all pairs (a, b) below `num_integers` that have the most frequent answer: chance.

    That is the accuracy of the best constant answer. None where both `modulus` and `num_integers` are above
    LARGEST_COUNTED, which is too much to count.
    """
    if min(modulus, num_integers) > LARGEST_COUNTED:
        return None
    counts: Counter[int] = Counter()
    for row, weights in _answers(text, modulus=modulus, num_integers=num_integers):
        answers, places = np.unique(row, return_inverse=True)
        sums = np.zeros(len(answers), np.int64)
        np.add.at(sums, places, weights)
        counts.update(dict(zip(answers.tolist(), sums.tolist(), strict=True)))
    return max(counts.values()) / num_integers**2


@cache
def agreement(text: str, other: str, *, modulus: int, num_integers: int) -> float | None:
    """The share of all pairs (a, b) below `num_integers` on which two rules have the same answer.

    None where that is too much to count, as for `constant_accuracy`.
    """
    if min(modulus, num_integers) > LARGEST_COUNTED:
        return None
    of = [_answers(each, modulus=modulus, num_integers=num_integers) for each in (text, other)]
    equal = sum(int(weights[row == theirs].sum()) for (row, weights), (theirs, _) in zip(*of, strict=True))
    return equal / num_integers**2


def _answers(
    text: str, *, modulus: int, num_integers: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """For each residue a, the answers to all residues b, and the number of pairs of integers behind each answer.

    An answer depends only on the residues of a and b, so pairs of residues stand for all pairs of integers.
    """
    residues = np.arange(min(modulus, num_integers), dtype=np.int64)
    sizes = (num_integers - 1 - residues) // modulus + 1
    for a, size in zip(residues, sizes, strict=True):
        yield evaluate(text, np.full_like(residues, a), residues, modulus=modulus), size * sizes


@cache
def _parsed(text: str) -> ast.Expression:
    if not text.strip() or len(text) > LONGEST_RULE:
        raise ValueError(f"rule {quoted(text)} is not a text of 1 to {LONGEST_RULE} characters: {ALLOWED}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, SyntaxWarning, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"rule {quoted(text)} is no expression ({error}): {ALLOWED}") from None
    _check(tree.body, text)
    if _degree(tree.body) > LARGEST_DEGREE:
        remedy = f"give one of degree {LARGEST_DEGREE} at most"
        raise ValueError(f"rule {quoted(text)} multiplies operands more often than that: {remedy}; {ALLOWED}")
    return tree


def _degree(node: ast.expr) -> int:
    """The degree of the rule as a polynomial in both operands, where nothing cancels."""
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


def _check(node: ast.expr, text: str) -> None:
    match node:
        case ast.Name(id="a" | "b"):
            return
        case ast.Constant(value=int(value)) if not isinstance(value, bool) and value < LARGEST_MODULUS:
            return
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult(), right=right):
            _check(left, text)
            _check(right, text)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(exponent))) if (
            not isinstance(exponent, bool) and 0 <= exponent <= LARGEST_EXPONENT
        ):
            _check(left, text)
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
            _check(operand, text)
        case _:
            raise ValueError(f"rule {quoted(text)} has the part {quoted(ast.unparse(node))}: {ALLOWED}")


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
