"""Reconstructions are recognised where they show their image, and not where they show nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchsuite import Model, NotApplicableError, Samples
from benchsuite.kit.priors import NormalPrior
from benchsuite_plugins.metrics.recognition import benchsuite_metrics, reversal_recognised

PIXELS = 16
REAL = Samples(torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(0)))


class Painter(Model):
    """Each pixel is ``contrast`` times a coordinate of the code, about ``grey``."""

    def __init__(self, contrast: float = 1.0, grey: float = 0.5) -> None:
        super().__init__()
        self.contrast, self.grey, self.prior = contrast, grey, NormalPrior(PIXELS)

    def decode(self, z: Tensor) -> Tensor:
        return (self.grey + self.contrast * z).view(-1, 1, 4, 4)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        raise AssertionError


class Stripes(Painter):
    """A decoder with one dimension, brightness, which tells no image from another."""

    def decode(self, z: Tensor) -> Tensor:
        return (self.grey + z.mean(1))[:, None, None, None].expand(-1, 1, 4, 4)


def rows(model: Model, images: int = 20, steps: int = 400) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    value = reversal_recognised(model, REAL, generator, images=images, steps=steps).value
    assert isinstance(value, dict)
    return value


def test_every_image_is_recognised_where_each_pixel_is_a_coordinate() -> None:
    found = rows(Painter())
    assert found["400"] == 1
    assert found["5"] > 0.9  # the first steps of RMSProp go by signs: the outline


def test_brightness_alone_tells_no_image() -> None:
    found = rows(Stripes())
    assert found["5"] == found["400"] == 0


def test_before_the_first_step_it_is_near_chance() -> None:
    """Starts are drawn independently of the images: more than 5 of 20 by chance has a probability of 3e-4, seed 0."""
    found = rows(Painter())
    assert found["0"] <= 5 / 20 and found["chance"] == 1 / 20


def test_contrast_and_brightness_do_not_count() -> None:
    """With a small rate of change the picture stays faint after 5 steps, and is the same picture."""
    assert rows(Painter(contrast=0.01, grey=0.1))["5"] > 0.9


def test_rows_beyond_the_last_step_are_left_out() -> None:
    assert list(rows(Painter(), steps=25)) == ["0", "5", "20", "chance"]


def test_vectors_are_not_applicable() -> None:
    vectors = Samples(torch.randn(10, 16))
    with pytest.raises(NotApplicableError, match="images"):
        reversal_recognised(Painter(), vectors, torch.Generator())


def test_it_is_computed_only_where_it_is_named() -> None:
    assert [metric.default for metric in benchsuite_metrics()] == [False]
