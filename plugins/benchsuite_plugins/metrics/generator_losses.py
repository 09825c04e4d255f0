"""How strong a gradient the generator gets under the two losses of the original GAN, on a model as it is.

Source: Velasquez Vergara, Generative Adversarial Networks (2017), eqs. 4 and 8 and Figure 2. Eq. 4 has a factor of 1/2
that eq. 8 has not; it is kept here, so that half of what is found of their ratio where D is 1/2 is that factor.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

import torch
from torch import Tensor

from benchsuite import Between, Metric, NotApplicableError, Score, hookimpl
from benchsuite.kit.adversarial import LOSSES
from benchsuite.kit.gan import GANModel

_GRID = 199
_CONFIDENT = 0.01  # an output of a discriminator that takes a sample for generated

# Functions of the discriminator's logits, (N,) -> (N,).
_LOSSES: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "eq4": lambda logits: 0.5 * LOSSES["minimax"].generator(logits),
        "eq8": lambda logits: LOSSES["non_saturating"].generator(logits),
    }
)


def loss_gradients(model: Any, generator: torch.Generator, *, codes: Annotated[int, Between(2)] = 256) -> Score:
    """The length of the gradient that the generator's parameters get by eq. 4, (1/2) E log(1 - D), and by eq. 8,
    -E log D; rows ``eq4``, ``eq8``, their ``ratio`` eq8 / eq4, and ``judged``, the mean of D on samples.

    ``slope_eq4`` and ``slope_eq8`` are the slopes of the losses over D where D is 0.01, the same for every model. Kept
    are both losses over ``d``, the curves of Figure 2.
    """
    if not isinstance(model, GANModel):
        raise NotApplicableError("the method has no generator that a discriminator of samples judges")
    gan = copy.deepcopy(model).cpu().double().train()
    z = gan.prior.sample(codes, generator).double()  # type: ignore[operator]
    learnt = [p for p in gan.decoder.parameters() if p.requires_grad]
    rows: dict[str, float] = {}
    with torch.enable_grad():
        logits = gan.discriminator(gan.decoder(z))
        for name, loss in _LOSSES.items():
            slopes = torch.autograd.grad(loss(logits).mean(), learnt, retain_graph=True)
            rows[name] = float(torch.cat([slope.flatten() for slope in slopes]).norm())
    if not rows["eq4"] > 0:
        raise NotApplicableError("the generator gets no gradient by eq. 4 at all")
    rows |= {"ratio": rows["eq8"] / rows["eq4"], "judged": float(logits.detach().sigmoid().mean())}
    rows |= {f"slope_{name}": _slope(loss, _CONFIDENT) for name, loss in _LOSSES.items()}
    d = torch.linspace(0, 1, _GRID + 2, dtype=torch.float64)[1:-1]
    arrays = {"d": d} | {name: loss(d.logit()) for name, loss in _LOSSES.items()}
    return Score(rows, n=codes, arrays=arrays, references=[f"slope_{name}" for name in _LOSSES])


def _slope(loss: Callable[[Tensor], Tensor], at: float) -> float:
    """|d loss / d D| where D is ``at``."""
    d = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(loss(d.logit()), d)
    return float(slope.abs())


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``loss_gradients``, where it is named."""
    return [Metric("loss_gradients", loss_gradients, higher_is_better=None, default=False)]
