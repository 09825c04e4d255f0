"""Who is best, as reports show it: the same words and digits in every format."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    pass

NOTHING = "–"


def winners_table(contest: pd.DataFrame) -> pd.DataFrame:
    """``contest`` as text: a row for each dataset and metric."""
    rows = [
        {
            "dataset": row["dataset"],
            "metric": row["column"],
            "best": row["best"],
            "mean": row["mean"],
            "ahead of": said(row["second"]),
            "by [95% interval]": _difference(row["difference"], row["low"], row["high"]),
            "p": _p(row["p"]),
            "verdict": row["verdict"],
            "not told apart from": said(row["rivals"]),
        }
        for row in contest.to_dict("records")
    ]
    return pd.DataFrame(rows)


def said(value: Any) -> str:
    """``value`` of a frame as text: four significant digits of a number, a dash where there is nothing.

    >>> said(0.123456), said(12), said("pca"), said(float("nan"))
    ('0.1235', '12', 'pca', '–')
    """
    if pd.isna(value) or value == "":
        return NOTHING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _difference(mean: float, low: float, high: float) -> str:
    if math.isnan(mean):
        return NOTHING
    return f"{mean:.3g}" if math.isnan(low) else f"{mean:.3g} [{low:.3g}, {high:.3g}]"


def _p(p: float) -> str:
    return NOTHING if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
