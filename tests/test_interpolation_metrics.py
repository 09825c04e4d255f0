"""Interpolations show what decoders that are known decode to, and measure what is known of it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from made_up import Decoder, seeded
from torch import Tensor, nn

from benchsuite import NotApplicableError, Samples
from benchsuite.kit.lines import average, between
from benchsuite.kit.pyramid import fine_energy, laplacian_pyramid
from benchsuite.kit.samples import Reconstructions
from benchsuite_plugins.metrics.interpolations import benchsuite_metrics, interpolations, triangles

SIDE = 8


AXES = torch.randn(3, SIDE * SIDE, generator=seeded(1)) / 10


def linear(z: Tensor) -> Tensor:
    """(N, 3) -> images (N, 1, 8, 8)."""
    return (0.5 + z @ AXES).view(-1, 1, SIDE, SIDE)


def of(decode: Any, codes: Tensor) -> Reconstructions:
    """Reconstructions without error."""
    x = decode(codes)
    return Reconstructions(x, Samples(x), "codes")


def test_the_middle_of_a_linear_decoder_is_a_crossfade() -> None:
    codes = torch.randn(30, 3, generator=seeded())
    score = interpolations(Decoder(linear), codes, of(linear, codes), seeded(2), pairs=20)
    assert isinstance(score.value, dict) and score.n == 20
    assert score.value["middle"] == pytest.approx(score.value["crossfade"], rel=1e-5)
    assert score.value["middle"] < 1  # of two unrelated images half of the energy's square is lost
    assert score.value["ends"] == math.inf


def test_the_middle_between_opposite_images_is_flat_for_a_crossfade_and_not_for_a_decoder_that_turns() -> None:
    first, second = torch.randn(2, 1, SIDE, SIDE, generator=seeded()) / 10

    def turning(z: Tensor) -> Tensor:
        angle = z[:, 0].view(-1, 1, 1, 1) * math.pi
        return 0.5 + angle.cos() * first + angle.sin() * second

    codes = torch.tensor([[0.0], [1.0]])  # half a turn apart: 0.5 + a and 0.5 - a
    score = interpolations(Decoder(turning), codes, of(turning, codes), seeded(), pairs=4)
    assert isinstance(score.value, dict)
    ratio = float(fine_energy(second[None]) / fine_energy(first[None]))
    assert score.value["middle"] == pytest.approx(ratio, rel=1e-4)
    assert score.value["crossfade"] == pytest.approx(0, abs=1e-6)


def test_a_row_is_an_image_six_codes_from_its_own_to_the_others_and_the_other() -> None:
    codes = torch.randn(5, 3, generator=seeded())
    original = Samples(torch.rand(5, 1, SIDE, SIDE, generator=seeded(3)))
    images = Reconstructions(linear(codes), original, "codes")
    score = interpolations(Decoder(linear), codes, images, seeded(4), pairs=3, shown=2)
    for row in score.pictures["interpolations"].view(2, 8, 1, SIDE, SIDE):
        start, end = ((original[:] - row[at]).flatten(1).norm(dim=1).argmin() for at in (0, -1))
        assert start != end
        torch.testing.assert_close(row[[0, -1]], original[torch.stack([start, end])])
        for step in range(6):
            z = codes[start] + (codes[end] - codes[start]) * step / 5
            torch.testing.assert_close(row[1 + step], linear(z[None])[0], atol=1e-6, rtol=0)


def test_the_centre_of_a_linear_decoder_is_the_three_blended_and_of_a_curved_one_is_not() -> None:
    codes = torch.randn(30, 3, generator=seeded())
    images = of(linear, codes)
    score = triangles(Decoder(linear), codes, images, images.original, seeded(), triples=40)
    assert isinstance(score.value, dict)
    assert score.value["centre"] == pytest.approx(score.value["crossfade"], rel=1e-5)
    assert 0.4 < score.value["centre"] < 0.7  # about 1 / sqrt(3) for unrelated images

    def sphere(z: Tensor) -> Tensor:
        return linear(3 * z / z.norm(dim=1, keepdim=True))

    images = of(sphere, codes)
    curved = triangles(Decoder(sphere), codes, images, images.original, seeded(), triples=40)
    assert isinstance(curved.value, dict) and curved.value["centre"] > 1.3 * curved.value["crossfade"]


def test_a_triangle_is_shown_by_its_three_sides() -> None:
    codes = torch.randn(6, 3, generator=seeded())
    images = of(linear, codes)
    score = triangles(Decoder(linear), codes, images, images.original, seeded(), triples=2, shown=1)
    sides = score.pictures["triangles"].view(3, 8, 1, SIDE, SIDE)
    for side in range(3):
        torch.testing.assert_close(sides[side, -1], sides[(side + 1) % 3, 0])  # ends where the next begins
        torch.testing.assert_close(sides[side, 0], sides[side, 1], atol=1e-6, rtol=0)  # decoded without error here


def test_what_has_no_interpolations_is_skipped_with_a_reason() -> None:
    codes = torch.randn(3, 3, generator=seeded())
    images = of(linear, codes)
    vectors = Reconstructions(codes, Samples(codes), "codes")
    flat = Decoder(lambda z: torch.full((len(z), 1, SIDE, SIDE), 0.5))
    for model, z, x, reason in (
        (nn.Identity(), codes, images, "the method has no decode"),
        (Decoder(linear), codes, vectors, "interpolations are of images"),
        (Decoder(linear), codes[:1], of(linear, codes[:1]), "2 different codes are needed; there are 1"),
        (Decoder(linear), codes * math.nan, images, "not finite"),
        (flat, codes, images, "nothing to divide by"),
    ):
        with pytest.raises(NotApplicableError, match=reason):
            interpolations(model, z, x, seeded())
    with pytest.raises(NotApplicableError, match="3 different codes"):
        triangles(Decoder(linear), codes[:2], of(linear, codes[:2]), images.original, seeded())


def test_lines_and_averages_are_those_of_numpy() -> None:
    start, end = torch.rand(2, 4, 3, generator=seeded()).double()
    expected = torch.stack([start + (end - start) * t for t in torch.linspace(0, 1, 6).double()], 1)
    torch.testing.assert_close(between(start, end, 5), expected)
    images = torch.randint(0, 256, (300, 1, 2, 4), generator=seeded(), dtype=torch.uint8)
    torch.testing.assert_close(average(Samples(images)), images.double().mean(0) / 255, atol=1e-7, rtol=0)
    with pytest.raises(ValueError, match="no average"):
        average(Samples(images[:0]))


def test_fine_energy_is_the_mean_of_the_finest_level_and_blurring_lowers_it() -> None:
    x = torch.rand(5, 3, SIDE, SIDE, generator=seeded()).double()
    torch.testing.assert_close(fine_energy(x), laplacian_pyramid(x)[0].abs().mean((1, 2, 3)))
    torch.testing.assert_close(fine_energy(x / 2), fine_energy(x) / 2)
    blurred = nn.functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    assert bool((fine_energy(blurred) < fine_energy(x)).all())
    assert float(fine_energy(torch.full((1, 1, SIDE, SIDE), 0.3).double())) == pytest.approx(0, abs=1e-12)


def test_neither_is_chosen_unasked() -> None:
    metrics = {metric.name: (metric.direction, metric.default, metric.kind) for metric in benchsuite_metrics()}
    assert metrics == {"interpolations": ("none", False, "image"), "triangles": ("none", False, "image")}
