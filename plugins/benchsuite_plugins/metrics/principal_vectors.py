"""What the principal vectors of codes show: ``principal_vectors``.

Codes are centred; along each of the first principal vectors the model decodes points on both sides of the mean code.

Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks (2018), section 4.2 and Figure 6, which
shows what vectors of large principal values carry ("they carry information like background color"); the numbers are our
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchsuite import Metric, NotApplicableError, PositiveInt, Score, hookimpl
from benchsuite.kit.coding import CodesBy, decoded, decoder_of
from benchsuite.kit.latents import finite
from benchsuite.kit.samples import Reconstructions

_STOPS = torch.tensor([-2.25, -1.5, -0.75, 0.0, 0.75, 1.5, 2.25, 3.0])  # deviations; as in print the mean is the fourth
_REACH = 2.0  # deviations on either side, by which images move


def principal_vectors(
    model: Any,
    codes_train: Tensor,
    reconstructed_train: Reconstructions,
    *,
    rows: PositiveInt = 256,
    codes_by: CodesBy = "own",
    vectors: PositiveInt = 4,
) -> Score:
    """What the first and the last ``vectors`` principal vectors of the codes do to images.

    Rows ``variance``, the share of the codes' variance along the first, in [0, 1]; ``moves.first`` and ``moves.last``,
    the root mean square change of a pixel from two deviations below the mean to two above it along one vector, averaged
    over the first ones and over as many last ones; ``brightness.first`` and ``brightness.last``, the share of the
    variance of the training images' mean brightness that is linear in the coordinates along them, in [0, 1]; and
    ``centre``, the brightness of what the mean code decodes to over the mean brightness of these images, 1 where it is
    an average of them and 0 where codes leave a hole in their midst that nothing was learnt for. The sheet has a row
    for each of the first vectors, with the mean code fourth from the left.
    """
    decoder_of(model)  # that it is missing is said before anything is done
    if reconstructed_train.kind != "image":
        raise NotApplicableError("principal vectors are shown by images")
    codes = finite(codes_train)
    count, d = codes.shape
    k = min(vectors, d)
    if count <= d:
        raise NotApplicableError(f"{d} principal vectors need more codes than {count}")
    mean = codes.mean(0)
    _, scales, axes = torch.linalg.svd(codes - mean, full_matrices=False)
    deviations = scales / count**0.5
    if float(deviations[0]) == 0:
        raise NotApplicableError("all codes are the same")
    steps = deviations[:, None] * axes  # one deviation along each vector, (d, d)
    offsets = torch.tensor([-_REACH, _REACH], dtype=torch.float64)
    ends = _decoded(model, mean + offsets[:, None, None] * steps, codes_train)
    moves = (ends[1] - ends[0]).flatten(1).square().mean(1).sqrt()
    bright = torch.cat([x.cpu().double().flatten(1).mean(1) for x in reconstructed_train.original.batches(256)])
    coordinates = (codes - mean) @ axes.T
    rows_of = {
        "variance": float(scales[:k].square().sum() / scales.square().sum()),
        "moves.first": float(moves[:k].mean()),
        "moves.last": float(moves[-k:].mean()),
        "brightness.first": _explained(coordinates[:, :k], bright),
        "brightness.last": _explained(coordinates[:, -k:], bright),
    }
    if float(bright.mean()) > 0:
        rows_of["centre"] = float(_decoded(model, mean[None, None], codes_train).mean() / bright.mean())
    line = mean + _STOPS.double()[None, :, None] * steps[:k, None]
    sheet = _decoded(model, line, codes_train).flatten(0, 1)
    arrays = {"deviations": deviations, "moves": moves}
    return Score(rows_of, n=count, arrays=arrays, pictures={"vectors": sheet})


def _decoded(model: Any, z: Tensor, like: Tensor) -> Tensor:
    """(a, b, d) -> (a, b, *shape), on the processor; ``like`` says in which type and where the model decodes."""
    like = like if like.is_floating_point() else like.float()
    x = decoded(model, z.flatten(0, 1).to(like)).cpu()
    return x.view(*z.shape[:2], *x.shape[1:])


def _explained(coordinates: Tensor, of: Tensor) -> float:
    """R^2 of the least squares fit of ``of`` (n,) by uncorrelated, centred ``coordinates`` (n, k)."""
    centred = of - of.mean()
    total = centred.square().sum()
    if float(total) == 0:
        return 0.0
    squares = coordinates.square().sum(0)
    used = squares > 1e-12 * squares.sum()
    return float((((coordinates.T @ centred).square() / squares)[used]).sum() / total)


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``principal_vectors``."""
    return [Metric("principal_vectors", principal_vectors, higher_is_better=None, kind="image", default=False)]
