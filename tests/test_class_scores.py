"""Inception and classifier scores are those of two other libraries, and of the closed forms at their extremes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchsuite import NotApplicableError, ParameterError
from benchsuite.parameters import convert
from benchsuite_plugins.metrics.class_scores import benchsuite_metrics, classifier_score, inception_score


def logits(n: int, classes: int, seed: int = 0, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_it_is_the_score_of_torch_fidelity_without_shuffling(splits: int) -> None:
    module = pytest.importorskip("torch_fidelity.metric_isc")
    x = logits(505, 20)  # splits of 50 and 51 samples
    expected = module.isc_features_to_metric(x, splits, shuffle=False)["inception_score_mean"]
    assert classifier_score(x, splits=splits) == pytest.approx(expected, rel=1e-12)
    assert inception_score(x, splits=splits).value == pytest.approx(expected, rel=1e-12)


@pytest.mark.filterwarnings("ignore")  # torchmetrics takes a standard deviation of one split
def test_in_one_split_it_is_the_score_of_torchmetrics() -> None:
    module = pytest.importorskip("torchmetrics.image.inception")
    metric = module.InceptionScore(feature=torch.nn.Identity(), splits=1)
    x = logits(300, 12)
    metric.features.append(x)
    assert classifier_score(x) == pytest.approx(float(metric.compute()[0]), rel=1e-5)  # theirs is in single precision


def test_it_is_the_number_of_classes_where_samples_are_sure_and_balanced_and_1_where_they_say_nothing() -> None:
    sure = 1e4 * torch.eye(7).repeat(5, 1)
    assert classifier_score(sure) == pytest.approx(7, rel=1e-12)
    assert classifier_score(torch.zeros(40, 7)) == pytest.approx(1, rel=1e-12)
    assert classifier_score(sure[:1].repeat(10, 1)) == pytest.approx(1, rel=1e-12)  # one class alone


def test_it_is_the_closed_form_for_two_classes() -> None:
    p = 0.9  # log 2 less the entropy of p, for samples that are p sure of either class
    x = torch.tensor([[p, 1 - p], [1 - p, p]], dtype=torch.float64).log().repeat(10, 1)
    assert classifier_score(x) == pytest.approx(2 * p**p * (1 - p) ** (1 - p), rel=1e-12)


@given(st.integers(1, 40), st.integers(2, 6), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_it_is_from_1_to_the_number_of_classes_whatever_the_order(n: int, classes: int, seed: int) -> None:
    x = logits(n, classes, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    score = classifier_score(x)
    assert 1 - 1e-9 <= score <= classes + 1e-9
    assert classifier_score(x[order]) == pytest.approx(score, rel=1e-12)
    assert classifier_score(x + 5) == pytest.approx(score, rel=1e-4)  # logits are known up to a constant


def test_nan_is_never_a_score() -> None:
    x = logits(20, 3)
    x[4, 1] = math.nan
    assert math.isnan(classifier_score(x)) and math.isnan(float(inception_score(x).value))


@pytest.mark.parametrize("features", ["inception", "inception[preset=clean]"])
def test_the_inception_score_takes_inception_features(features: str) -> None:
    chosen = convert("inception_score", inception_score, {"features": features})
    assert float(inception_score(logits(20, 5), **chosen).value) > 1


@pytest.mark.parametrize("features", ["classifier", "inception_v4", "my[x=inception]"])
def test_the_inception_score_refuses_other_features(features: str) -> None:
    with pytest.raises(ParameterError, match=r"features is inception or inception\[\.\.\.\]"):
        convert("inception_score", inception_score, {"features": features})


def test_a_caution_says_that_splits_are_smaller_than_published_ones() -> None:
    assert inception_score(logits(1000, 3)).caution.startswith("splits of 100 samples")
    assert not inception_score(logits(50_000, 3)).caution


def test_more_splits_than_samples_do_not_apply() -> None:
    with pytest.raises(NotApplicableError, match="10 splits need as many samples; there are 9"):
        inception_score(logits(9, 3))


def test_the_plugin_provides_both_where_they_are_named_and_higher_is_better() -> None:
    metrics = benchsuite_metrics()
    assert [metric.name for metric in metrics] == ["inception_score", "classifier_score"]
    assert {(metric.direction, metric.default) for metric in metrics} == {("max", False)}
