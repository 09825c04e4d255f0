"""How sharp images are, and a sheet: ``sharpness``, ``sharpness_reconstructed``, ``reconstructions``.

Sharpness is the mean of the finest level of the Laplacian pyramid without sign, over the same of real images: 1 where a
model's images have as much at that scale, less where they are blurred. Noise and artefacts have energy at that scale
too, so that more than 1 is not better and neither number has a direction.

Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks (2018), Figures 4 and 5 and sections 4.3
and 4.4, which say by eye which images are blurrier; the numbers are our own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from benchsuite import Metric, NotApplicableError, PositiveInt, Samples, Score, hookimpl
from benchsuite.kit.coding import CodesBy
from benchsuite.kit.pyramid import fine_energy
from benchsuite.kit.samples import Reconstructions, evenly_spaced
from benchsuite.kit.similarity import psnr, squared_error

_BATCH = 256
_SMALLEST = 4  # px
_COLUMNS = 8  # of a sheet


def sharpness(generated: Samples, train: Samples) -> float:
    """The energy of samples at the finest scale over that of training images; at least 0, 1 for images as sharp."""
    _check(train)
    return _over(_energy(generated.batches(_BATCH)), _energy(train.batches(_BATCH)))


def sharpness_reconstructed(reconstructed: Reconstructions, *, codes_by: CodesBy = "own") -> float:
    """The energy of reconstructed test images at the finest scale over that of the originals; at least 0."""
    _check(reconstructed.original)
    return _over(_energy(reconstructed.batches(_BATCH)), _energy(reconstructed.original.batches(_BATCH)))


def reconstructions(reconstructed: Reconstructions, *, codes_by: CodesBy = "own", images: PositiveInt = 8) -> Score:
    """The mean pSNR, in dB, of the test images that the sheet shows, which are evenly spaced.

    The sheet has rows of at most eight originals, and below each row their reconstructions.
    """
    _check(reconstructed.original)
    rows = evenly_spaced(len(reconstructed), images)
    original, found = reconstructed.original[rows], reconstructed[rows].to(reconstructed.original.device)
    lines = zip(torch.split(original, _COLUMNS), torch.split(found, _COLUMNS), strict=True)
    sheet = torch.cat([_filled(x) for pair in lines for x in pair])
    return Score(psnr(squared_error(original, found)).mean(), n=len(rows), pictures={"reconstructions": sheet})


def _filled(x: Tensor) -> Tensor:
    """``x`` with white images up to the columns of a sheet."""
    return torch.cat([x, torch.ones(_COLUMNS - len(x), *x.shape[1:]).to(x)])


def _check(samples: Samples) -> None:
    if samples.kind != "image" or min(samples.shape[1:]) < _SMALLEST:
        raise NotApplicableError(f"sharpness is for images of at least {_SMALLEST} px")


def _energy(batches: Iterable[Tensor]) -> float:
    """The mean over all images."""
    parts = torch.cat([fine_energy(x.cpu().double()) for x in batches])
    return float(parts.mean())


def _over(energy: float, real: float) -> float:
    if real == 0:
        raise NotApplicableError("the real images are even, so that nothing is as sharp as they are")
    return energy / real


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``sharpness``, ``sharpness_reconstructed`` and ``reconstructions``."""
    return [
        Metric("sharpness", sharpness, higher_is_better=None, kind="image", default=False),
        Metric("sharpness_reconstructed", sharpness_reconstructed, None, kind="image", default=False),
        Metric("reconstructions", reconstructions, True, unit="dB", kind="image", default=False),
    ]
