"""Ranks of methods over datasets: Friedman's test, and Nemenyi's critical difference of mean ranks.

A row for each metric and method: ``metric`` (with its direction), ``datasets`` (how many), ``method``, ``rank`` (the
mean, 1 being best), ``critical_difference`` (mean ranks that are further apart differ, 95%), and ``p``, by Friedman, of
all methods being equal.

Source: Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets (2006).
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchsuite.results.statistics import LEVEL
from benchsuite.results.summary import titles

MIN_DATASETS = 5  # below which no difference of ranks of three methods is larger than the critical one
MIN_METHODS = 3  # of Friedman's test
COLUMNS = ("metric", "datasets", "method", "rank", "critical_difference", "p")


def ranked(summary: pd.DataFrame) -> pd.DataFrame:
    """The ranks of ``summary``: for each metric those of the methods that have a mean on each of its datasets.

    Empty where there are fewer than five datasets or three methods. Equal means share the mean of their ranks.
    """
    entered = summary[(summary["direction"] != "none") & summary["contends"].astype(bool)]
    rows: list[tuple[str, int, str, float, float, float]] = []
    for _, of_metric in entered.groupby("metric", sort=False):
        one_protocol = of_metric.groupby("dataset")["fingerprint"].transform("nunique") == 1
        means = of_metric[one_protocol].pivot(index="dataset", columns="method", values="mean").dropna(axis="columns")
        datasets, methods = means.shape
        if datasets < MIN_DATASETS or methods < MIN_METHODS:
            continue
        sign = -1.0 if of_metric["direction"].iloc[0] == "max" else 1.0
        ranks, p = _friedman(sign * means.to_numpy())
        title, apart = titles(of_metric).iloc[0], critical_difference(methods, datasets)
        rows += [(title, datasets, name, rank, apart, p) for name, rank in zip(means.columns, ranks, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def critical_difference(methods: int, datasets: int) -> float:
    """The difference of mean ranks beyond which two of ``methods`` differ at 95%, by Nemenyi's test.

    >>> round(critical_difference(4, 14), 2)  # Demšar's example, section 3.2.4, has 1.25
    1.25
    """
    from scipy.stats import studentized_range

    quantile = studentized_range.ppf(LEVEL, methods, np.inf) / math.sqrt(2)
    return float(quantile * math.sqrt(methods * (methods + 1) / (6 * datasets)))


def _friedman(losses: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Mean ranks of ``losses`` (datasets, methods), and p of all methods being equal: 1 where they are throughout."""
    from scipy.stats import friedmanchisquare, rankdata  # which take half a second to import, and few runs need

    ranks = rankdata(losses, axis=1).mean(axis=0)
    equal = (losses == losses[:, :1]).all()
    return ranks, 1.0 if equal else float(friedmanchisquare(*losses.T).pvalue)
