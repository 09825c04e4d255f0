"""Fidelity and diversity apart: ``precision`` and ``recall``, ``density`` and ``coverage`` of samples, on features.

As many rows are taken of training images as of samples, evenly spaced, since the size of the balls goes with their
number: with fewer samples than images a model seems to recall more and to cover less. Recall is the share of training
images that the samples come near to, and falls where modes are dropped; precision does not notice that. Features of
different extractors give scores that do not compare.

Source: Kynkaanniemi et al., Improved Precision and Recall Metric for Assessing Generative Models (2019), with k = 3;
Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models (2020), with k = 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from benchsuite import Metric, NotApplicableError, PositiveInt, Score, hookimpl
from benchsuite.kit.neighbours import Manifolds, manifolds
from benchsuite.kit.samples import evenly_spaced

Shared = Callable[[str, Callable[[], Manifolds]], Manifolds]


def precision(
    real_features: Tensor,
    generated_features: Tensor,
    shared: Shared,
    *,
    features: str | None = None,
    k: PositiveInt = 3,
    limit: PositiveInt = 10_000,
) -> Score:
    """The share of samples that are as near to a training image as its ``k`` nearest others, in [0, 1]."""
    found = _manifolds(real_features, generated_features, shared, k, limit)
    return Score(found.precision, _caution(found), n=len(found.generated_radii))


def recall(
    real_features: Tensor,
    generated_features: Tensor,
    shared: Shared,
    *,
    features: str | None = None,
    k: PositiveInt = 3,
    limit: PositiveInt = 10_000,
) -> Score:
    """The share of training images that are as near to a sample as its ``k`` nearest others, in [0, 1]."""
    found = _manifolds(real_features, generated_features, shared, k, limit)
    return Score(found.recall, _caution(found), n=len(found.generated_radii))


def density(
    real_features: Tensor,
    generated_features: Tensor,
    shared: Shared,
    *,
    features: str | None = None,
    k: PositiveInt = 5,
    limit: PositiveInt = 10_000,
) -> Score:
    """How many training images a sample is among the ``k`` nearest of, over ``k``: about 1 for the data's own law."""
    found = _manifolds(real_features, generated_features, shared, k, limit)
    return Score(found.density, _caution(found), n=len(found.generated_radii))


def coverage(
    real_features: Tensor,
    generated_features: Tensor,
    shared: Shared,
    *,
    features: str | None = None,
    k: PositiveInt = 5,
    limit: PositiveInt = 10_000,
) -> Score:
    """The share of training images that have a sample among their ``k`` nearest, in [0, 1].

    With as many independent samples of the data's own law 0.97 are expected for k = 5.
    """
    found = _manifolds(real_features, generated_features, shared, k, limit)
    return Score(found.coverage, _caution(found), n=len(found.generated_radii))


def _manifolds(real: Tensor, generated: Tensor, shared: Shared, k: int, limit: int) -> Manifolds:
    """All four scores, computed once for a ``k``; blocks and the rows that were chosen are all that is in memory."""
    count = min(len(real), len(generated), limit)
    if count <= k:
        raise NotApplicableError(f"{k} neighbours need more than {k} images on each side; {count} are compared")

    def compute() -> Manifolds:
        return manifolds(real[evenly_spaced(len(real), count)], generated[evenly_spaced(len(generated), count)], k)

    return shared(f"manifolds {k} {limit}", compute)


def _caution(found: Manifolds) -> str:
    for name, radii in (("training images", found.real_radii), ("samples", found.generated_radii)):
        if not bool(radii.any()):
            return f"the features of all {name} have so many duplicates that no neighbourhood has a size"
    return ""


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``precision``, ``recall``, ``density`` and ``coverage``; the last two take a second pass by default."""
    return [
        Metric("precision", precision, higher_is_better=True),
        Metric("recall", recall, higher_is_better=True),
        Metric("density", density, higher_is_better=True, default=False),
        Metric("coverage", coverage, higher_is_better=True, default=False),
    ]
