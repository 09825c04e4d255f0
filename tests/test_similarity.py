"""pSNR and SSIM agree with scikit-image and torchmetrics, image by image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr
from torchmetrics.functional.image import structural_similarity_index_measure as torchmetrics_ssim
from torchmetrics.functional.image import total_variation as torchmetrics_total_variation

from benchsuite.kit.similarity import psnr, squared_error, ssim, total_variation

SHAPES = [(1, 11, 11), (1, 16, 16), (3, 28, 32), (1, 64, 20)]


def pair(shape: tuple[int, ...], n: int = 5, noise: float = 0.2) -> tuple[Tensor, Tensor]:
    """Smooth images and noisy copies, with more noise from image to image, in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, *shape, generator=generator)
    if len(shape) == 3:
        x = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    scale = noise * torch.arange(1, n + 1).view(-1, *[1] * len(shape)) / n
    return x, (x + scale * torch.randn(n, *shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_psnr_is_that_of_scikit_image_and_torchmetrics(shape: tuple[int, ...]) -> None:
    x, y = pair(shape)
    found = psnr(squared_error(x, y))
    theirs = [
        peak_signal_noise_ratio(a.double().numpy(), b.double().numpy(), data_range=1) for a, b in zip(x, y, strict=True)
    ]
    assert found.tolist() == pytest.approx(theirs, rel=1e-9)
    dims = tuple(range(1, x.ndim))
    other = torchmetrics_psnr(y, x, data_range=1.0, reduction="none", dim=dims)
    assert found.tolist() == pytest.approx(other.tolist(), rel=1e-5)


def test_psnr_is_counted_in_decibels_below_the_peak() -> None:
    assert float(psnr(torch.tensor(1.0))) == 0
    assert float(psnr(torch.tensor(0.001))) == pytest.approx(30)
    assert float(psnr(torch.tensor(65.025), peak=255)) == pytest.approx(30)
    assert float(psnr(torch.tensor(0.0))) == math.inf


def test_squared_error_is_a_mean_over_one_sample_in_double_precision() -> None:
    x, y = torch.full((3, 2, 4, 4), 1000.0), torch.full((3, 2, 4, 4), 1000.0)
    y[1] += 0.5
    assert squared_error(x, y).tolist() == [0.0, 0.25, 0.0]
    assert squared_error(x, y).dtype == torch.float64
    assert squared_error(x[:, 0, 0], y[:, 0, 0]).tolist() == [0.0, 0.25, 0.0]


@pytest.mark.parametrize("shape", SHAPES)
def test_ssim_is_that_of_scikit_image_and_torchmetrics(shape: tuple[int, ...]) -> None:
    x, y = pair(shape)
    found = ssim(x.double(), y.double())
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    theirs = [
        structural_similarity(a.double().numpy(), b.double().numpy(), data_range=1, **options)
        for a, b in zip(x, y, strict=True)
    ]
    assert found.tolist() == pytest.approx(theirs, abs=1e-10)
    _, positions = torchmetrics_ssim(y.double(), x.double(), data_range=1.0, return_full_image=True)
    inside = positions[:, :, 5:-5, 5:-5]  # torchmetrics also averages where its window hangs over the mirrored border
    assert found.tolist() == pytest.approx(inside.mean((1, 2, 3)).tolist(), abs=1e-10)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 10, 12), (1, 5, 64), (1, 9, 10), (3, 2, 2)])
def test_ssim_of_a_small_image_uses_the_largest_odd_window_that_fits(shape: tuple[int, ...]) -> None:
    x, y = pair(shape)
    size = max(k for k in range(1, 12, 2) if k <= min(shape[1:]))
    offsets = np.arange(size) - size // 2
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    for a, b, found in zip(x.double().numpy(), y.double().numpy(), ssim(x.double(), y.double()), strict=True):
        values = []
        for channel, top, left in np.ndindex(shape[0], shape[1] - size + 1, shape[2] - size + 1):
            p, q = (image[channel, top : top + size, left : left + size] for image in (a, b))
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            var_p, var_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
            cov = (window * (p - mean_p) * (q - mean_q)).sum()
            luminance = (2 * mean_p * mean_q + 1e-4) / (mean_p**2 + mean_q**2 + 1e-4)
            values.append(luminance * (2 * cov + 9e-4) / (var_p + var_q + 9e-4))
        assert float(found) == pytest.approx(np.mean(values), abs=1e-10)


def test_ssim_in_single_precision_is_close_to_double() -> None:
    x, y = pair((3, 32, 32))
    assert torch.allclose(ssim(x, y).double(), ssim(x.double(), y.double()), atol=1e-5)


def test_ssim_is_one_for_equal_images_symmetric_and_negative_for_inverted_ones() -> None:
    x, y = pair((1, 16, 16))
    assert torch.allclose(ssim(x, x), torch.ones(5))
    assert torch.allclose(ssim(x, y), ssim(y, x), atol=1e-6)
    assert bool((ssim(x * 0.5, 0.5 - x * 0.5) < 0).all())
    flat = torch.full((1, 1, 16, 16), 0.5)
    assert float(ssim(flat, flat)) == pytest.approx(1)


def test_ssim_follows_the_peak() -> None:
    x, y = pair((1, 16, 16))
    assert torch.allclose(ssim(x * 255, y * 255, peak=255), ssim(x, y), atol=1e-5)


def test_an_image_does_not_change_the_score_of_another() -> None:
    x, y = pair((1, 16, 16))
    assert torch.allclose(ssim(x[2:3], y[2:3]), ssim(x, y)[2:3], atol=1e-6)
    assert torch.equal(squared_error(x[2:3], y[2:3]), squared_error(x, y)[2:3])


def test_ssim_can_be_differentiated() -> None:
    x, y = (t.double()[:1] for t in pair((2, 5, 6)))
    assert torch.autograd.gradcheck(lambda image: ssim(x, image), y.requires_grad_())


@pytest.mark.parametrize("shape", SHAPES)
def test_total_variation_is_that_of_torchmetrics(shape: tuple[int, ...]) -> None:
    x, _ = pair(shape)
    torch.testing.assert_close(total_variation(x), torchmetrics_total_variation(x, reduction="none"))
