"""``ranks``: a diagram of mean ranks over datasets, in which methods that are not far enough apart are joined.

Source: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets (2006), section 3.2.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from benchsuite.kit.text import plural
from benchsuite.results.figures.material import Missing
from benchsuite.results.figures.page import COLOURS, LINE, MARGIN, WIDTH, Page, new_canvas, width_of, wrapped
from benchsuite.results.gallery.stock import MOST_LINES, Drawing, tell_left_out

_TOP = 66  # pixels above the axis, for the critical difference and the numbers
_LEVEL = 8  # pixels from one thick line to the next
_ROW = 2 * LINE + 6  # pixels of a label
_WIDEST = 230  # pixels of a label


def diagram(ranks: pd.DataFrame) -> Drawing | None:
    """The mean ranks of one metric, whose rows of Report's ``ranks`` these are; None where there is nothing to rank."""
    missing = Missing()
    ordered = ranks[ranks["rank"].notna()].sort_values("rank", kind="stable")
    if len(ordered) < 2:
        return None
    best = [str(method) for method in ordered["method"][:MOST_LINES]]
    tell_left_out([str(method) for method in ordered["method"][MOST_LINES:]], MOST_LINES, missing)
    places = [float(rank) for rank in ordered["rank"][: len(best)]]
    first = ordered.iloc[0]
    difference = float(first["critical_difference"])
    groups = alike(places, difference)
    levels = _levels(groups)
    deep = _TOP + _LEVEL * (max(levels, default=-1) + 1) + MARGIN
    half = -(-len(best) // 2)
    height = deep + _ROW * half + MARGIN
    canvas = new_canvas(height, laid_out=False)
    side = min(_WIDEST, max(width_of(line) for one in best for line in wrapped(one, _WIDEST, lines=2).split("\n")))
    axes = canvas.add_axes((0, 0, 1, 1))
    axes.axis("off")
    last = max(math.ceil(max(places)), 2)
    left, right = MARGIN + side + 30, WIDTH - MARGIN - side - 30
    scale = (right - left) / (last - 1)
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    xs = [left + (place - 1) * scale for place in places]
    _draw_axis(axes, last, left, right)
    if math.isfinite(difference):
        _draw_difference(axes, difference, left, min(left + difference * scale, WIDTH - MARGIN))
    for (start, end), level in zip(groups, levels, strict=True):
        y = _TOP + 10 + _LEVEL * level
        axes.plot([xs[start] - 4, xs[end] + 4], [y, y], color="black", linewidth=4, solid_capstyle="butt")
    for number, (method, x) in enumerate(zip(best, xs, strict=True)):
        on_left = number < half
        row = number if on_left else len(best) - 1 - number
        _draw_method(axes, f"{method}", places[number], x, deep + _ROW * row + _ROW / 2, left if on_left else right)
    return Drawing(Page(canvas, _caption(first, bool(groups))), missing)


def alike(places: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """The largest groups of ``places``, which rise, that lie within ``difference``: the first and the last of each.

    >>> alike([1.0, 1.5, 2.2, 4.0], 1.0)
    [(0, 1), (1, 2)]
    """
    groups: list[tuple[int, int]] = []
    for start in range(len(places)):
        end = max(i for i in range(start, len(places)) if i == start or places[i] - places[start] <= difference)
        if end > start and not (groups and groups[-1][1] >= end):
            groups.append((start, end))
    return groups


def _levels(groups: Sequence[tuple[int, int]]) -> list[int]:
    """A line for each group, the highest where it touches no other; groups start one after another."""
    ends: list[int] = []
    levels = []
    for start, end in groups:
        level = next((i for i, taken in enumerate(ends) if taken < start), len(ends))
        ends[level : level + 1] = [end]
        levels.append(level)
    return levels


def _draw_axis(axes: Axes, last: int, left: float, right: float) -> None:
    axes.plot([left, right], [_TOP, _TOP], color="black", linewidth=1.2)
    near = 0.04 * (last - 1)  # of an end, whose number would stand in the way
    ticks = [tick for tick in MaxNLocator(12, integer=True).tick_values(1, last) if 1 + near < tick < last - near]
    for tick in (1, *ticks, last):
        x = left + (tick - 1) * (right - left) / (last - 1)
        axes.plot([x, x], [_TOP - 6, _TOP], color="black", linewidth=1.2)
        axes.text(x, _TOP - 9, f"{tick:g}", ha="center", va="bottom")


def _draw_difference(axes: Axes, difference: float, left: float, right: float) -> None:
    y = _TOP - 38
    axes.plot([left, right], [y, y], color="black", linewidth=1.2)
    for x in (left, right):
        axes.plot([x, x], [y - 4, y + 4], color="black", linewidth=1.2)
    axes.text(left, y - 7, f"critical difference {difference:.2f}", ha="left", va="bottom")


def _draw_method(axes: Axes, method: str, place: float, x: float, y: float, end: float) -> None:
    """A line from the axis down and out to the label; the rank stands above its end."""
    outwards = -1 if end <= x else 1
    axes.plot([x, x, end + outwards * 22], [_TOP, y, y], color=COLOURS[0], linewidth=0.9)
    axes.plot([x], [_TOP], color=COLOURS[0], marker="o", markersize=5)
    text, sides = wrapped(method, _WIDEST, lines=2), ("left", "right")
    axes.text(end + outwards * 26, y, text, ha=sides[outwards < 0], va="center", linespacing=1.0)
    axes.text(end + outwards * 20, y - 2, f"{place:.2f}", ha=sides[outwards > 0], va="bottom", color="#444444")


def _caption(row: pd.Series, joined: bool) -> str:
    difference, p = float(row["critical_difference"]), float(row["p"])
    parts = [f"Mean ranks over {plural(int(row['datasets']), 'dataset')}, 1 being the best"]
    if math.isfinite(difference):
        lines = "thick lines join" if joined else "there are no"
        parts.append(f"{lines} methods that are not further apart than the critical difference, {difference:.2f}")
    if math.isfinite(p):
        parts.append(f"Friedman's test of whether methods differ at all: p = {p:.2g}")
    return "; ".join(parts) + "."
