"""How well a model reconstructs images: pSNR, per image and pooled, on test and training images, and SSIM.

Codes come from the model's own table or encoder where it has them, else from recovery; the record says which. With
``codes_by`` they are found otherwise, see benchsuite.kit.coding: ``psnr[codes_by=lap1]`` is the lower half of Table 1
of Bojanowski et al., in which codes are found by the Laplacian pyramid loss. Training images are at most 256, evenly
spaced, the same ones for every method.

Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks, section 4.4 and eq. 2 (whose printed sign
is wrong). The paper does not say whether it averages decibels over images (``psnr``) or takes the decibels of the mean
error (``psnr_pooled``), which is lower; they differ by up to several dB. How they are distributed over the images,
which its supplement compares between methods, is kept with each score as the array ``psnr``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from benchsuite import Metric, NotApplicableError, Score, hookimpl
from benchsuite.kit.coding import CodesBy
from benchsuite.kit.samples import Reconstructions
from benchsuite.kit.scratch import collected
from benchsuite.kit.similarity import psnr as to_decibels
from benchsuite.kit.similarity import squared_error
from benchsuite.kit.similarity import ssim as structural_similarity

_QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def _errors(reconstructed: Reconstructions) -> Tensor:
    """The mean squared error of each image, (N,); raises NotApplicableError for vectors, which have no peak."""
    if reconstructed.kind != "image":
        raise NotApplicableError("pSNR and SSIM are for images")
    return collected((squared_error(x, x_hat) for x, x_hat in reconstructed.pairs()), len(reconstructed))


def _with_all(value: Tensor | Mapping[str, float], decibels: Tensor) -> Score:
    """``value`` beside the ``decibels`` of every image, (N,)."""
    return Score(value, arrays={"psnr": decibels})


def psnr(reconstructed: Reconstructions, *, codes_by: CodesBy = "own") -> Score:
    """Test images: the mean over images of their pSNR, in dB."""
    decibels = to_decibels(_errors(reconstructed))
    return _with_all(decibels.mean(), decibels)


def psnr_pooled(reconstructed: Reconstructions, *, codes_by: CodesBy = "own") -> Tensor:
    """Test images: the pSNR of the mean squared error over all images, in dB."""
    return to_decibels(_errors(reconstructed).mean())


def psnr_quantiles(reconstructed: Reconstructions, *, codes_by: CodesBy = "own") -> Score:
    """Test images: how their pSNR is distributed, in dB; rows for the 5%, 25%, 50%, 75% and 95% quantiles over images.

    Of a perfect reconstruction it is infinite, and so may quantiles be.
    """
    decibels = to_decibels(_errors(reconstructed))
    ordered = decibels.double().sort().values  # whose quantiles torch does not interpolate where some are infinite
    rows = {name: float(ordered[int(share * (len(ordered) - 1) + 0.5)]) for name, share in _QUANTILES.items()}
    return _with_all(rows, decibels)


def psnr_train(reconstructed_train: Reconstructions, *, codes_by: CodesBy = "own") -> Score:
    """Training images: the mean over images of their pSNR, in dB."""
    return psnr(reconstructed_train)


def psnr_train_pooled(reconstructed_train: Reconstructions, *, codes_by: CodesBy = "own") -> Tensor:
    """Training images: the pSNR of the mean squared error over all images, in dB."""
    return psnr_pooled(reconstructed_train)


def ssim(reconstructed: Reconstructions, *, codes_by: CodesBy = "own") -> Tensor:
    """Test images: the mean over images of their structural similarity, at most 1."""
    if reconstructed.kind != "image":
        raise NotApplicableError("pSNR and SSIM are for images")
    scores = (structural_similarity(x, x_hat) for x, x_hat in reconstructed.pairs())
    return collected(scores, len(reconstructed)).mean()


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``psnr``, ``psnr_pooled``, ``psnr_train``, ``psnr_train_pooled``, ``psnr_quantiles`` and ``ssim``."""
    decibels = [
        Metric(compute.__name__, compute, higher_is_better=True, unit="dB", kind="image")
        for compute in (psnr, psnr_pooled, psnr_train, psnr_train_pooled)
    ]
    quantiles = Metric("psnr_quantiles", psnr_quantiles, True, unit="dB", kind="image", default=False)
    return [*decibels, quantiles, Metric("ssim", ssim, higher_is_better=True, kind="image")]
