"""``reversal_recognised``: after how many steps of generator reversal one can tell which image is being reconstructed.

The paper finds that "after only 5 update steps, one can already recognize the general outline of the picture", by eye
and through random weights. Here a reconstruction is recognised where its own image is nearer to it than every other
test image that is reconstructed, brightness and contrast apart: where their correlation over pixels is the largest.

Source: Kilcher, Lucchi, Hofmann, Flexible Prior Distributions for Deep Generative Models (2017), appendix C, Figure 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from benchsuite import Between, Metric, Model, NotApplicableError, Samples, Score, hookimpl
from benchsuite.kit.coding import REVERSAL, decoded, decoder_of, reversal_starts
from benchsuite.kit.recovery import Progress, recover
from benchsuite.kit.samples import evenly_spaced
from benchsuite.kit.solvers import RMSProp

_STEPS = (0, 5, 20, 400)  # those of Figure 7, and where reversal begins


def reversal_recognised(
    model: Model,
    real: Samples,
    generator: torch.Generator,
    *,
    images: Annotated[int, Between(2)] = 50,
    steps: Annotated[int, Between(5)] = 400,
) -> Score:
    """The share of test images that are told by their reconstructions after 0, 5, 20 and 400 steps, in [0, 1].

    A row ``N`` for each of these N that is not beyond ``steps``, and ``chance``, one over the number of images, which
    are evenly spaced. Of the point at that step, not of the best one until then. A reconstruction that has no contrast
    tells nothing. Raises NotApplicableError for vectors, and without a decoder.
    """
    if real.kind != "image":
        raise NotApplicableError("reconstructions are recognised where data are images")
    x = real[evenly_spaced(len(real), images)]
    if len(x) < 2:
        raise NotApplicableError("one test image cannot be taken for another; two are needed")
    starts = reversal_starts(model, len(x), generator)
    kept = {step: torch.zeros_like(starts[0]) for step in _STEPS if step <= steps}

    def watch(progress: Progress) -> None:
        if progress.step in kept:
            kept[progress.step][progress.sample] = progress.codes

    solver = RMSProp(steps=steps, learning_rate=REVERSAL.learning_rate)
    recover(decoder_of(model), x, starts, solver=solver, net=model, watch=watch)
    rows = {str(step): _recognised(decoded(model, codes), x) for step, codes in kept.items()}
    return Score(rows | {"chance": 1 / len(x)}, n=len(x), references=["chance"])


def _recognised(found: Tensor, x: Tensor) -> float:
    """The share of ``found`` (n, *shape) that correlate with their own row of ``x`` more than with any other."""
    products = _standardised(found) @ _standardised(x).T
    own = products.diagonal().clone()
    others = products.fill_diagonal_(-torch.inf).amax(1)
    return float((own > others).double().mean())


def _standardised(images: Tensor) -> Tensor:
    """Each of (n, *shape) less its mean, with a norm of 1, or 0 for one without contrast: (n, D), float64 on CPU."""
    flat = images.cpu().double().flatten(1)
    return torch.nn.functional.normalize(flat - flat.mean(1, keepdim=True))


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``reversal_recognised``, where it is named."""
    return [Metric("reversal_recognised", reversal_recognised, True, kind="image", default=False)]
