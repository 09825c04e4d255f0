"""Scores to one row for each dataset, metric, protocol and method: what every table of scores is made from.

Its columns:

- ``dataset, metric, unit, direction, fingerprint, method``, and ``column``: the metric's title in tables, with unit,
  arrow, and protocol where there are several;
- ``seeds`` (cells asked for), ``n`` (those with a value), ``mean``, and from two values up ``sd`` and ``se``, the
  standard deviation and the standard error;
- ``low`` and ``high``, Student's t interval, from three values up; ``resampled_low`` and ``resampled_high``, of the
  bootstrap, from twenty;
- ``shown``, the text of tables, with the half width of the t interval behind ±;
- ``status`` and ``reason`` of the cells without a value; ``caution``, what has to be known of the values;
- ``contends``: false for references and for models that copy their training data.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from benchsuite.results.statistics import BOOTSTRAP_SEEDS, LEVEL, MIN_SEEDS, resampled

NO_VALUE = "–"
CAUTION = " †"
_ARROWS = {"max": " ↑", "min": " ↓", "none": ""}
_COLUMN = ["dataset", "metric", "fingerprint"]
_GROUP = [*_COLUMN, "method"]
COLUMNS = (
    *("dataset", "metric", "column", "unit", "direction", "fingerprint", "method", "seeds", "n", "mean", "sd", "se"),
    *("low", "high", "resampled_low", "resampled_high", "shown", "status", "reason", "caution", "contends"),
)


def summarised(scores: pd.DataFrame) -> pd.DataFrame:
    """The summary of ``scores``: the columns of results.csv with ``selection`` and ``contends``.

    Datasets, metrics and methods are in the order of ``scores``. What has no value stands in every column of its
    selection; a metric that was skipped everywhere on a dataset has none.
    """
    placed = _placed(scores)
    if placed.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    scored = placed[placed["value"].notna()]
    with np.errstate(invalid="ignore"):  # of infinities
        values = placed.groupby(_GROUP, sort=False)["value"].agg(seeds="size", n="count", mean="mean", sd="std")
    frame = values.reset_index()
    told = scored.groupby(_COLUMN, sort=False)[["unit", "direction"]].first()
    frame = frame.join(told, on=_COLUMN).fillna({"unit": "", "direction": "none"})
    missing, cautioned = placed[placed["value"].isna()], scored[scored["reason"] != ""]
    frame = frame.join(missing.groupby(_GROUP, sort=False)[["status", "reason"]].agg(_joined), on=_GROUP)
    frame = frame.join(cautioned.groupby(_GROUP, sort=False)["reason"].agg(_joined).rename("caution"), on=_GROUP)
    frame = frame.join(placed.groupby(_GROUP, sort=False)["contends"].all(), on=_GROUP)
    frame = frame.fillna({"status": "", "reason": "", "caution": ""})
    known = {"method": scores, "fingerprint": placed, "metric": placed, "dataset": scores}  # the last sorts first
    frame = frame.iloc[np.lexsort([_places(frame[name], rows[name]) for name, rows in known.items()])]
    return _with_texts(_with_intervals(frame.reset_index(drop=True), scored))[list(COLUMNS)]


def _placed(scores: pd.DataFrame) -> pd.DataFrame:
    """``scores`` in the order of their selections; what is without a value for a whole selection once for each column
    that lacks it."""
    has_column = scores["value"].notna() | (scores["metric"] != scores["selection"])
    scored, missing = scores[has_column], scores[~has_column]
    columns = scored[["selection", *_COLUMN]].drop_duplicates()
    kept = [name for name in scores.columns if name not in ("metric", "fingerprint")]
    missing = missing[kept].merge(columns, on=["dataset", "selection"], how="left")
    nowhere = missing["metric"].isna()
    skipped = missing["status"].eq("skipped").groupby([missing["dataset"], missing["selection"]]).transform("all")
    missing["metric"] = missing["metric"].fillna(missing["selection"])
    missing["fingerprint"] = missing["fingerprint"].fillna("")
    placed = pd.concat([scored, missing[~(nowhere & skipped)]])
    return placed.iloc[np.argsort(_places(placed["selection"], scores["selection"]), kind="stable")]


def _places(values: pd.Series[Any], known: pd.Series[Any]) -> NDArray[np.int64]:
    """Where each of ``values`` comes first in ``known``."""
    places = {value: place for place, value in enumerate(dict.fromkeys(known))}
    return values.map(places).to_numpy(dtype=np.int64)


def _with_intervals(frame: pd.DataFrame, scored: pd.DataFrame) -> pd.DataFrame:
    frame["sd"] = frame["sd"].where(np.isfinite(frame["mean"]))
    frame["se"] = frame["sd"] / np.sqrt(frame["n"].clip(lower=1))
    half = (stdtrit(frame["n"].clip(lower=2) - 1, (1 + LEVEL) / 2) * frame["se"]).where(frame["n"] >= MIN_SEEDS)
    frame["low"], frame["high"] = frame["mean"] - half, frame["mean"] + half
    enough = scored.groupby(_GROUP)["value"].transform("size") >= BOOTSTRAP_SEEDS
    intervals = {key: resampled(list(values)) for key, values in scored[enough].groupby(_GROUP)["value"]}
    ends = [intervals.get(key) or (np.nan, np.nan) for key in frame[_GROUP].itertuples(index=False, name=None)]
    frame[["resampled_low", "resampled_high"]] = np.array(ends).reshape(-1, 2)
    return frame


def _with_texts(frame: pd.DataFrame) -> pd.DataFrame:
    several = frame.groupby(["dataset", "metric"], sort=False)["fingerprint"].transform("nunique") > 1
    begun = frame.assign(first=frame["fingerprint"].str[:4]).groupby(["dataset", "metric", "first"])["fingerprint"]
    alike = begun.transform("nunique") > 1
    places = zip(frame["fingerprint"], alike, several, strict=True)
    protocols = [f" #{name if whole else name[:4]}" if many else "" for name, whole, many in places]
    frame["column"] = titles(frame) + protocols
    texts = (frame[name] for name in ("mean", "n", "seeds", "status", "caution"))
    frame["shown"] = [_shown(*cell) for cell in zip(*texts, frame["high"] - frame["mean"], strict=True)]
    return frame


def _shown(mean: float, n: int, seeds: int, status: str, caution: str, width: float) -> str:
    """A mean with what is behind ± and what has to be known of it, or the status that kept seeds from one."""
    if not n:
        return ", ".join(one for one in status.split(", ") if one != "skipped") or NO_VALUE
    count = f" ({n} of {seeds})" if n < seeds else ""
    return f"{number(mean, width)}{CAUTION if caution else ''}{count}"


def _joined(texts: pd.Series[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def as_tables(summary: pd.DataFrame, text: str = "shown") -> dict[str, pd.DataFrame]:
    """One table per dataset of ``summary``: methods by metrics, each cell the column ``text``."""
    tables = {}
    for dataset, rows in summary.groupby("dataset", sort=False):
        methods, columns = list(dict.fromkeys(rows["method"])), list(dict.fromkeys(rows["column"]))
        table = rows.pivot(index="method", columns="column", values=text).reindex(index=methods, columns=columns)
        tables[str(dataset)] = table.fillna(NO_VALUE).rename_axis(columns=None)
    return tables


def titles(frame: pd.DataFrame) -> pd.Series[str]:
    """The metrics of ``frame`` as tables name them, by its columns ``metric``, ``unit`` and ``direction``."""
    units = [f" [{unit}]" if unit else "" for unit in frame["unit"]]
    return frame["metric"] + units + frame["direction"].map(_ARROWS)


def p_value(p: float) -> str:
    """Two digits of a p-value; – for none."""
    return "–" if math.isnan(p) else "≤0.0001" if p < 1e-4 else f"{p:.2g}"


def number(mean: float, half_width: float | None = None) -> str:
    """Four significant digits of a mean, and as many decimals of what stands behind ±.

    >>> number(24.938, 0.08), number(3e-9), number(1e30), number(float("inf"))
    ('24.94 ± 0.08', '3.000e-09', '1.000e+30', 'inf')
    """
    if not math.isfinite(mean):
        return str(mean)
    magnitude = math.floor(math.log10(abs(mean))) if mean else 0
    decimals = max(0, 3 - magnitude)
    known = half_width is not None and not math.isnan(half_width)
    if decimals > 6 or magnitude > 9:
        return f"{mean:.3e} ± {half_width:.1e}" if known else f"{mean:.3e}"
    return f"{mean:.{decimals}f} ± {half_width:.{decimals}f}" if known else f"{mean:.{decimals}f}"
