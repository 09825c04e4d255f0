"""``fd``, ``fid`` and ``fd_inf``: Frechet distances between Gaussians fitted to features of training data and samples.

Source: Heusel et al., GANs Trained by a Two Time-Scale Update Rule (2017), eq. 6; Chong and Forsyth, Effectively
Unbiased FID and Inception Score and Where to Find Them (2020). The distance is called FID on Inception features only;
on any others its values compare only with those of the same extractor. The reference is the training data, since test
sets are often too small: the distance falls with their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from torch import Generator, Tensor

from benchsuite import Metric, NotApplicableError, Score, Selecting, hookimpl
from benchsuite.kit.frechet import fd_infinity, frechet_distance
from benchsuite.kit.moments import Moments


def fd(real_moments: Moments, generated_moments: Moments, *, features: str | None = None) -> Score:
    """Frechet distance on the features of ``features``, by default the extractor that the dataset names.

    Cautions where the number of samples or of training rows bounds the rank of a covariance below its size. Raises
    NotApplicableError for fewer than two of either.
    """
    _check(real_moments.count, generated_moments.count)
    cautions = [
        _caution(real_moments, "training rows", ""),
        _caution(generated_moments, "samples", "; more samples: --samples"),
    ]
    return Score(frechet_distance(real_moments, generated_moments), ". ".join(filter(None, cautions)))


def fid(
    real_moments: Moments, generated_moments: Moments, *, features: Annotated[str, Selecting("inception")] = "inception"
) -> Score:
    """``fd`` on features of ``inception``, in any of its variants; other features give no FID but an ``fd``."""
    return fd(real_moments, generated_moments, features=features)


def fd_inf(
    real_moments: Moments, generated_features: Tensor, generator: Generator, *, features: str | None = None
) -> Score:
    """What ``fd`` tends to as the samples grow in number: extrapolated from 15 subsets, so it is not biased upwards.

    Below 0 by chance where the distance is about 0. Raises NotApplicableError for fewer than four samples for each
    feature, besides where ``fd`` does.
    """
    _check(real_moments.count, len(generated_features))
    distance = fd_infinity(real_moments, generated_features, generator)
    return Score(distance, _caution(real_moments, "training rows", ""))


def _check(*counts: int) -> None:
    if min(counts) < 2:
        raise NotApplicableError("a Frechet distance needs at least two rows on each side")


def _caution(moments: Moments, rows: str, remedy: str) -> str:
    if moments.rank_bound == moments.dim:
        return ""
    rank = f"rank at most {moments.rank_bound} of {moments.dim} dimensions"
    return f"the covariance of {moments.count} {rows} has {rank}, which biases the distance upwards{remedy}"


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``fd``, ``fid`` and ``fd_inf``."""
    return [
        Metric("fd", fd, higher_is_better=False, version=2),
        Metric("fid", fid, higher_is_better=False, kind="image", default=False),
        Metric("fd_inf", fd_inf, higher_is_better=False, default=False),
    ]
