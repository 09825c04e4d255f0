"""How fast generator reversal reconstructs test images, through the trained generator and as it was before training.

What training adds is the distance between the two curves, not the height of either. Both are searched from the same
starts. In the paper random weights reconstruct too; how they are drawn it does not state. With DCGAN's, of standard
deviation 0.02, images hardly depend on codes (0.001 over draws of the prior on digits, batch norm having seen no data),
and the curve stays within half a decibel of where it begins.

Source: Kilcher, Lucchi, Hofmann, Flexible Prior Distributions for Deep Generative Models (2017), section 2.1 and
appendix C, Figures 6 and 7, which show the untrained generator only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from benchsuite import Between, Metric, Model, NotApplicableError, PositiveInt, Samples, Score, hookimpl
from benchsuite.kit.coding import REVERSAL, decoded, decoder_of, reversal_starts
from benchsuite.kit.recovery import Progress, recover
from benchsuite.kit.samples import evenly_spaced
from benchsuite.kit.similarity import psnr
from benchsuite.kit.solvers import RMSProp

_ROWS = (5, 20, 100, 400)  # the steps of Figure 7, and one between
_SHOWN = (1, 5, 20, 50, 100, 200, 400)  # beside the original they fill a row of a sheet


def reconstruction_curve(
    model: Model,
    untrained: Model,
    real: Samples,
    generator: torch.Generator,
    *,
    images: PositiveInt = 16,
    steps: Annotated[int, Between(5)] = 400,
) -> Score:
    """The mean pSNR over test images, evenly spaced ones, after 5, 20, 100 and 400 steps of reversal, in dB.

    Rows ``trained.N`` and ``untrained.N`` for each of these N that is not beyond ``steps``. Of the point at that step,
    not of the best one until then, as the paper's figures show it. Kept with them are the mean squared error over
    images after every step from 0 on, and sheets with a row for each image: the original, and what it is after 1, 5,
    20, 50, 100, 200 and 400 steps, or after the last one.
    """
    if real.kind != "image":
        raise NotApplicableError("pSNR is for images")
    x = real[evenly_spaced(len(real), images)]
    starts = reversal_starts(model, len(x), generator)
    rows: dict[str, float] = {}
    arrays = {"steps": torch.arange(steps + 1)}
    pictures: dict[str, Tensor] = {}
    for name, net in (("trained", model), ("untrained", untrained)):
        errors, shown = _reversed(net, x, starts, steps)
        rows |= {f"{name}.{step}": float(psnr(errors[step]).mean()) for step in _ROWS if step <= steps}
        arrays[name] = errors.mean(1)
        pictures[name] = torch.stack([x, *shown], 1).flatten(0, 1).clamp(0, 1)
    return Score(rows, n=len(x), arrays=arrays, pictures=pictures)


def _reversed(model: Model, x: Tensor, starts: Tensor, steps: int) -> tuple[Tensor, list[Tensor]]:
    """The squared error of each image after each step, (steps + 1, n), and reconstructions after those ``_SHOWN``."""
    decode = decoder_of(model)
    errors = torch.full((steps + 1, len(x)), torch.nan, dtype=torch.float64)
    codes = {min(step, steps): torch.zeros_like(starts[0]) for step in _SHOWN}

    def watch(progress: Progress) -> None:
        errors[progress.step, progress.sample.cpu()] = progress.loss.cpu().double()
        if progress.step in codes:
            codes[progress.step][progress.sample] = progress.codes

    solver = RMSProp(steps=steps, learning_rate=REVERSAL.learning_rate)
    recover(decode, x, starts, solver=solver, net=model, watch=watch)
    return errors, [decoded(model, codes[min(step, steps)]) for step in _SHOWN]


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``reconstruction_curve``, where it is named."""
    curve = Metric("reconstruction_curve", reconstruction_curve, None, unit="dB", kind="image", default=False)
    return [curve]
