"""The pyramid is Burt and Adelson's, as scipy's convolutions make it, and Lap1 is what the formula says of it.

Images are drawn with seed 0 unless a test says otherwise. Everything is in float64, in which 1e-12 is a rounding.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from benchsuite.kit.pyramid import LevelWeights, collapse, lap1, laplacian_pyramid

Image = NDArray[np.float64]
WEIGHTS: tuple[LevelWeights, ...] = ("printed", "fine")
KERNEL = np.array([1, 4, 6, 4, 1]) / 16
SHAPES = [(2, 1, 8, 8), (1, 3, 16, 16), (2, 3, 32, 16), (2, 1, 31, 18), (1, 2, 13, 9), (1, 1, 5, 40), (2, 1, 64, 64)]


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blurred(image: Image) -> Image:
    rows: Image = ndimage.convolve1d(image, KERNEL, axis=0, mode="mirror")
    both: Image = ndimage.convolve1d(rows, KERNEL, axis=1, mode="mirror")
    return both


def bands_of(image: Image, levels: int) -> list[Image]:
    """The pyramid of one channel, (H, W), by scipy: reduce, put zeros between the pixels, blur, subtract."""
    bands = []
    for _ in range(levels - 1):
        smaller = blurred(image)[::2, ::2]
        between = np.zeros_like(image)
        between[::2, ::2] = smaller
        bands.append(image - 4 * blurred(between))
        image = smaller
    return [*bands, image]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_bands_are_those_of_scipys_convolutions(shape: tuple[int, ...]) -> None:
    x = images(*shape)
    bands = laplacian_pyramid(x)
    for n in range(shape[0]):
        for channel in range(shape[1]):
            expected = bands_of(x[n, channel].numpy(), len(bands))
            for found, wanted in zip(bands, expected, strict=True):
                np.testing.assert_allclose(found[n, channel].numpy(), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_image_comes_back_from_its_bands(shape: tuple[int, ...]) -> None:
    x = images(*shape)
    torch.testing.assert_close(collapse(laplacian_pyramid(x)), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(collapse(laplacian_pyramid(x, levels=2)), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", range(1, 140))
def test_a_pyramid_ends_between_4_and_8_pixels(side: int) -> None:
    sides = [band.shape[2] for band in laplacian_pyramid(images(1, 1, side, side + 3))]
    assert sides[0] == side
    assert all(after == (before + 1) // 2 for before, after in itertools.pairwise(sides))
    assert 4 <= sides[-1] <= 8 or sides == [side]
    if side & (side - 1) == 0 and side >= 4:
        assert sides[-1] == 4


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_constant_images_have_empty_bands(shape: tuple[int, ...]) -> None:
    *bands, rest = laplacian_pyramid(torch.full(shape, 0.7, dtype=torch.float64))
    assert all(float(band.abs().max()) < 1e-14 for band in bands)
    torch.testing.assert_close(rest, torch.full_like(rest, 0.7), rtol=0, atol=1e-14)


def test_a_pyramid_is_linear_and_mirrors_with_its_image() -> None:
    x, y = images(2, 3, 33, 17), images(2, 3, 33, 17, seed=1)
    for one, other, both in zip(*(laplacian_pyramid(v) for v in (x, y, 2 * x - 3 * y)), strict=True):
        torch.testing.assert_close(both, 2 * one - 3 * other, rtol=0, atol=1e-12)
    for band, mirrored in zip(laplacian_pyramid(x), laplacian_pyramid(x.flip(2, 3)), strict=True):
        torch.testing.assert_close(band.flip(2, 3), mirrored, rtol=0, atol=1e-12)  # of odd sides, at every level


@pytest.mark.parametrize(("side", "levels"), [(8, 0), (8, 4), (16, 5), (3, 2), (1, 2)])
def test_more_levels_than_the_image_has_room_for_are_refused(side: int, levels: int) -> None:
    with pytest.raises(ValueError, match=f"a pyramid of {levels} levels is not allowed; images of .* have 1 to "):
        laplacian_pyramid(images(1, 1, side, side), levels)


def test_the_last_level_may_be_two_pixels_wide() -> None:
    assert [tuple(band.shape[2:]) for band in laplacian_pyramid(images(1, 1, 16, 20), levels=4)] == [
        (16, 20),
        (8, 10),
        (4, 5),
        (2, 3),
    ]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 16, 64])
def test_printed_weights_are_the_sum_of_the_levels_means(side: int, channels: int) -> None:
    """2^{2j} is how many times fewer pixels level j has, where sides are powers of two."""
    x, y = images(5, channels, side, side), images(5, channels, side, side, seed=1)
    pairs = zip(laplacian_pyramid(x), laplacian_pyramid(y), strict=True)
    means = torch.stack([(one - other).abs().flatten(1).mean(1) for one, other in pairs]).sum(0)
    torch.testing.assert_close(lap1(x, y), means, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("weights", "base"), [("printed", 4.0), ("fine", 0.25)])
def test_lap1_is_the_formula_over_scipys_bands(weights: LevelWeights, base: float) -> None:
    x, y = images(3, 3, 18, 24), images(3, 3, 18, 24, seed=1)
    found = lap1(x, y, weights)
    for n in range(3):
        total = 0.0
        for channel in range(3):
            for level, (one, other) in enumerate(
                zip(bands_of(x[n, channel].numpy(), 3), bands_of(y[n, channel].numpy(), 3), strict=True)
            ):
                total += base**level * np.abs(one - other).sum()
        assert float(found[n]) == pytest.approx(total / (3 * 18 * 24), rel=1e-12)


def test_lap1_of_a_constant_difference_is_known_in_closed_form() -> None:
    """Every band vanishes but the last, which is the constant c on a grid 4^2 times smaller."""
    x = images(2, 1, 16, 16)
    assert torch.allclose(lap1(x, x + 0.3), torch.full((2,), 0.3, dtype=torch.float64), rtol=1e-12)
    assert torch.allclose(lap1(x, x + 0.3, "fine"), torch.full((2,), 0.3 / 4**4, dtype=torch.float64), rtol=1e-10)


def test_lap1_is_a_distance_of_each_pair() -> None:
    x, y, z = (images(4, 1, 16, 16, seed=seed) for seed in range(3))
    assert float(lap1(x, x).abs().max()) == 0
    torch.testing.assert_close(lap1(x, y), lap1(y, x), rtol=1e-12, atol=0)
    assert bool((lap1(x, z) <= lap1(x, y) + lap1(y, z)).all())
    torch.testing.assert_close(lap1(x, y), torch.cat([lap1(x[n : n + 1], y[n : n + 1]) for n in range(4)]))


def test_fine_weights_weigh_fine_details_more_heavily() -> None:
    """A checkerboard of single pixels against one of 8 px: how much each counts, relative to the other."""
    pixels = torch.arange(32)
    fine, coarse = ((((pixels // size)[:, None] + (pixels // size)) % 2).double()[None, None] for size in (1, 8))
    nothing = torch.zeros_like(fine)
    shares = {name: float(lap1(fine, nothing, name) / lap1(coarse, nothing, name)) for name in WEIGHTS}
    assert shares["fine"] > 2 > 1 > shares["printed"]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_gradient_of_lap1_is_that_of_finite_differences(weights: LevelWeights) -> None:
    x, y = images(2, 2, 9, 8).requires_grad_(), images(2, 2, 9, 8, seed=1)
    assert torch.autograd.gradcheck(lambda v: lap1(v, y, weights), (x,))


def test_the_gradient_at_equal_images_is_zero() -> None:
    x = images(2, 1, 16, 16).float().requires_grad_()
    lap1(x, x.detach()).sum().backward()
    assert x.grad is not None and float(x.grad.abs().max()) == 0


def test_single_precision_loses_no_more_than_its_own_rounding() -> None:
    x, y = images(4, 3, 32, 32), images(4, 3, 32, 32, seed=1)
    for weights in WEIGHTS:
        single = lap1(x.float(), y.float(), weights)
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), lap1(x, y, weights), rtol=1e-5, atol=0)


def test_the_layout_in_memory_does_not_matter() -> None:
    x, y = images(4, 3, 32, 32), images(4, 3, 32, 32, seed=1)
    other = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(lap1(other, y), lap1(x, y), rtol=1e-12, atol=0)
