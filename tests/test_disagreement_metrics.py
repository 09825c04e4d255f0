"""Draws far from the codes of data have worse samples where they are made to, and no worse ones where they are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from benchsuite import Model, NotApplicableError, Score
from benchsuite.kit.priors import NormalPrior
from benchsuite_plugins.metrics.disagreement import Distance, _rank_correlation, benchsuite_metrics
from benchsuite_plugins.metrics.disagreement import disagreement_quality as quality

D = 4
CODES = torch.randn(300, D, generator=torch.Generator().manual_seed(1))


class Decoding(Model):
    """A model that decodes by ``function``, with a normal prior."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.decode, self.prior = function, NormalPrior(D)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        raise AssertionError


class WithoutPrior(Model):
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        raise AssertionError


def score(function: Callable[[Tensor], Tensor], *, distance: Distance = "nearest", draws: int = 200) -> Score:
    """Where the data are their codes, and features the data."""
    generator = torch.Generator().manual_seed(2)
    return quality(Decoding(function), CODES, CODES, lambda x: x, generator, rows=300, distance=distance, draws=draws)


def rows(score: Score) -> dict[str, float]:
    assert isinstance(score.value, dict)
    return score.value


def test_where_data_are_their_codes_both_distances_are_the_same() -> None:
    found = score(lambda z: z)
    drawn = torch.cdist(NormalPrior(D).sample(200, torch.Generator().manual_seed(2)).double(), CODES.double())
    least = drawn.min(1).values.sort().values
    values = rows(found)
    assert values["correlation"] == pytest.approx(1)
    assert values["farthest"] == pytest.approx(float(least[-20:].mean()), rel=1e-5)
    assert values["nearest"] == pytest.approx(float(least[:20].mean()), rel=1e-5)
    assert values["all"] == pytest.approx(float(least.mean()), rel=1e-5)


def test_the_papers_distance_orders_draws_by_their_distance_from_the_mean_code() -> None:
    found = score(lambda z: z, distance="mean")
    drawn = NormalPrior(D).sample(200, torch.Generator().manual_seed(2))
    squared = torch.cdist(drawn.double(), CODES.double()).square().mean(1)
    assert stats.spearmanr(found.arrays["from_codes"], squared).statistic == pytest.approx(1)


def test_a_decoder_that_is_good_everywhere_shows_no_difference() -> None:
    values = rows(score(lambda z: CODES[:1].expand(len(z), -1)))
    assert values["farthest"] == values["nearest"] == values["correlation"] == 0


def test_the_rank_correlation_is_scipys_with_ties_too() -> None:
    generator = torch.Generator().manual_seed(3)
    a, b = torch.randint(5, (2, 50), generator=generator).double()
    assert _rank_correlation(a, b) == pytest.approx(float(stats.spearmanr(a, b).statistic))


def test_few_draws_are_split_in_halves() -> None:
    values = rows(score(lambda z: z, draws=10))
    assert values["all"] == pytest.approx((values["farthest"] + values["nearest"]) / 2)


def test_without_a_prior_it_is_not_applicable() -> None:
    with pytest.raises(NotApplicableError, match="prior"):
        quality(WithoutPrior(), CODES, CODES, lambda x: x, torch.Generator())


def test_it_is_computed_only_where_it_is_named() -> None:
    assert [metric.default for metric in benchsuite_metrics()] == [False]
