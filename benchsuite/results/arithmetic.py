"""What functions and signs of expressions compute, each number beside the size of its rounding error."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class UndefinedError(Exception):
    """Numbers that do not combine to a finite one."""


class Value(NamedTuple):
    number: float
    scale: float  # of what it was made of: rounding errors are some 1e-16 of it


def _divide(left: Value, right: Value) -> Value:
    if right.number == 0:
        raise UndefinedError("division by zero")
    ratio, size = left.number / right.number, abs(right.number)
    return Value(ratio, max(left.scale / size, abs(ratio) * right.scale / size))


def _multiply(left: Value, right: Value) -> Value:
    scale = max(left.scale * abs(right.number), abs(left.number) * right.scale)
    return Value(left.number * right.number, scale)


def _logarithm(value: Value, log: Callable[[float], float]) -> Value:
    if value.number <= 0:
        raise UndefinedError(f"a logarithm of {value.number:g}")
    number = log(value.number)
    return Value(number, max(abs(number), value.scale / value.number))


def _root(value: Value) -> Value:
    if value.number < 0:
        raise UndefinedError(f"a square root of {value.number:g}")
    number = math.sqrt(value.number)
    return Value(number, value.scale / (2 * number) if number else math.sqrt(value.scale))


OPERATIONS: dict[str, Callable[[Value, Value], Value]] = {
    "+": lambda a, b: Value(a.number + b.number, max(a.scale, b.scale)),
    "-": lambda a, b: Value(a.number - b.number, max(a.scale, b.scale)),
    "*": _multiply,
    "/": _divide,
}
FUNCTIONS_OF: dict[str, Callable[[list[Value]], Value]] = {
    "negative": lambda of: Value(-of[0].number, of[0].scale),
    "abs": lambda of: Value(abs(of[0].number), of[0].scale),
    "sqrt": lambda of: _root(of[0]),
    "log": lambda of: _logarithm(of[0], math.log),
    "log10": lambda of: _logarithm(of[0], math.log10),
    "min": lambda of: Value(min(v.number for v in of), max(v.scale for v in of)),
    "max": lambda of: Value(max(v.number for v in of), max(v.scale for v in of)),
    "mean": lambda of: Value(math.fsum(v.number for v in of) / len(of), max(v.scale for v in of)),
}


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> Value:
    """Spearman's rank correlation, -1 to 1; an infinite number has a rank too, and equal ones share theirs.

    Raises UndefinedError where all numbers of one sequence are equal.
    Source: Spearman, The Proof and Measurement of Association between Two Things (1904).
    """
    ranks = np.stack([_ranks(np.asarray(numbers, dtype=np.float64)) for numbers in (first, second)])
    if (np.ptp(ranks, axis=1) == 0).any():
        raise UndefinedError("a correlation with what is the same for all methods")
    a, b = ranks - ranks.mean(axis=1, keepdims=True)
    return Value(float(a @ b) / math.sqrt(float(a @ a) * float(b @ b)), 1.0)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[place]
    return ranks
