"""``local_convexity``: whether the squared error of a code is convex where the code is right, and how far from there.

Proposition 1 of the paper says that l(z) = |G(z) - G(z*)|^2 / 2 is convex near z*, since its Hessian there is J^T J
(J J^T in the paper, whose J is the transpose), the residual being 0, and so positive semi-definite "since J is not 0".
It is semi-definite for any J, and at one point that makes nothing convex; where J has full rank, which "locally
invertible" says, it is definite, and only then is there a neighbourhood in which l is convex. How large it is the paper
does not say; descent that starts at another draw of the prior is about sqrt(2) of their usual length away from z*.

The Hessian is by differentiating twice, J^T J by forward mode, in double precision; both belong to the mean squared
error, which is l but for a factor. Networks of ReLUs are linear between kinks, which no second derivative sees.

Source: Kilcher, Lucchi, Hofmann, Flexible Prior Distributions for Deep Generative Models (2017), appendix B.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from benchsuite import Metric, Model, NotApplicableError, PositiveInt, Score, hookimpl
from benchsuite.kit.coding import decoded, decoder_of, prior_draws
from benchsuite.kit.objective import Objective, mse

_RADII = {"0.01": 0.01, "0.1": 0.1, "0.3": 0.3, "1": 1.0}
_ROUNDING = 1e-9  # of the largest eigenvalue: a smallest one above minus this is not negative
_AT_ONCE = 16  # codes whose Hessians are computed at once


def local_convexity(model: Model, generator: torch.Generator, *, images: PositiveInt = 16) -> Score:
    """The curvature of a code's squared error, at codes z* that are drawn from the prior and around them.

    Rows ``smallest`` and ``median``, over codes, of the Hessian's smallest eigenvalue at z* as a part of its largest,
    which lies in [-1, 1]; ``disagreement``, the largest norm of its difference from J^T J as a part of that one's norm;
    and ``convex.R``, the share of points at R times the usual length of draws from z*, one in a random direction for
    each code, in which no eigenvalue is negative, in [0, 1]. Raises NotApplicableError without decoder or prior, and
    where data do not depend on codes at all.
    """
    decoder_of(model)
    codes = prior_draws(model, images, generator).to("cpu", torch.float64)
    twin = copy.deepcopy(model).to("cpu", torch.float64)
    target = decoded(twin, codes)
    decode = decoder_of(twin)
    at_codes = _hessians(twin, codes, target)  # first, since it says where there are no gradients at all
    exact = torch.cat([Objective(decode, x, mse).gauss_newton(z) for z, x in _parts(codes, target)])
    norms = exact.flatten(1).norm(dim=1)
    if not bool((norms > 0).all()):
        raise NotApplicableError("the data do not depend on their codes, so that there is no curvature")
    ratios = _ratios(at_codes)
    rows = {
        "smallest": float(ratios.min()),
        "median": float(ratios.median()),
        "disagreement": float(((at_codes - exact).flatten(1).norm(dim=1) / norms).max()),
    }
    length = float(codes.square().sum(1).mean().sqrt())
    directions = torch.nn.functional.normalize(torch.randn(codes.shape, generator=generator).double())
    around = [_ratios(_hessians(twin, codes + r * length * directions, target)) for r in _RADII.values()]
    rows |= {
        f"convex.{name}": float((each >= -_ROUNDING).double().mean()) for name, each in zip(_RADII, around, strict=True)
    }
    arrays = {"radii": torch.tensor([0.0, *_RADII.values()]), "ratios": torch.stack([ratios, *around])}
    return Score(rows, n=images, arrays=arrays)


def _hessians(model: Model, codes: Tensor, target: Tensor) -> Tensor:
    """Of the mean squared error from ``target`` (n, *shape) at each of ``codes`` (n, d): (n, d, d), symmetric."""
    found = [_hessian(model, *pair) for pair in _parts(codes, target)]
    hessians = torch.cat(found)
    return (hessians + hessians.mT) / 2


def _hessian(model: Model, codes: Tensor, target: Tensor) -> Tensor:
    with torch.enable_grad():
        z = codes.detach().requires_grad_()
        error = mse(decoder_of(model)(z), target).sum()  # rows are independent: each gradient is of its own error
        (gradient,) = torch.autograd.grad(error, z, create_graph=True)
        columns = [torch.autograd.grad(part.sum(), z, retain_graph=True)[0] for part in gradient.unbind(1)]
    return torch.stack(columns, 1)


def _parts(codes: Tensor, target: Tensor) -> Sequence[tuple[Tensor, Tensor]]:
    return list(zip(torch.split(codes, _AT_ONCE), torch.split(target, _AT_ONCE), strict=True))


def _ratios(hessians: Tensor) -> Tensor:
    """The smallest eigenvalue of each of ``hessians`` (n, d, d) over the largest in size, (n,), in [-1, 1]."""
    values = torch.linalg.eigvalsh(hessians)
    ratios: Tensor = values[:, 0] / values.abs().amax(1).clamp_min(torch.finfo(values.dtype).tiny)
    return ratios


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``local_convexity``, where it is named."""
    return [Metric("local_convexity", local_convexity, higher_is_better=None, default=False)]
