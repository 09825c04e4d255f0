"""The ratio of distances between and within classes is what known centroids, known spread and chance give."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from made_up import seeded
from scipy.special import gammaln
from threadpoolctl import threadpool_limits
from torch import Tensor

from benchsuite import NotApplicableError, Score
from benchsuite_plugins.metrics import clusters as module
from benchsuite_plugins.metrics.clusters import benchsuite_metrics, cluster_ratio


def values(score: Score) -> dict[str, float]:
    assert isinstance(score.value, dict)
    return score.value


def at_corners(distance: float, d: int, each: int, seed: int) -> tuple[Tensor, Tensor]:
    """``each`` codes about each of d centroids, all at ``distance`` from one another, with spread 1; their classes."""
    labels = torch.arange(d).repeat_interleave(each)
    spread = torch.randn(d * each, d, generator=seeded(seed), dtype=torch.float64)
    return distance / math.sqrt(2) * torch.eye(d, dtype=torch.float64)[labels] + spread, labels


def mean_length(d: int) -> float:
    """Of a standard normal vector of d numbers."""
    return math.sqrt(2) * math.exp(gammaln((d + 1) / 2) - gammaln(d / 2))


@pytest.mark.parametrize("distance", [2.0, 10.0])
def test_of_known_centroids_and_spread_the_ratio_is_their_distance_over_the_mean_of_chi(distance: float) -> None:
    # 300 codes of each of 6 classes, seed 0: centroids are off by 1/300 of the variance, spread by 0.7%.
    codes, labels = at_corners(distance, 6, 300, seed=0)
    between = math.sqrt(distance**2 + 6 * 2 / 300)
    within = mean_length(6) * math.sqrt(1 - 1 / 300)
    assert module._ratio(codes, labels) == pytest.approx(between / within, rel=0.03)


def test_the_ratio_is_its_definition_by_hand() -> None:
    codes = torch.tensor([[0.0, 0.0], [0.0, 2.0], [6.0, 1.0], [10.0, 1.0], [3.0, 5.0], [3.0, 5.0]], dtype=torch.float64)
    # centroids (0, 1), (8, 1) and (3, 5) are 8, 5 and 41 ** 0.5 apart; codes 1, 1, 2, 2, 0, 0 from their own
    labels = torch.tensor([4, 4, 7, 7, 9, 9])
    score = cluster_ratio(codes, labels, seeded())
    assert values(score)["codes"] == pytest.approx((8 + 5 + math.sqrt(41)) / 3)
    order = torch.tensor([3, 0, 5, 2, 1, 4])
    assert values(cluster_ratio(codes[order], labels[order], seeded()))["codes"] == pytest.approx(
        values(score)["codes"]
    )


@pytest.mark.parametrize("sizes", [(103,) * 10, (20, 30, 950), (400, 100, 100, 50)])
@pytest.mark.parametrize("stretched", [False, True])
def test_labels_that_mean_nothing_give_the_null(sizes: tuple[int, ...], stretched: bool) -> None:
    # 100 sets of codes, seeds 0-99. The null is a ratio of means, not the mean of a ratio: hence 1% beside four
    # standard errors, which a right null exceeds once in 10,000 times.
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    scales = torch.tensor([1.0, 5.0, 0.1, 2.0] if stretched else [1.0] * 4, dtype=torch.float64)
    codes = (torch.randn(len(labels), 4, generator=seeded(s), dtype=torch.float64) * scales for s in range(100))
    found = [module._ratio(z, labels) for z in codes]
    null = module._null(labels)
    assert abs(np.mean(found) - null) < 4 * np.std(found) / 10 + 0.01 * null


def test_1024_codes_of_ten_classes_have_a_null_of_0_14_whatever_their_dimension() -> None:
    labels = torch.arange(1024) % 10
    assert module._null(labels) == pytest.approx(math.sqrt(2 * 10 / (1024 - 10)), rel=1e-3)
    for d in (2, 20):
        codes = torch.randn(1024, d, generator=seeded(d), dtype=torch.float64)
        assert module._ratio(codes, labels) == pytest.approx(0.14, abs=0.06)


def test_far_clusters_are_far_apart_in_the_embedding_and_permuted_labels_are_not() -> None:
    codes, labels = at_corners(12.0, 5, 40, seed=0)
    score = cluster_ratio(codes, labels, seeded())
    embedding = score.arrays["embedding"]
    assert embedding.shape == (200, 2) and torch.equal(score.arrays["labels"], labels)
    centroids = torch.stack([embedding[labels == k].mean(0) for k in range(5)])
    assert torch.equal(torch.cdist(embedding, centroids).argmin(1), labels)
    assert values(score)["tsne"] == pytest.approx(module._ratio(embedding, labels))
    assert values(score)["tsne"] > 3 and values(score)["codes"] > 3
    permuted = [labels[torch.randperm(200, generator=seeded(s))] for s in range(100)]
    chance = np.mean([module._ratio(embedding, some) for some in permuted])
    assert chance == pytest.approx(values(score)["null"], rel=0.15)  # an embedding of clusters is not normal


@pytest.mark.parametrize("d", [1, 3])
def test_the_embedding_is_the_same_each_time_whatever_threads_there_are(d: int) -> None:
    codes, labels = at_corners(3.0, 3, 30, seed=0)
    embeddings = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            embeddings.append(cluster_ratio(codes[:, :d], labels, seeded()).arrays["embedding"])
    assert torch.equal(*embeddings)
    if d == 1:  # it starts at random there, not from principal axes
        assert not torch.equal(embeddings[0], cluster_ratio(codes[:, :1], labels, seeded(1)).arrays["embedding"])


@pytest.mark.parametrize(("each", "d"), [(2, 3), (10, 1)])
def test_few_codes_and_codes_of_one_dimension_have_an_embedding(each: int, d: int) -> None:
    codes = torch.randn(2 * each, d, generator=seeded())
    found = values(cluster_ratio(codes, torch.arange(2).repeat(each), seeded()))
    assert list(found) == ["codes", "tsne", "null"] and all(math.isfinite(x) for x in found.values())


def test_classes_of_a_single_code_are_left_out() -> None:
    codes, labels = at_corners(5.0, 3, 10, seed=0)
    more, lonely = torch.cat([codes, codes.new_full((1, 3), 100.0)]), torch.cat([labels, torch.tensor([8])])
    score = cluster_ratio(more, lonely, seeded())
    assert score.n == 30
    assert values(score) == values(cluster_ratio(codes, labels, seeded()))


def test_of_more_codes_than_are_looked_at_evenly_spaced_ones_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, labels = at_corners(5.0, 3, 20, seed=0)
    monkeypatch.setattr(module, "_MOST", 30)
    score = cluster_ratio(codes, labels, seeded())
    assert score.n == 30
    assert values(score) == values(cluster_ratio(codes[::2], labels[::2], seeded()))


def test_what_has_no_clusters_is_skipped_with_a_reason() -> None:
    codes = torch.randn(10, 2, generator=seeded())
    two = torch.arange(10) % 2
    for bad, labels, reason in (
        (codes, torch.zeros(10, 3), "these have several attributes"),
        (codes, torch.zeros(10, dtype=torch.long), "two classes with two codes each are needed; 1 have 10 in all"),
        (codes, torch.arange(10), "two classes with two codes each are needed; 10 have 10 in all"),
        (torch.full((10, 2), 0.1), two, "no spread to compare with"),
        (two[:, None].float(), two, "no spread to compare with"),
        (torch.full((10, 2), math.inf), two, "not finite"),
    ):
        with pytest.raises(NotApplicableError, match=reason):
            cluster_ratio(bad, labels, seeded())


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_codes_changes_nothing(scale: float) -> None:
    codes, labels = at_corners(3.0, 3, 10, seed=0)
    scaled = values(cluster_ratio(codes * scale, labels, seeded()))
    assert scaled == pytest.approx(values(cluster_ratio(codes, labels, seeded())), rel=1e-2)


def test_the_ratio_has_no_direction_and_is_not_chosen_unasked() -> None:
    (metric,) = benchsuite_metrics()
    assert (metric.name, metric.direction, metric.default) == ("cluster_ratio", "none", False)
