"""The ways in which codes of samples are found through a model's decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from benchsuite.contracts import Model
from benchsuite.errors import DivergedError, NotApplicableError
from benchsuite.kit.lines import between
from benchsuite.kit.recovery import recover
from benchsuite.kit.samples import Samples
from benchsuite.kit.scratch import collected
from benchsuite.kit.solvers import Adam, RMSProp

# ``own``: the model's table of codes, else its encoder, else as ``mse``. ``mse`` and ``lap1``: recovery by that loss.
# ``reversal``: algorithm 1 of Kilcher et al.
CodesBy = Literal["own", "mse", "lap1", "reversal"]

REVERSAL = RMSProp(steps=300, learning_rate=0.05)
_REVERSAL_START = 1e-4  # the standard deviation of codes where reversal begins
_RESTARTS = 2
_BATCH = 256
_RATE = 0.15  # of Adam, in units of the root mean square of starts


def decoder_of(model: Model) -> Callable[[Tensor], Tensor]:
    """The model's ``decode``, on a copy of the codes, which it may change. Raises NotApplicableError without one.

    So does what is returned where a gradient is asked for and ``decode``, computing outside of torch perhaps, has none.
    """
    decode: Callable[[Tensor], Tensor] | None = getattr(model, "decode", None)
    if decode is None:
        raise NotApplicableError("the method has no decode")

    def decode_a_copy(z: Tensor) -> Tensor:
        x = decode(z.clone())
        if torch.is_grad_enabled() and z.requires_grad and not x.requires_grad:
            raise NotApplicableError("decode has no gradient, and codes are found by going along it")
        return x

    return decode_a_copy


def decoded(model: Model, z: Tensor) -> Tensor:
    """What codes (N, d) decode to, (N, *shape), without gradients, 256 at a time.

    Raises NotApplicableError for a model without decoder, DivergedError where it returns NaN or infinity.
    """
    decode = decoder_of(model)
    with torch.no_grad():
        x = collected((decode(part) for part in torch.split(z, _BATCH)), len(z))
    if not bool(x.isfinite().all()):
        raise DivergedError("decode(z) returned NaN or infinity")
    return x


def decoded_lines(model: Model, codes: Tensor, images: Samples, pairs: Tensor, steps: int) -> Tensor:
    """``images`` and what lies between their ``codes`` (N, d), for each of ``pairs`` (n, 2) of their rows: an image,
    what the ``steps`` + 1 codes from its own to that of the other decode to, and the other.

    Returns (n (steps + 3), *shape), the images of one pair after those of another. Raises as ``decoded`` does.
    """
    lines = between(codes[pairs[:, 0]], codes[pairs[:, 1]], steps)
    x = decoded(model, lines.flatten(0, 1)).view(len(pairs), steps + 1, *images.shape)
    start, end = (images[pairs[:, side]].to(x)[:, None] for side in (0, 1))
    return torch.cat([start, x, end], 1).flatten(0, 1)


def prior_draws(model: Model, n: int, generator: torch.Generator) -> Tensor:
    """``n`` codes of the model's prior, (n, d). Raises NotApplicableError where it has none."""
    prior: Any = getattr(model, "prior", None)
    if prior is None:
        raise NotApplicableError("the method has no prior of codes")
    drawn: Tensor = prior.sample(n, generator)
    return drawn


def starting_codes(model: Model, n: int, generator: torch.Generator) -> Tensor:
    """Where recovery starts, (n, d): at codes of training rows where the model has them, else at draws of its prior.

    Raises NotApplicableError for a model that has neither.
    """
    codes: Tensor | None = getattr(model, "codes", None)
    if codes is None:
        return prior_draws(model, n, generator)
    rows = torch.randint(len(codes), (n,), generator=generator)
    return codes[rows.to(codes.device)].detach()


def recovered_codes(
    model: Model, samples: Samples, generator: torch.Generator, by: Literal["mse", "lap1"] = "mse"
) -> Tensor:
    """The better of two recoveries of 250 Adam steps by the loss ``by`` for each of ``samples``, (N, d).

    Raises NotApplicableError for a model without decoder or starts, and for the pyramid loss of vectors.

    Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks (2018), section 4.4.
    """
    decode = decoder_of(model)
    if by == "lap1" and samples.kind != "image":
        raise NotApplicableError("codes by lap1 are for images")
    starts = starting_codes(model, _RESTARTS * len(samples), generator).view(_RESTARTS, len(samples), -1)
    project = getattr(model, "project", None)
    spread = float(starts.square().mean().sqrt())
    solver = Adam(learning_rate=_RATE * spread, one_scale=project is not None)
    return recover(decode, samples, starts, solver=solver, loss=by, constrain=project, net=model).codes


def reversal_starts(model: Model, n: int, generator: torch.Generator) -> Tensor:
    """Where reversal starts, (1, n, d): at normal codes with a standard deviation of 1e-4."""
    like = starting_codes(model, 1, torch.Generator())
    drawn = torch.randn(1, n, like.shape[1], generator=generator)
    return _REVERSAL_START * drawn.to(like)


def reversed_codes(model: Model, samples: Samples, generator: torch.Generator) -> Tensor:
    """The codes of ``samples`` by generator reversal, (N, d): 300 steps of RMSProp at 0.05 from near zero.

    The paper states the rate and the start, neither the number of steps nor the optimiser, which is that of its
    networks here. Raises NotApplicableError for a model without decoder, or with neither codes nor a prior.

    Source: Kilcher, Lucchi, Hofmann, Flexible Prior Distributions for Deep Generative Models (2017), algorithm 1 and
    appendix D.
    """
    starts = reversal_starts(model, len(samples), generator)
    return recover(decoder_of(model), samples, starts, solver=REVERSAL, net=model).codes
