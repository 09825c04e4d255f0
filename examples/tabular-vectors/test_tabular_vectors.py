"""The contracts of datasets and a metric, and both against scikit-learn's table, numpy and closed forms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tabular_vectors import BreastCancer, Diabetes, Table, Wine, benchsuite_metrics, correlation_error

import benchsuite
from benchsuite.testing import dataset_contract, metric_contract

test_contract_of_breast_cancer = dataset_contract(BreastCancer)
test_contract_of_wine = dataset_contract(Wine)
test_contract_of_diabetes = dataset_contract(Diabetes)
test_contract_of_correlation_error = metric_contract(benchsuite_metrics()[0])

TABLES = [BreastCancer(), Wine(), Diabetes()]


def parts(table: Table) -> tuple[benchsuite.Samples, benchsuite.Samples]:
    return table.load("train", Path()), table.load("test", Path())


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_training_rows_are_standard(table: Table) -> None:
    x = parts(table)[0][:]
    torch.testing.assert_close(x.mean(0), torch.zeros(x.shape[1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(x.shape[1]))


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_the_parts_are_the_whole_table_on_one_scale(table: Table) -> None:
    train, test = parts(table)
    ours, theirs = np.vstack([train[:], test[:]]), table.table().data
    assert ours.shape == theirs.shape and len(test) == -(-len(theirs) // 5)
    for column in range(theirs.shape[1]):
        a, b = np.sort(ours[:, column]), np.sort(theirs[:, column])
        slope, start = (a[-1] - a[0]) / (b[-1] - b[0]), a[0]
        np.testing.assert_allclose(a, start + slope * (b - b[0]), atol=1e-4)


@pytest.mark.parametrize("table", [BreastCancer(), Wine()], ids=lambda t: t.name)
def test_every_class_has_its_share_of_either_part(table: Table) -> None:
    shares = []
    for part in parts(table):
        assert part.labels is not None and part.n_classes == len(part.label_names)
        shares.append(torch.bincount(part.labels) / len(part))
    torch.testing.assert_close(*shares, atol=1 / len(parts(table)[1]), rtol=0)


def test_numbers_are_no_labels() -> None:
    assert all(part.labels is None and part.n_classes is None for part in parts(Diabetes()))


def test_the_error_is_that_of_numpys_correlations() -> None:
    real, generated = normal(40, 5, seed=0), normal(30, 5, seed=1) @ normal(5, 5, seed=2)
    difference = np.corrcoef(real.T) - np.corrcoef(generated.T)
    expected = np.sqrt(np.square(difference).sum() / 20)  # the diagonal is 0, each pair is there twice
    found = correlation_error(benchsuite.Samples(real), benchsuite.Samples(generated))
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_the_error_is_two_where_all_correlations_are_the_opposite() -> None:
    x = normal(10, 1, seed=0)
    real, generated = benchsuite.Samples(torch.cat([x, x], 1)), benchsuite.Samples(torch.cat([x, -x], 1))
    assert float(correlation_error(real, generated)) == pytest.approx(2)


def test_a_constant_column_correlates_with_nothing() -> None:
    x = normal(1000, 1, seed=0)
    real = benchsuite.Samples(torch.cat([x, x], 1))
    generated = benchsuite.Samples(torch.cat([x, torch.full_like(x, 0.1)], 1))
    assert float(correlation_error(real, generated)) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(8, 1), (8, 1, 4, 4)])
def test_there_are_no_correlations_of_images_nor_of_a_single_column(shape: tuple[int, ...]) -> None:
    rows = benchsuite.Samples(torch.zeros(shape))
    with pytest.raises(benchsuite.NotApplicableError, match="at least two columns"):
        correlation_error(rows, rows)
