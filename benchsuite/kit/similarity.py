"""How alike two images are: pSNR and SSIM, per image; and how smooth one is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    """The mean squared error of each pair, (N, ...) -> (N,), in float64."""
    return (x.double() - y.double()).square().flatten(1).mean(1)


def psnr(mse: Tensor, peak: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log10(peak^2 / mse); infinite where ``mse`` is 0.

    Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks, eq. 2, whose printed sign is wrong.

    >>> psnr(torch.tensor(0.01))
    tensor(20.)
    """
    return 10 * (peak**2 / mse).log10()


def ssim(x: Tensor, y: Tensor, peak: float = 1.0) -> Tensor:
    """Structural similarity of each pair, (N, C, H, W) -> (N,), in [-1, 1]; differentiable.

    An 11 x 11 Gaussian window with standard deviation 1.5, or the largest odd window that fits a smaller image;
    averaged over the positions where the window lies inside the image, and over channels.

    Source: Wang, Bovik, Sheikh, Simoncelli, Image Quality Assessment: From Error Visibility to Structural Similarity
    (2004), section III.C.
    """
    channels, height, width = x.shape[1:]
    size = min(11, height - 1 + height % 2, width - 1 + width % 2)
    offsets = torch.arange(size, dtype=x.dtype, device=x.device) - size // 2
    line = torch.softmax(-(offsets**2) / (2 * 1.5**2), 0)
    window = torch.outer(line, line).expand(channels, 1, size, size)

    def local_mean(image: Tensor) -> Tensor:
        return F.conv2d(image, window, groups=channels)

    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x = local_mean(x * x) - mean_x**2
    var_y = local_mean(y * y) - mean_y**2
    cov = local_mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    similarity = similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return similarity.flatten(1).mean(1)


def total_variation(x: Tensor) -> Tensor:
    """The sum of absolute differences between neighbouring pixels of each image, (N, C, H, W) -> (N,).

    Source: Rudin, Osher, Fatemi, Nonlinear Total Variation Based Noise Removal Algorithms (1992); anisotropic.
    """
    return x.diff(dim=2).abs().sum((1, 2, 3)) + x.diff(dim=3).abs().sum((1, 2, 3))
