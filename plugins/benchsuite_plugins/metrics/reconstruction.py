"""How well a model reconstructs images: pSNR, per image and pooled, on test and training images, and SSIM.

Codes come from the model's own table or encoder where it has them, else from recovery; the record says which. Training
images are at most 256, evenly spaced, the same ones for every method.

Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks, section 4.4 and eq. 2 (whose printed sign
is wrong). The paper does not say whether it averages decibels over images (``psnr``) or takes the decibels of the mean
error (``psnr_pooled``), which is lower; they differ by up to several dB.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from benchsuite import Metric, NotApplicableError, hookimpl
from benchsuite.kit.samples import Reconstructions
from benchsuite.kit.scratch import collected
from benchsuite.kit.similarity import psnr as to_decibels
from benchsuite.kit.similarity import squared_error
from benchsuite.kit.similarity import ssim as structural_similarity


def _errors(reconstructed: Reconstructions) -> Tensor:
    """The mean squared error of each image, (N,); raises NotApplicableError for vectors, which have no peak."""
    if reconstructed.kind != "image":
        raise NotApplicableError("pSNR and SSIM are for images")
    return collected((squared_error(x, x_hat) for x, x_hat in reconstructed.pairs()), len(reconstructed))


def psnr(reconstructed: Reconstructions) -> Tensor:
    """Test images: the mean over images of their pSNR, in dB."""
    return to_decibels(_errors(reconstructed)).mean()


def psnr_pooled(reconstructed: Reconstructions) -> Tensor:
    """Test images: the pSNR of the mean squared error over all images, in dB."""
    return to_decibels(_errors(reconstructed).mean())


def psnr_train(reconstructed_train: Reconstructions) -> Tensor:
    """Training images: the mean over images of their pSNR, in dB."""
    return psnr(reconstructed_train)


def psnr_train_pooled(reconstructed_train: Reconstructions) -> Tensor:
    """Training images: the pSNR of the mean squared error over all images, in dB."""
    return psnr_pooled(reconstructed_train)


def ssim(reconstructed: Reconstructions) -> Tensor:
    """Test images: the mean over images of their structural similarity, at most 1."""
    if reconstructed.kind != "image":
        raise NotApplicableError("pSNR and SSIM are for images")
    scores = (structural_similarity(x, x_hat) for x, x_hat in reconstructed.pairs())
    return collected(scores, len(reconstructed)).mean()


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``psnr``, ``psnr_pooled``, ``psnr_train``, ``psnr_train_pooled`` and ``ssim``."""
    decibels = [
        Metric(compute.__name__, compute, higher_is_better=True, unit="dB", kind="image")
        for compute in (psnr, psnr_pooled, psnr_train, psnr_train_pooled)
    ]
    return [*decibels, Metric("ssim", ssim, higher_is_better=True, kind="image")]
