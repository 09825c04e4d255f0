"""How sure a classifier is of the class of each sample, and how many classes it sees: ``inception_score`` and more.

exp E[KL(p(y | x) || p(y))], with p(y) the mean of p(y | x) over the samples: from 1 to the number of classes. Published
Inception scores are means over 10 splits of 5000 samples each; a split of few samples scores lower, since its own mean
stands for p(y). Hence 10 splits for ``inception_score``, to compare, and one for ``classifier_score``, which is the
same formula on any other classifier and compares only with scores on that one.

Source: Salimans et al., Improved Techniques for Training GANs (2016), section 4; Barratt and Sharma, A Note on the
Inception Score (2018), section 4, on splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor

from benchsuite import Metric, NotApplicableError, PositiveInt, Score, Selecting, hookimpl

_PUBLISHED = 5000  # samples in a split
_BLOCK = 1024  # rows of logits that are in memory in double precision
_LEAST = -1e4  # of a logarithm: what is less is the logarithm of 0, which counts nothing


def inception_score(
    generated_logits: Tensor,
    *,
    features: Annotated[str, Selecting("inception")] = "inception",
    splits: PositiveInt = 10,
) -> Score:
    """The Inception Score: the mean over ``splits`` of consecutive samples, by the classes of Inception."""
    size = len(generated_logits) // splits
    caution = f"splits of {size} samples, where published Inception scores are of {_PUBLISHED}, score lower"
    return Score(_score(generated_logits, splits), caution if size < _PUBLISHED else "")


def classifier_score(generated_logits: Tensor, *, features: str | None = None, splits: PositiveInt = 1) -> float:
    """The Inception Score by the classes of another network, by default the dataset's classifier."""
    return _score(generated_logits, splits)


def _score(logits: Tensor, splits: int) -> float:
    """(N, K) logits; split i is the samples from i N // splits on, so that none is left out."""
    n = len(logits)
    if n < splits:
        raise NotApplicableError(f"{splits} splits need as many samples; there are {n}")
    bounds = [i * n // splits for i in range(splits + 1)]
    scores = [_of_split(logits[start:stop]) for start, stop in pairwise(bounds)]
    return float(torch.stack(scores).mean())


def _of_split(logits: Tensor) -> Tensor:
    """Of (n, K) logits: the entropy of the mean of p(y | x) less the mean of their entropies, block by block."""
    mean = torch.zeros(logits.shape[1], dtype=torch.float64)
    negentropy = torch.zeros((), dtype=torch.float64)
    for block in torch.split(logits, _BLOCK):
        log_p = block.cpu().double().log_softmax(1)
        p = log_p.exp()
        mean += p.sum(0) / len(logits)
        negentropy += (p * log_p.clamp_min(_LEAST)).sum() / len(logits)
    return (negentropy - torch.xlogy(mean, mean).sum()).exp()


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``inception_score`` and ``classifier_score``."""
    return [
        Metric("inception_score", inception_score, higher_is_better=True, kind="image", default=False),
        Metric("classifier_score", classifier_score, higher_is_better=True, default=False),
    ]
