"""Who is best at what, and whether seeds decide it: a row for each dataset, metric and protocol that has a direction.

Its columns: ``dataset, metric, column, direction``; ``best``, the method of the best mean, or several where they are
equal, and its ``mean`` as tables show it; ``second``, the best of the others, and how much better ``best`` is: the mean
``difference`` over common ``seeds``, and ``low`` and ``high`` of its t interval; ``p``, adjusted for the table, of the
statement that ``best`` is better than each of the others; ``verdict``; and ``rivals``, those that seeds do not tell
from ``best``.

Verdicts are ``significant``; ``not significant``; ``not tested``, where ``best`` has fewer than three seeds with finite
values in common with any other; ``tie``, where means are equal; ``alone``, where no other method has a score.

Means are compared by paired t tests over seeds. ``best`` is best if it is better than every other: each of these tests
has to say so, so that the largest of their p-values is taken, and none has to be corrected for the others. That the
best was picked by the same numbers is corrected for by half the number of methods, since each of them could have been;
that a table has many metrics by Holm's method over the table of a dataset.

Source: Berger, Multiparameter Hypothesis Testing and Acceptance Sampling (1982); Holm, A Simple Sequentially Rejective
Multiple Test Procedure (1979).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from benchsuite.results.statistics import LEVEL, ROUNDING, Paired, holm, paired

_COLUMN = ["dataset", "metric", "fingerprint"]
_LEADS = {"significant": "significant", "not significant": "best", "not tested": "best", "tie": "best", "alone": ""}
COLUMNS = (
    *("dataset", "metric", "column", "direction", "best", "mean", "second", "difference", "low", "high", "seeds", "p"),
    *("verdict", "rivals"),
)


def contested(summary: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The contest of ``summary``, whose single values are ``scores``: the columns of results.csv.

    References, and models that copy their training data at what they copy, take no part.
    """
    entered = summary[(summary["direction"] != "none") & summary["mean"].notna() & summary["contends"].astype(bool)]
    values = dict(iter(scores[scores["value"].notna()].groupby(_COLUMN)))
    tables = [
        _corrected([_row(rows, values[key]) for key, rows in of_dataset.groupby(_COLUMN, sort=False)])
        for _, of_dataset in entered.groupby("dataset", sort=False)
    ]
    return pd.DataFrame([row for table in tables for row in table], columns=list(COLUMNS))


def with_leads(summary: pd.DataFrame, contest: pd.DataFrame) -> pd.DataFrame:
    """``summary`` with the column ``lead``: ``significant`` for what is significantly best, ``best`` for the other best
    means, empty elsewhere and where no other method has a score."""
    sign = summary["direction"].map({"max": 1.0, "min": -1.0}).astype(float)
    score = (sign * summary["mean"].astype(float)).where(summary["contends"].astype(bool))
    top = score.groupby([summary[name] for name in _COLUMN]).transform("max")
    verdicts = contest.set_index(["dataset", "column"])["verdict"].to_dict()
    places = zip(summary["dataset"], summary["column"], _equal(score, top), strict=True)
    return summary.assign(lead=[_LEADS[verdicts[d, c]] if leads else "" for d, c, leads in places])


def _row(rows: pd.DataFrame, values: pd.DataFrame) -> dict[str, Any]:
    """The contest of one metric, ``p`` not yet corrected for the table; ``pairs`` are the p-values of its rivals."""
    sign = 1.0 if rows["direction"].iloc[0] == "max" else -1.0
    ordered = rows.iloc[np.argsort(-sign * rows["mean"].to_numpy(), kind="stable")]
    methods, means = list(ordered["method"]), ordered["mean"].to_numpy()
    row = {name: ordered[name].iloc[0] for name in ("dataset", "metric", "column", "direction")}
    row |= {"best": methods[0], "mean": ordered["shown"].iloc[0], "pairs": {}, "p": np.nan, "seeds": 0}
    row |= {"second": "", "rivals": "", "difference": np.nan, "low": np.nan, "high": np.nan}
    if len(methods) == 1:
        return row | {"verdict": "alone"}
    row["second"] = methods[1]
    if _equal(means[1], means[0]):
        tied = [method for method, equal in zip(methods, _equal(means, means[0]), strict=True) if equal]
        return row | {"best": ", ".join(tied), "second": "", "verdict": "tie", "rivals": ", ".join(tied)}
    by_seed = values.pivot(index="seed", columns="method", values="value")
    with np.errstate(invalid="ignore"):
        better = sign * (by_seed[[methods[0]]].to_numpy() - by_seed[methods[1:]].to_numpy())
    found = paired(better)
    of_second = {"difference": found.mean[0], "seeds": int(found.n[0])}
    of_second |= {"low": found.mean[0] - found.half_width[0], "high": found.mean[0] + found.half_width[0]}
    pairs = _not_better(found) * len(methods) / 2
    raw = float(np.minimum(1.0, pairs.max()))  # NaN where any pair could not be tested
    return row | of_second | {"pairs": dict(zip(methods[1:], pairs, strict=True)), "p": raw}


def _equal(means: ArrayLike, best: ArrayLike) -> NDArray[np.bool_]:
    """Whether means are equal but for rounding."""
    return np.asarray(np.isclose(means, best, rtol=ROUNDING, atol=0.0))


def _not_better(found: Paired) -> NDArray[np.float64]:
    """p of each pair; over common seeds the best on all seeds may be the worse one, which is no evidence for it."""
    return np.where(np.isnan(found.p) | (found.mean > 0), found.p, 1.0)


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ``rows`` of one table with p corrected for their number, verdicts and rivals."""
    raw = np.array([row["p"] for row in rows], dtype=np.float64)
    tests = sum(not np.isnan(list(row["pairs"].values())).all() for row in rows)
    found = []
    for row, p in zip(rows, holm(raw), strict=True):
        pairs: Mapping[str, float] = row.pop("pairs")
        row["p"] = p
        if "verdict" not in row:
            row["verdict"] = "not tested" if np.isnan(p) else "significant" if p <= 1 - LEVEL else "not significant"
        if row["verdict"] in ("not significant", "not tested"):
            row["rivals"] = ", ".join(name for name, of_pair in pairs.items() if not of_pair * tests <= 1 - LEVEL)
        found.append(row)
    return found
