"""``pareto``: scores against seconds of training, and which methods none is both faster and better than."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from benchsuite.results.figures.material import Missing
from benchsuite.results.figures.page import (
    MARKERS,
    Page,
    legend_below,
    style,
)
from benchsuite.results.gallery.panels import grid, stretch
from benchsuite.results.gallery.stock import MOST_LINES, Drawing, Kept, Stock, listed, over_seeds, short
from benchsuite.results.phases import mean_seconds

_MOST_PANELS = 6
_BETTER = {"max": "higher is better", "min": "lower is better"}


def pareto(stock: Stock, summary: pd.DataFrame) -> Drawing | None:
    """Small panels of the first metrics with a direction, a point for each method, the front joined by steps."""
    missing = Missing()
    cells, alone = _comparable(stock, missing)
    seconds = {method: mean_seconds([kept.record for kept in of_method])["fit"] for method, of_method in cells.items()}
    shown = _scores(summary[summary["dataset"] == stock.dataset], seconds, missing)
    if len(seconds) < 2 or not shown:
        return None
    canvas, axes = grid(list(shown), 290, "training [s]")
    for panel, scores in zip(axes, shown.values(), strict=True):
        _draw(panel, scores, seconds, stock.places, hollow=not alone)
    legend_below(canvas)
    bars = ", with intervals where seeds give one" if _have_intervals(shown.values()) else ""
    front = "a dashed line joins those that no other is both faster and better than"
    beside = (
        "" if alone else " They are hollow, since no cell ran alone: times are those of what ran beside them as well."
    )
    caption = f"Points are mean scores{bars}, and mean times over {over_seeds(cells.values())}; {front}.{beside}"
    return Drawing(Page(canvas, caption), missing)


def _comparable(stock: Stock, missing: Missing) -> tuple[dict[str, list[Kept]], bool]:
    """The cells whose times can be compared, by method, and whether they ran alone; why others are not is told."""
    contest = {m: cells for m, cells in stock.methods.items() if not any(kept.record.reference for kept in cells)}
    references = [method for method in stock.methods if method not in contest]
    if references:
        missing.add(listed(references), "training data by design, no contestant")
    finished = Stock(stock.dataset, contest, stock.places).finished(MOST_LINES, missing)
    timed = {
        method: [kept for kept in cells if any(phase.phase == "fit" for phase in kept.record.phases)]
        for method, cells in finished.items()
    }
    alone = any(not kept.record.contended for cells in timed.values() for kept in cells)
    quiet = [kept.record for cells in timed.values() for kept in cells if not (alone and kept.record.contended)]
    commonest = Counter(record.environment for record in quiet).most_common(1)
    chosen = {
        method: [k for k in cells if _is_alike(k, commonest[0][0], alone)] for method, cells in timed.items() if cells
    }
    for method, cells in chosen.items():
        if not cells:
            missing.add(short(method), "timed on another machine than most, or beside other cells, only")
    return {method: cells for method, cells in chosen.items() if cells}, alone


def _is_alike(kept: Kept, environment: str, alone: bool) -> bool:
    return kept.record.environment == environment and not (alone and kept.record.contended)


def _scores(rows: pd.DataFrame, seconds: Mapping[str, float], missing: Missing) -> dict[str, pd.DataFrame]:
    """The rows to draw of the first metrics, by their titles."""
    directed = rows[rows["direction"].isin(list(_BETTER)) & rows["method"].isin(list(seconds))]
    known = directed[np.isfinite(directed["mean"].astype(float))]
    copies = known[~known["contends"].astype(bool)]
    if len(copies):
        missing.add(listed(list(dict.fromkeys(copies["method"]))), "copies of training data, no contestants")
    panels = {str(title): found for title, found in known[known["contends"].astype(bool)].groupby("column", sort=False)}
    titles = list(panels)
    if len(titles) > _MOST_PANELS:
        missing.add(listed(titles[_MOST_PANELS:]), f"left out, the first {_MOST_PANELS} metrics are shown")
    return {title: panels[title] for title in titles[:_MOST_PANELS]}


def _draw(
    axes: Axes, scores: pd.DataFrame, seconds: Mapping[str, float], places: Mapping[str, int], hollow: bool
) -> None:
    direction = str(scores["direction"].iloc[0])
    x = np.array([seconds[method] for method in scores["method"]])
    y, low, high = (scores[column].to_numpy(dtype=float) for column in ("mean", "low", "high"))
    low, high = np.where(np.isfinite(low), low, y), np.where(np.isfinite(high), high, y)
    front = on_front(x, y if direction == "min" else -y)
    if len(front) > 1:
        axes.step(x[front], y[front], where="post", color="#444444", linestyle="--", linewidth=1.0, zorder=2)
    for number, method in enumerate(scores["method"]):
        look = style(places[method])
        again = places[method] >= len(MARKERS)  # a marker that was used already comes back hollow
        face = "white" if hollow or again else look.colour
        mark: dict[str, Any] = {"markerfacecolor": face, "markeredgecolor": look.colour, "linestyle": "none"}
        axes.plot([x[number]], [y[number]], marker=look.marker, markersize=7, label=method, zorder=3, **mark)
    colours = [style(places[method]).colour for method in scores["method"]]
    axes.vlines(x, low, high, colors=colours, linewidth=1.2, zorder=2.5)
    stretch(axes.xaxis, x.min(), x.max())
    stretch(axes.yaxis, low.min(), high.max())
    axes.set_ylabel(_BETTER[direction])


def on_front(cost: np.ndarray, loss: np.ndarray) -> list[int]:
    """The points that no other beats in one and equals or beats in the other, by rising ``cost``; less is better.

    >>> on_front(np.array([1.0, 2.0, 3.0]), np.array([5.0, 6.0, 1.0]))
    [0, 2]
    """
    front: list[int] = []
    for place in np.lexsort((loss, cost)):
        if not front or loss[place] < loss[front[-1]]:
            front.append(int(place))
    return front


def _have_intervals(panels: Iterable[pd.DataFrame]) -> bool:
    return any(bool((rows["high"] > rows["low"]).any()) for rows in panels)
