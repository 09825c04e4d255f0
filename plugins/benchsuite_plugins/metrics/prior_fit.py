"""How well a model's prior fits the codes of its training data: ``pag``, ``pag_raw``, ``gaussianity``,
``prior_disagreement``, ``prior_fd``.

All but ``gaussianity``, which needs no prior, look at codes in units of the model's own prior. Of one that states
neither deviations nor covariance, as the one that ``pgan`` has learnt, they compare with N(0, I), as the paper does. A
prior that was fitted to the codes, such as GLO's, agrees with their mean and covariance whatever they are; what is
wrong with it is left for ``gaussianity`` and ``prior_disagreement`` to find.

The paper draws 1000 codes of the prior and shows the 20 with the largest mean squared distance from all codes of the
data. That is the squared distance from their mean plus a number that is the same for all, so that it names the 20
longest draws and is blind to a hole in the midst of the codes. ``prior_disagreement`` takes the distance from the
nearest code, and the paper's with ``distance=mean``. Where codes are much shorter than the prior's draws, these draws
are nearer to them than to each other, and farther away than codes of data are from each other: that the prior reaches
beyond the codes is told by rows ``codes`` and ``beyond``, not by ``ideal``.

Source: Kilcher, Lucchi, Hofmann, Flexible Prior Distributions for Deep Generative Models (2017), sections 2.2 and 4.2;
its codes are those of ``codes_by=reversal``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from benchsuite import Between, Metric, NotApplicableError, PositiveInt, Score, hookimpl
from benchsuite.kit.coding import CodesBy, decoded, prior_draws
from benchsuite.kit.frechet import Gaussian
from benchsuite.kit.latents import ideal_prior_agreement, normal_shape, prior_agreement, spectrum, standardised
from benchsuite.kit.moments import Moments
from benchsuite.kit.neighbours import manifolds, nearest

Distance = Literal["nearest", "mean"]

_FARTHEST = 20  # draws, as in the paper
_MOST = 0.95  # of the codes, beyond which a draw is unlikely to be one


def pag(
    codes_train: Tensor, model: Any, *, rows: PositiveInt = 1024, codes_by: CodesBy = "own", centred: bool = False
) -> Score:
    """The divergence of a normal law with the codes' second moments from the prior, in nats, at least 0.

    Row ``ideal`` is what as many codes of the prior itself have on average, near d (d + 1) / (4 N). It is infinite for
    fewer codes than dimensions, and for codes in a subspace. ``centred`` forgives a wrong mean.
    """
    return _agreement(codes_train, model, scaled=True, centred=centred)


def pag_raw(
    codes_train: Tensor, model: Any, *, rows: PositiveInt = 1024, codes_by: CodesBy = "own", centred: bool = False
) -> Score:
    """The same with singular values that are not divided by sqrt(N), as the paper must have computed it, in nats.

    It grows with N, and is least for codes much shorter than the prior's: below ``ideal`` is not better.
    """
    return _agreement(codes_train, model, scaled=False, centred=centred)


def gaussianity(codes_train: Tensor, *, rows: PositiveInt = 1024, codes_by: CodesBy = "own") -> Score:
    """How normal the shape of codes is once their own mean and covariance are taken off.

    Rows ``skewness``, beside what is expected of as many normal codes, ``skewness_ideal``; ``kurtosis``, 1 for normal
    codes; and ``radius_ks``, the Kolmogorov-Smirnov distance of their lengths from the law of those of normal codes, in
    [0, 1]. See benchsuite.kit.latents.NormalShape.
    """
    shape = normal_shape(codes_train)
    found = {
        "skewness": shape.skewness,
        "skewness_ideal": shape.ideal_skewness,
        "kurtosis": shape.kurtosis,
        "radius_ks": shape.radius_ks,
    }
    return Score(found, arrays={"radii": shape.radii})


def prior_disagreement(
    model: Any,
    codes_train: Tensor,
    generator: torch.Generator,
    *,
    rows: PositiveInt = 1024,
    codes_by: CodesBy = "own",
    draws: PositiveInt = 1000,
    distance: Distance = "nearest",
) -> Score:
    """How far draws of the prior are from the codes of the data, as squared distances per dimension, at least 0.

    Rows ``all``, the mean over the draws; ``farthest``, over the 20 farthest of them, which are decoded into a picture,
    the farthest first; ``codes``, the same distance of codes of the data from the others of them, over as large a share
    of these, the farthest: what is above it lies farther out than data do; ``beyond``, the share of draws that lie
    farther out than 95% of the codes do, in [0, 1], near 0.05 where draws and codes have one law and below it where
    codes have the longer tails; and ``ideal``, what ``farthest`` is where the codes of the data are as many draws of
    the prior, which says how long codes are: shorter ones are below it, and longer ones, far from every draw in many
    dimensions, above. ``codes`` is infinite for a single code.
    """
    drawn, prior = prior_draws(model, draws, generator), getattr(model, "prior", None)
    others = standardised(prior_draws(model, len(codes_train), generator), prior)
    places = standardised(drawn, prior)
    codes = standardised(codes_train, prior)
    distances, order = _distances(places, codes, distance).sort(descending=True, stable=True)
    among = _among_codes(codes, distance).sort(descending=True).values
    share = max(1, round(len(codes) * min(_FARTHEST, draws) / draws))
    ideal = _distances(places, others, distance).sort(descending=True).values
    farthest = drawn[order[:_FARTHEST].to(drawn.device)]
    return Score(
        {
            "farthest": float(distances[:_FARTHEST].mean()),
            "all": float(distances.mean()),
            "codes": float(among[:share].mean()),
            "beyond": float((distances.cpu() > torch.quantile(among, _MOST)).double().mean()),
            "ideal": float(ideal[:_FARTHEST].mean()),
        },
        arrays={"distances": distances, "codes": farthest},
        pictures=_pictures(model, farthest),
        references=["codes", "ideal"],
    )


def prior_fd(
    model: Any,
    codes_train: Tensor,
    generator: torch.Generator,
    *,
    rows: PositiveInt = 1024,
    codes_by: CodesBy = "own",
    draws: Annotated[int, Between(2)] = 10_000,
) -> Score:
    """The squared Frechet distance of draws of the prior from the codes of the data, at least 0.

    Row ``ideal`` is what as many other draws as there are codes have, which is above 0 for few of them. Raises
    NotApplicableError for a single code.
    """
    prior = getattr(model, "prior", None)
    if len(codes_train) < 2:
        raise NotApplicableError(f"a covariance needs two codes; got {len(codes_train)}")
    drawn, others = (prior_draws(model, n, generator) for n in (draws, len(codes_train)))
    of_draws, of_others, of_codes = (
        Gaussian.of(Moments.of([standardised(each, prior)])) for each in (drawn, others, codes_train)
    )
    found = {"": of_draws.distance_to(of_codes), "ideal": of_draws.distance_to(of_others)}
    return Score(found, references=["ideal"])


def _agreement(codes: Tensor, model: Any, *, scaled: bool, centred: bool) -> Score:
    prior = getattr(model, "prior", None)
    codes = standardised(codes, prior)
    values = {
        "": prior_agreement(codes, scaled=scaled, centred=centred),
        "ideal": ideal_prior_agreement(*codes.shape, scaled=scaled, centred=centred),
    }
    spread = spectrum(codes, scaled=scaled, centred=centred)
    stated = hasattr(prior, "factor") or hasattr(prior, "std")
    caution = "" if stated else "the prior states no deviations: compared with N(0, I)"
    return Score(values, caution, arrays={"spectrum": spread}, references=["ideal"])


def _distances(draws: Tensor, codes: Tensor, distance: Distance) -> Tensor:
    """Of each of ``draws`` (n, d) the squared distance from ``codes`` (N, d) over d, (n,)."""
    if distance == "nearest":
        squared = nearest(draws, codes)[0].square()
    else:  # the mean over all codes, without the matrix of distances
        mean = codes.mean(0)
        squared = (draws - mean).square().sum(1) + (codes - mean).square().sum(1).mean()
    return squared / draws.shape[1]


def _among_codes(codes: Tensor, distance: Distance) -> Tensor:
    """Of each of ``codes`` (N, d) the squared distance from the others over d, (N,), as that of draws from all."""
    n = len(codes)
    if n < 2:
        return torch.full((n,), torch.inf, dtype=torch.float64)
    if distance == "nearest":
        return manifolds(codes, codes, 1).real_radii.square().cpu() / codes.shape[1]
    return _distances(codes, codes, distance).cpu() * (n / (n - 1))  # a code is at no distance from itself


def _pictures(model: Any, codes: Tensor) -> Mapping[str, Tensor]:
    """What ``codes`` decode to, where the model has a decoder and that gives images."""
    x = decoded(model, codes) if hasattr(model, "decode") else codes
    return {"farthest": x.clamp(0, 1)} if x.ndim == 4 else {}


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``pag``, ``pag_raw``, ``gaussianity``, ``prior_disagreement`` and ``prior_fd``."""
    return [
        Metric("pag", pag, higher_is_better=False, unit="nats", default=False),
        Metric("pag_raw", pag_raw, higher_is_better=None, unit="nats", default=False),
        Metric("gaussianity", gaussianity, higher_is_better=None, default=False),
        Metric("prior_disagreement", prior_disagreement, higher_is_better=False, version=3, default=False),
        Metric("prior_fd", prior_fd, higher_is_better=False, default=False),
    ]
