"""Sharpness falls by as much as images are blurred, and sheets of reconstructions show both rows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchsuite import NotApplicableError, Samples
from benchsuite.kit.samples import Reconstructions
from benchsuite_plugins.metrics.sharpness import (
    benchsuite_metrics,
    reconstructions,
    sharpness,
    sharpness_reconstructed,
)

IMAGES = torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(0))  # more than one batch


def blurred(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def test_the_images_themselves_are_as_sharp_as_real_and_half_the_contrast_is_half_as_sharp() -> None:
    assert sharpness(Samples(IMAGES), Samples(IMAGES)) == pytest.approx(1)
    assert sharpness(Samples(IMAGES[:100] / 2 + 0.2), Samples(IMAGES[:100])) == pytest.approx(0.5, rel=1e-5)


def test_blurred_images_are_less_sharp_and_noisy_ones_more() -> None:
    noisy = IMAGES + torch.randn(IMAGES.shape, generator=torch.Generator().manual_seed(1)) / 2
    assert sharpness(Samples(blurred(IMAGES)), Samples(IMAGES)) < 0.5
    assert sharpness(Samples(noisy), Samples(IMAGES)) > 1.2
    assert sharpness(Samples(torch.full((4, 1, 8, 8), 0.5)), Samples(IMAGES)) == pytest.approx(0, abs=1e-6)


def test_reconstructions_are_compared_with_their_originals() -> None:
    found = Reconstructions(blurred(IMAGES), Samples(IMAGES), "codes")
    expected = sharpness(Samples(blurred(IMAGES)), Samples(IMAGES))
    assert sharpness_reconstructed(found) == pytest.approx(expected)


def test_below_each_row_of_originals_are_their_reconstructions() -> None:
    x_hat = (IMAGES[:20] + 0.1).clone()
    score = reconstructions(Reconstructions(x_hat, Samples(IMAGES[:20]), "codes"), images=10)
    rows = torch.arange(10) * 2
    sheet = score.pictures["reconstructions"].view(4, 8, 1, 8, 8)
    torch.testing.assert_close(sheet[0], IMAGES[rows[:8]])
    torch.testing.assert_close(sheet[1], x_hat[rows[:8]])
    torch.testing.assert_close(sheet[2, :2], IMAGES[rows[8:]])
    torch.testing.assert_close(sheet[3, :2], x_hat[rows[8:]])
    assert bool((sheet[2:, 2:] == 1).all())
    assert float(torch.as_tensor(score.value)) == pytest.approx(20, abs=1e-4)  # an error of 0.1 everywhere
    assert score.n == 10


def test_what_is_no_image_or_an_even_one_is_skipped_with_a_reason() -> None:
    vectors = Samples(torch.rand(4, 3))
    with pytest.raises(NotApplicableError, match="images of at least 4 px"):
        sharpness(vectors, vectors)
    with pytest.raises(NotApplicableError, match="images of at least 4 px"):
        reconstructions(Reconstructions(torch.rand(4, 3), vectors, "codes"))
    with pytest.raises(NotApplicableError, match="real images are even"):
        sharpness(Samples(IMAGES), Samples(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)))


def test_none_is_chosen_unasked() -> None:
    metrics = {metric.name: (metric.direction, metric.default) for metric in benchsuite_metrics()}
    assert metrics == {
        "sharpness": ("none", False),
        "sharpness_reconstructed": ("none", False),
        "reconstructions": ("max", False),
    }
