"""How likely a model finds the test data: the exact log density where it has one, else bounds from below.

All are means over the test samples, in nats per sample, of data as the model sees it: images in [0, 1], not bytes, so
that densities may be above 1 and their logarithms positive. A Gaussian density and a Bernoulli likelihood are not to be
compared with each other. None of them is chosen unasked.

Source: Kingma and Welling, Auto-Encoding Variational Bayes (2013), eq. 3; Burda, Grosse, Salakhutdinov, Importance
Weighted Autoencoders (2016), eq. 8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from benchsuite import Metric, NotApplicableError, PositiveInt, Samples, hookimpl
from benchsuite.kit.scratch import collected

_BATCH = 256


def log_prob(real: Samples, model: Any) -> Tensor:
    """Test samples: the mean log density, in nats per sample."""
    return _mean(real, _method(model, "log_prob", "states no density of x"))


def elbo(real: Samples, model: Any, generator: torch.Generator, *, draws: PositiveInt = 64) -> Tensor:
    """Test samples: the mean evidence lower bound (beta = 1) by ``draws`` codes each, in nats per sample."""
    estimate = _method(model, "elbo", "has no evidence lower bound")
    return _mean(real, lambda x: estimate(x, generator, draws))


def iw_elbo(real: Samples, model: Any, generator: torch.Generator, *, draws: PositiveInt = 64) -> Tensor:
    """Test samples: the mean importance-weighted bound of log p(x) by ``draws`` codes each, in nats per sample."""
    estimate = _method(model, "log_likelihood", "has no importance-weighted bound")
    return _mean(real, lambda x: estimate(x, generator, draws))


def _method(model: Any, name: str, lacking: str) -> Callable[..., Tensor]:
    found: Callable[..., Tensor] | None = getattr(model, name, None)
    if found is None:
        raise NotApplicableError(f"the method {lacking}: its model has no {name}")
    return found


def _mean(real: Samples, score: Callable[[Tensor], Tensor]) -> Tensor:
    return collected((score(x).double() for x in real.batches(_BATCH)), len(real)).mean()


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``log_prob``, ``elbo`` and ``iw_elbo``."""
    return [
        Metric(compute.__name__, compute, higher_is_better=True, unit="nats", default=False)
        for compute in (log_prob, elbo, iw_elbo)
    ]
