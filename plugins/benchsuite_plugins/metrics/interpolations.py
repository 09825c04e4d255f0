"""Interpolations to look at, between pairs of training images and around three: ``interpolations``, ``triangles``.

A sheet shows the images themselves at the ends of its rows, and between them what codes on the line between theirs
decode to. The numbers say of the middle of such lines what a look at them does: whether it is as sharp as the ends,
and whether it is an average of images.

Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks (2018), section 4.2, Figures 1 and 2; the
numbers are our own. For what many more lines decode to see ``path_length`` and ``path_from_average``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchsuite import Metric, NotApplicableError, PositiveInt, Samples, Score, hookimpl
from benchsuite.kit.coding import CodesBy, decoded, decoded_lines, decoder_of
from benchsuite.kit.latents import finite
from benchsuite.kit.lines import average
from benchsuite.kit.pyramid import fine_energy
from benchsuite.kit.samples import Reconstructions
from benchsuite.kit.similarity import psnr, squared_error

_STEPS = 5  # six codes of a line fill a row of a sheet, with an image at each end


def interpolations(
    model: Any,
    codes_train: Tensor,
    reconstructed_train: Reconstructions,
    generator: torch.Generator,
    *,
    rows: PositiveInt = 256,
    codes_by: CodesBy = "own",
    pairs: PositiveInt = 64,
    shown: PositiveInt = 8,
) -> Score:
    """How sharp images are in the middle between two codes, over how sharp their ends are; 1 where nothing is lost.

    Rows ``middle``, of what the middle of a line decodes to; ``crossfade``, of the two decoded ends blended, which is
    what a linear decoder makes of it; and ``ends``, the mean pSNR of the decoded ends in dB. Sharpness is the energy
    at the finest scale (``fine_energy``), the mean over pairs. The sheet has a row for each of ``shown`` pairs: the
    training image, six codes from its own to that of the other, and the other.
    """
    first, second = _drawn(model, codes_train, reconstructed_train, generator, pairs, 2)
    ends = decoded(model, codes_train[torch.cat([first, second])]).view(2, pairs, *reconstructed_train.shape)
    middle = decoded(model, (codes_train[first] + codes_train[second]) / 2)
    sharp = _sharpness(ends.flatten(0, 1)).view(2, pairs).mean(0)
    values = {
        "middle": _ratio(_sharpness(middle), sharp),
        "crossfade": _ratio(_sharpness(ends.mean(0)), sharp),
        "ends": float(psnr(squared_error(reconstructed_train.original[first], ends[0])).mean()),
    }
    legs = torch.stack([first, second], 1)[:shown]
    pictures = {"interpolations": decoded_lines(model, codes_train, reconstructed_train.original, legs, _STEPS)}
    return Score(values, n=pairs, pictures=pictures, references=["crossfade", "ends"])


def triangles(
    model: Any,
    codes_train: Tensor,
    reconstructed_train: Reconstructions,
    train: Samples,
    generator: torch.Generator,
    *,
    rows: PositiveInt = 256,
    codes_by: CodesBy = "own",
    triples: PositiveInt = 64,
    shown: PositiveInt = 2,
) -> Score:
    """How far the centre of three codes decodes from the mean training image, over how far the three are on average.

    Rows ``centre`` and ``crossfade``, the same of the three decoded images blended, which comes near the average
    whatever the images; at least 0, and means over triples. The sheet has three rows for each of ``shown`` triples, the
    sides of the triangle: an image, six codes from its own to that of the next, and the next.
    """
    drawn = _drawn(model, codes_train, reconstructed_train, generator, triples, 3)
    mean = average(train)
    corners = decoded(model, codes_train[drawn.flatten()]).view(3, triples, *mean.shape)
    centre = decoded(model, codes_train[drawn].mean(0))
    away = torch.stack([_distances(corner, mean) for corner in corners]).mean(0)
    values = {
        "centre": _ratio(_distances(centre, mean), away),
        "crossfade": _ratio(_distances(corners.mean(0), mean), away),
    }
    sides = torch.stack([torch.stack([drawn[i], drawn[(i + 1) % 3]], 1) for i in range(3)], 1)
    legs = sides[:shown].flatten(0, 1)
    pictures = {"triangles": decoded_lines(model, codes_train, reconstructed_train.original, legs, _STEPS)}
    return Score(values, n=triples, pictures=pictures, references=["crossfade"])


def _drawn(
    model: Any, codes: Tensor, images: Reconstructions, generator: torch.Generator, count: int, corners: int
) -> Tensor:
    """Rows of ``codes`` for each of ``count`` lines or triangles, all of one being different, (corners, count).

    Raises NotApplicableError for a model without decoder, for what is no image, for too few codes and for codes that
    are not finite.
    """
    decoder_of(model)  # that it is missing is said before anything is done
    if images.kind != "image":
        raise NotApplicableError("interpolations are of images")
    if len(finite(codes)) < corners:
        raise NotApplicableError(f"{corners} different codes are needed; there are {len(codes)}")
    drawn = [torch.randperm(len(codes), generator=generator)[:corners] for _ in range(count)]
    return torch.stack(drawn, 1).to(codes.device)


def _sharpness(x: Tensor) -> Tensor:
    """(n, C, H, W) -> (n,), float64 on the processor."""
    return fine_energy(x.cpu().double())


def _distances(x: Tensor, mean: Tensor) -> Tensor:
    """Of each of ``x`` (n, *shape) from ``mean``, (n,)."""
    distances: Tensor = (x.cpu().double() - mean).flatten(1).norm(dim=1)
    return distances


def _ratio(values: Tensor, over: Tensor) -> float:
    """The mean of the quotients. Raises NotApplicableError where there is nothing to divide by."""
    if not bool((over > 0).all()):
        raise NotApplicableError("some ends are even images, or the average itself: there is nothing to divide by")
    return float((values / over).mean())


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``interpolations`` and ``triangles``."""
    return [
        Metric("interpolations", interpolations, higher_is_better=None, kind="image", default=False),
        Metric("triangles", triangles, higher_is_better=None, kind="image", default=False),
    ]
