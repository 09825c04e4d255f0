"""Small panels in a grid, as several pictures have them."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Canvas

from benchsuite.results.figures.page import columns_for, logarithmic, new_canvas, panel_axes

_MOST_COLUMNS = 3
_ALONE = 380  # pixels, the height of panels in one column
_WIDE = 30  # times the least value, above which an axis is logarithmic


def grid(titles: Sequence[str], height: int, xlabel: str) -> tuple[Canvas, list[Axes]]:
    """A canvas with a panel for each of ``titles``, ``height`` pixels high where several stand side by side.

    Those that have none below them say what x is.
    """
    columns = min(columns_for(len(titles)), _MOST_COLUMNS)
    rows = -(-len(titles) // columns)
    canvas = new_canvas(rows * (_ALONE if columns == 1 else height) + 30)
    axes = panel_axes(canvas, titles, columns)
    for one in axes[-columns:]:
        one.set_xlabel(xlabel)
    return canvas, axes


def stretch(axis: Axis, low: float, high: float) -> None:
    """Make ``axis`` logarithmic where values from ``low`` to ``high`` show more by it."""
    if low > 0 and high > _WIDE * low:
        logarithmic(axis)
