"""The reconstruction metrics are those of scikit-image, averaged as their names say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from benchsuite import NotApplicableError, Score
from benchsuite.kit.samples import Reconstructions, Samples
from benchsuite_plugins.metrics import reconstruction

METRICS = {metric.name: metric for metric in reconstruction.benchsuite_metrics()}


def reconstructions(n: int = 40, dtype: torch.dtype = torch.uint8) -> Reconstructions:
    """Images, and copies with more noise from image to image."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (n, 1, 16, 16), dtype=torch.uint8, generator=generator)
    original = Samples(x if dtype == torch.uint8 else x.float() / 255)
    noise = 0.3 * torch.linspace(0.01, 1, n).view(-1, 1, 1, 1) * torch.randn(n, 1, 16, 16, generator=generator)
    return Reconstructions((original[:] + noise).clamp(0, 1), original, "encoder")


def arrays(reconstructed: Reconstructions) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (x[0].double().numpy(), y[0].double().numpy())
        for x, y in zip(reconstructed.original[:], reconstructed[:], strict=True)
    ]


def value(name: str, reconstructed: Reconstructions) -> float:
    """The score; of quantiles the middle one."""
    found = METRICS[name].compute(reconstructed)
    number = found.value if isinstance(found, Score) else found
    return float(number["p50"] if isinstance(number, Mapping) else number)


def test_the_plugin_provides_metrics_of_which_more_is_better() -> None:
    assert list(METRICS) == ["psnr", "psnr_pooled", "psnr_train", "psnr_train_pooled", "psnr_quantiles", "ssim"]
    assert {metric.direction for metric in METRICS.values()} == {"max"}
    assert [metric.unit for metric in METRICS.values()] == ["dB"] * 5 + [""]


@pytest.mark.parametrize("name", ["psnr", "psnr_train"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_psnr_is_the_mean_of_the_decibels_of_each_image(name: str, dtype: torch.dtype) -> None:
    reconstructed = reconstructions(dtype=dtype)
    expected = np.mean([peak_signal_noise_ratio(x, y, data_range=1) for x, y in arrays(reconstructed)])
    assert value(name, reconstructed) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["psnr", "psnr_train", "psnr_quantiles"])
def test_the_decibels_of_each_image_are_kept_beside_the_score(name: str) -> None:
    reconstructed = reconstructions()
    expected = [peak_signal_noise_ratio(x, y, data_range=1) for x, y in arrays(reconstructed)]
    score = METRICS[name].compute(reconstructed)
    assert isinstance(score, Score)
    assert score.arrays["psnr"].tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n", [1, 2, 40, 57])
def test_quantiles_are_those_of_numpy(n: int) -> None:
    reconstructed = reconstructions(n)
    each = [peak_signal_noise_ratio(x, y, data_range=1) for x, y in arrays(reconstructed)]
    score = METRICS["psnr_quantiles"].compute(reconstructed)
    assert isinstance(score, Score) and isinstance(score.value, Mapping)
    for name, found in score.value.items():
        low, high = (np.quantile(each, int(name[1:]) / 100, method=way) for way in ("lower", "higher"))
        assert any(found == pytest.approx(end, rel=1e-6) for end in (low, high))
    assert list(score.value) == ["p5", "p25", "p50", "p75", "p95"]


@pytest.mark.parametrize("name", ["psnr_pooled", "psnr_train_pooled"])
def test_pooled_psnr_is_the_decibels_of_the_mean_error(name: str) -> None:
    reconstructed = reconstructions()
    x, y = (np.concatenate(side) for side in zip(*arrays(reconstructed), strict=True))
    expected = peak_signal_noise_ratio(x, y, data_range=1)
    assert value(name, reconstructed) == pytest.approx(expected, rel=1e-6)


def test_pooling_never_raises_psnr() -> None:
    reconstructed = reconstructions()
    assert value("psnr_pooled", reconstructed) < value("psnr", reconstructed)
    alike = Reconstructions(torch.full((5, 1, 8, 8), 0.6), Samples(torch.full((5, 1, 8, 8), 0.5)), "codes")
    for name in ("psnr", "psnr_pooled"):
        assert value(name, alike) == pytest.approx(20, abs=1e-4)


def test_ssim_is_the_mean_over_images_of_that_of_scikit_image() -> None:
    reconstructed = reconstructions()
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    expected = np.mean([structural_similarity(x, y, **options) for x, y in arrays(reconstructed)])
    assert value("ssim", reconstructed) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", METRICS)
def test_many_images_are_scored_in_pieces_that_change_nothing(name: str) -> None:
    few = reconstructions()
    many = Reconstructions(few[:].repeat(30, 1, 1, 1), Samples(few.original[:].repeat(30, 1, 1, 1)), "encoder")
    assert len(list(many.pairs())) > 1
    assert value(name, many) == pytest.approx(value(name, few), rel=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_reconstruction_has_the_best_score(name: str) -> None:
    original = reconstructions().original
    perfect = Reconstructions(original[:], original, "codes")
    best = 1.0 if name == "ssim" else math.inf
    assert value(name, perfect) == pytest.approx(best)


@pytest.mark.parametrize("name", METRICS)
def test_vectors_have_no_peak_and_are_skipped(name: str) -> None:
    vectors = torch.randn(5, 3)
    with pytest.raises(NotApplicableError, match="for images"):
        METRICS[name].compute(Reconstructions(vectors, Samples(vectors), "encoder"))


@pytest.mark.parametrize("short", [1, 3])
def test_reconstructions_of_other_images_are_refused(short: int) -> None:
    compute: Callable[..., Tensor] = METRICS["psnr"].compute  # type: ignore[assignment]
    with pytest.raises((ValueError, RuntimeError)):
        compute(Reconstructions(torch.zeros(short, 1, 8, 8), Samples(torch.zeros(5, 1, 8, 8)), "codes"))
