"""The contracts of an extractor and a metric, and both of them against closed forms and scipy."""

from pathlib import Path

import pytest
import torch
from gradient_histograms import GradientHistograms, benchsuite_metrics, hog_distance
from scipy.stats import energy_distance
from torch import Tensor

import benchsuite
from benchsuite.testing import extractor_contract, metric_contract

test_contract_of_hog = extractor_contract(GradientHistograms)
test_contract_of_hog_distance = metric_contract(benchsuite_metrics()[0])


def features(images: Tensor, orientations: int = 9, cells: int = 4) -> Tensor:
    extractor = GradientHistograms(orientations=orientations, cells=cells)
    return extractor.load(Path(), torch.device("cpu"))(images)


def distance(real: Tensor, generated: Tensor) -> float:
    value = hog_distance(real, generated).value
    assert isinstance(value, Tensor)
    return float(value)


def ramp(size: int, along: int) -> Tensor:
    """A grey image that grows brighter along an axis, 0 for downwards and 1 for rightwards, (1, 1, size, size)."""
    return torch.linspace(0, 1, size).expand(size, size).transpose(along, 1)[None, None]


@pytest.mark.parametrize("size", [8, 16, 28, 64])
def test_images_of_any_size_have_as_many_features(size: int) -> None:
    assert features(torch.rand(3, 1, size, size)).shape == (3, 4 * 9 * 3**2)


def test_a_ramp_has_one_orientation_and_it_turns_with_the_image() -> None:
    for along in (0, 1):
        blocks = features(ramp(16, along), orientations=2).view(-1, 2)  # gradients upright, and level
        assert bool((blocks[:, 1 - along] > 0.1).all()) and bool((blocks[:, along] < 1e-3).all())


def test_the_channel_with_the_largest_gradient_counts() -> None:
    grey = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    colour = torch.cat([grey / 4, grey, grey / 2], dim=1)
    torch.testing.assert_close(features(colour), features(grey))


def test_images_smaller_than_their_cells_are_refused() -> None:
    with pytest.raises(benchsuite.NotApplicableError, match="4 x 4 cells; got 3 x 8 pixels"):
        features(torch.rand(1, 1, 3, 8))


def test_the_distance_is_scipys_on_a_line() -> None:
    """Scipy counts pairs of a row with itself, which are 1 in n, and takes the root."""
    generator = torch.Generator().manual_seed(0)
    real, generated = torch.randn(300, 1, generator=generator), torch.randn(200, 1, generator=generator) * 2 + 1
    own = torch.pdist(real).mean() / 300 + torch.pdist(generated).mean() / 200
    expected = energy_distance(real[:, 0].numpy(), generated[:, 0].numpy()) ** 2 - float(own)
    assert distance(real, generated) == pytest.approx(expected, rel=1e-4)


def test_the_distance_is_zero_on_average_between_samples_of_one_law() -> None:
    generator = torch.Generator().manual_seed(0)
    found = [distance(*torch.randn(2, 30, 5, generator=generator)) for _ in range(400)]
    assert sum(found) / 400 == pytest.approx(0, abs=0.01)  # three standard errors; with own pairs it is 0.19


def test_at_most_so_many_rows_are_compared() -> None:
    rows = torch.rand(50, 4, generator=torch.Generator().manual_seed(0))
    score = hog_distance(rows, rows + 1, limit=10)
    assert score.n == 10 and score.value == distance(rows[::5], rows[::5] + 1)
