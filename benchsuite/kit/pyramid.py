"""The Laplacian pyramid of images, and the loss Lap1 on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

_COARSEST = 4  # px of the smaller side, where a pyramid ends by default

LevelWeights = Literal["printed", "fine"]
_WEIGHTS: Mapping[LevelWeights, Callable[[int], float]] = MappingProxyType(
    {"printed": lambda level: 4.0**level, "fine": lambda level: 4.0**-level}
)


def laplacian_pyramid(x: Tensor, levels: int | None = None) -> list[Tensor]:
    """Bands of ``x`` (N, C, H, W) from fine to coarse, each half the size of the last, rounded up.

    The last band is the blurred image that is left; ``levels`` counts it, by default so that its smaller side has 4 to
    8 px (or is that of ``x`` where this is smaller). Linear in ``x``, which ``collapse`` gives back. Raises ValueError
    for more levels than leave 2 px.

    Source: Burt and Adelson, The Laplacian Pyramid as a Compact Image Code (1983), a = 0.375; borders are mirrored.
    """
    most = max(1, min(x.shape[2:]).bit_length() - 1)
    if levels is not None and not 1 <= levels <= most:
        raise ValueError(
            f"a pyramid of {levels} levels is not allowed; images of {tuple(x.shape[1:])} have 1 to {most}"
        )
    bands = []
    for _ in range((levels or max(1, most - _COARSEST.bit_length() + 2)) - 1):
        rows, columns = _blur(x.shape[2], x), _blur(x.shape[3], x)
        smaller = rows[::2] @ x @ columns[::2].T
        bands.append(x - _expand(smaller, rows, columns))
        x = smaller
    return [*bands, x]


def fine_energy(x: Tensor) -> Tensor:
    """How much of each image (N, C, H, W) is at the finest scale: the mean of |L^0| over its pixels, (N,), at least 0.

    0 for an even image; blurring makes it less, noise makes it more. Linear in contrast.
    """
    return laplacian_pyramid(x, 2)[0].abs().flatten(1).mean(1)


def collapse(bands: list[Tensor]) -> Tensor:
    """The image (N, C, H, W) whose pyramid ``bands`` is."""
    x = bands[-1]
    for band in reversed(bands[:-1]):
        x = band + _expand(x, _blur(band.shape[2], band), _blur(band.shape[3], band))
    return x


def lap1(x: Tensor, y: Tensor, weights: LevelWeights = "printed", levels: int | None = None) -> Tensor:
    """The Laplacian pyramid loss of each pair, (N, C, H, W) each -> (N,), divided by C H W.

    The sum over levels j = 0 (the finest), 1, ... of w_j |L^j(x) - L^j(y)|_1. ``printed`` takes the w_j = 2^{2j} of the
    formula, by which every level counts by the mean of its entries; ``fine`` takes 2^{-2j}, which weighs "the details
    at fine scales more heavily", as the text says.

    Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks (2018), section 2; Ling and Okada,
    Diffusion Distance for Histogram Comparison (2006).
    """
    bands = laplacian_pyramid(x - y, levels)
    sums = [_WEIGHTS[weights](level) * band.abs().flatten(1).sum(1) for level, band in enumerate(bands)]
    return torch.stack(sums).sum(0) / x[0].numel()


def _blur(size: int, like: Tensor) -> Tensor:
    """The matrix (size, size) that blurs a line of ``size`` pixels.

    Products with it are several times as fast as convolutions, of which a processor makes little with few channels.
    """
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=like.dtype, device=like.device) / 16
    pixels = torch.arange(size, device=like.device)
    neighbours = pixels[:, None] + torch.arange(-2, 3, device=like.device)
    mirrored = (size - 1) - ((size - 1) - neighbours.abs()).abs()
    return ((mirrored[:, :, None] == pixels) * line[:, None]).sum(1)


def _expand(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``x`` between whose pixels go zeros, which the blur of ``rows`` and ``columns`` fills."""
    return 4 * (rows[:, ::2] @ x @ columns[:, ::2].T)
