"""Who is best, as reports show it: the same words and digits, and the same cells in bold print, in every format."""

from __future__ import annotations

import math
from collections.abc import Set
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchsuite.kit.text import readable

if TYPE_CHECKING:
    from numpy.typing import NDArray

Winner = tuple[str, str, str]  # dataset, column and method
NOTHING = "–"


def winners(contest: pd.DataFrame) -> Set[Winner]:
    """What ``contest`` calls significant: who is best, at what, on which dataset."""
    decided = contest[contest["verdict"] == "significant"]
    return set(decided[["dataset", "column", "best"]].itertuples(index=False, name=None))


def bold_cells(table: pd.DataFrame, dataset: str, best: Set[Winner]) -> list[tuple[int, int]]:
    """The cells, by row and column, of ``readable(table)`` that hold the scores of ``best``, of methods by metrics."""
    rows = [[(dataset, column, method) in best for column in table.columns] for method in table.index]
    marks = readable(pd.DataFrame(rows, index=table.index, columns=table.columns, dtype=bool))
    found: NDArray[np.intp] = np.argwhere(marks.iloc[:, 1:].to_numpy(dtype=bool))
    return [(int(row), int(column) + 1) for row, column in found]


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
