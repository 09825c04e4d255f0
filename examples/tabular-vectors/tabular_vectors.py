"""Tables that ship inside scikit-learn, as datasets of vectors, and ``correlation_error``, a metric for tables.

Source: breast_cancer is of Street, Wolberg, Mangasarian, Nuclear Feature Extraction for Breast Tumor Diagnosis (1993),
wine of Forina et al., PARVUS (1988), diabetes of Efron et al., Least Angle Regression (2004). Changed: every column is
standardised by the mean and the deviation of the training rows. The metric is our own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import benchsuite


@dataclass(frozen=True)
class Table(benchsuite.Dataset):
    """Four fifths of a table's rows for training, the others for testing; where there are classes, of each alike."""

    kind = "vector"
    latent_dim = 4

    @abstractmethod
    def table(self) -> Any:
        """What scikit-learn has: ``data`` (N, D), ``target`` (N,), and ``target_names`` where these are classes.

        It is imported where it is used: that takes a second, which no other command has to wait for.
        """

    def load(self, split: benchsuite.Split, cache: Path) -> benchsuite.Samples:
        """(N, D) float32, standardised."""
        from sklearn.model_selection import train_test_split

        table = self.table()
        data, classes = torch.from_numpy(table.data), [str(name) for name in table.get("target_names", ())]
        train, test = train_test_split(
            range(len(data)), test_size=0.2, random_state=0, stratify=table.target if classes else None
        )
        rows = train if split == "train" else test
        x = (data[rows] - data[train].mean(0)) / data[train].std(0, correction=0)
        labels = torch.from_numpy(table.target)[rows] if classes else None
        return benchsuite.Samples(x.float(), labels, label_names=classes)


@dataclass(frozen=True)
class BreastCancer(Table):
    """569 tumours, malignant or benign: 30 measurements of the nuclei of their cells."""

    name = "breast_cancer"

    def table(self) -> Any:
        from sklearn.datasets import load_breast_cancer

        return load_breast_cancer()


@dataclass(frozen=True)
class Wine(Table):
    """178 wines of three growers: 13 measurements of what is in them."""

    name = "wine"

    def table(self) -> Any:
        from sklearn.datasets import load_wine

        return load_wine()


@dataclass(frozen=True)
class Diabetes(Table):
    """442 patients: age, sex and 8 measurements. What became of them is a number, so that there are no classes."""

    name = "diabetes"

    def table(self) -> Any:
        from sklearn.datasets import load_diabetes

        return load_diabetes(scaled=False)


def correlation_error(real: benchsuite.Samples, generated: benchsuite.Samples) -> Tensor:
    """Test data: the root mean square difference of the samples' correlations of columns from theirs, from 0 to 2."""
    if real.kind != "vector" or real.shape[0] < 2:
        raise benchsuite.NotApplicableError(
            f"correlations are of tables of at least two columns; got samples of shape {real.shape}"
        )
    return (correlations(generated[:]) - correlations(real[:])).square().mean().sqrt()


def correlations(rows: Tensor) -> Tensor:
    """Of every two columns, (N, D) -> (D (D - 1) / 2,); 0 where one of them is constant.

    In float64, in which the mean of equal float32 numbers is exactly these, so that a constant column is known as such.
    """
    one, other = torch.triu_indices(rows.shape[1], rows.shape[1], offset=1)
    return torch.corrcoef(rows.cpu().double().T)[one, other].nan_to_num(0)


@benchsuite.hookimpl
def benchsuite_datasets() -> Sequence[type[benchsuite.Dataset]]:
    """Provides ``breast_cancer``, ``wine`` and ``diabetes``."""
    return [BreastCancer, Wine, Diabetes]


@benchsuite.hookimpl
def benchsuite_metrics() -> Sequence[benchsuite.Metric]:
    """Provides ``correlation_error``, which runs on vectors choose by themselves."""
    return [benchsuite.Metric("correlation_error", correlation_error, higher_is_better=False, kind="vector")]
