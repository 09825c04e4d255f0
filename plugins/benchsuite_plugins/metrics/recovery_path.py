"""How recovery goes, step by step, to look at: ``recovery_path``.

Images that the model has made of draws of its prior are recovered from one other draw each; of every step the squared
error of the image and that of the code are kept.

Source: Lipton and Tripathi, Precise Recovery of Latent Vectors from Generative Adversarial Networks (2017), Figure 1,
which shows images at the start, after 100 steps and after 20 000.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchsuite import Metric, Model, NotApplicableError, PositiveInt, Score, hookimpl
from benchsuite.kit.coding import decoded
from benchsuite.kit.recovery import Progress
from benchsuite.kit.search import (
    DEFAULT_SEARCH,
    Generated,
    Search,
    Shared,
    code_errors,
    generated_data,
    generator_of_shared,
)

_EARLY = 100  # the step of Figure 1 between the first and the last


def recovery_path(
    model: Model,
    shared: Shared,
    generator: torch.Generator,
    *,
    images: PositiveInt = 8,
    search: Search = DEFAULT_SEARCH,
) -> Score:
    """The root mean square error of recovered images, in [0, 1], at the start, after 100 steps, and after the last one.

    Rows ``start``, ``early`` and ``last``; and ``error``, the median of |z' - z|^2 / d after the last step. Of the
    points that paths are at, not of the best until then; a path that has ended stays where it ended. Kept with them are
    the mean squared error of images and the median error of codes after every step. The sheet has a row of images for
    each of: the originals, the start, step 100, and the last step.
    """
    task: Generated = shared(f"path data {images}", lambda: generated_data(model, images, 1, generator_of_shared()))
    if task.data.ndim != 4:
        raise NotApplicableError("this is for images")
    at, mse = task.starts[0].clone(), torch.zeros(images, dtype=torch.float64)
    points: dict[str, tuple[Tensor, Tensor]] = {}
    losses: list[Tensor] = []
    errors: list[Tensor] = []

    def watch(progress: Progress) -> None:
        at[progress.sample] = progress.codes.detach()
        mse[progress.sample.cpu()] = progress.loss.detach().cpu().double()
        now = at.clone(), mse.clone()
        points.setdefault("start", now)
        if progress.step <= _EARLY:
            points["early"] = now
        points["last"] = now
        losses.append(now[1].mean())
        errors.append(code_errors(at, task.codes).quantile(0.5))

    search.recover(model, task.data, task.starts, generator, watch)
    values = {name: float(points[name][1].mean().sqrt()) for name in ("start", "early", "last")}
    arrays = {"steps": torch.arange(len(losses)), "mse": torch.stack(losses), "error": torch.stack(errors)}
    stages = [decoded(model, points[name][0]) for name in ("start", "early", "last")]
    sheet = torch.cat([_row(x) for x in (task.data, *stages)])
    return Score(values | {"error": float(errors[-1])}, n=images, arrays=arrays, pictures={"stages": sheet})


def _row(x: Tensor) -> Tensor:
    """``x`` with white images up to whole rows of eight."""
    return torch.cat([x, torch.ones(-len(x) % 8, *x.shape[1:]).to(x)])


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``recovery_path``."""
    return [Metric("recovery_path", recovery_path, None, kind="image", default=False, version=2)]
