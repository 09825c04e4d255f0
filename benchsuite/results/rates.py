"""Whether cells fail more often than they did."""

from __future__ import annotations

from scipy.stats import hypergeom


def fails_more_often(before: int, of_before: int, after: int, of_after: int, level: float) -> bool:
    """Whether ``after`` failures ``of_after`` cells are more than ``before`` ``of_before`` let expect.

    Where nothing failed before, any failure is more; else Fisher's exact test, one-sided, decides at ``level``.
    Source: Fisher, The Logic of Inductive Inference (1935).
    """
    if not after or not before:
        return bool(after)
    return bool(hypergeom.sf(after - 1, of_before + of_after, before + after, of_after) <= level)
