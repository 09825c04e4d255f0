"""``curves``: what methods put on their learning curves, the mean over seeds with the range as a band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from benchsuite.results.figures.material import Missing
from benchsuite.results.figures.page import (
    Page,
    inert,
    legend_below,
    style,
    whole_ticks,
)
from benchsuite.results.gallery.panels import grid, stretch
from benchsuite.results.gallery.stock import (
    MOST_LINES,
    MOST_PANELS,
    Drawing,
    Kept,
    Stock,
    listed,
    over_seeds,
    short,
)

_MOST_POINTS = 500  # of a line
_MARKS = 6  # on a line

_Curve = tuple[str, str]  # its name, and the stage of training
_Lines = dict[str, pd.DataFrame]  # by method: ``mean``, ``low`` and ``high`` by step


def curves(stock: Stock) -> Drawing | None:
    """A panel for each name on a learning curve and each stage, a line for each method."""
    missing = Missing()
    finished = stock.finished(MOST_LINES, missing)
    panels: dict[_Curve, _Lines] = {}
    for method, cells in finished.items():
        for curve, seeds in _read(method, cells, missing).items():
            panels.setdefault(curve, {})[method] = _over_seeds(method, curve, seeds, missing)
    if not panels:
        return None
    shown = list(panels)[:MOST_PANELS]
    if len(panels) > len(shown):
        missing.add(listed([_title(one, panels) for one in list(panels)[MOST_PANELS:]]), "left out, too many curves")
    canvas, axes = grid([_title(one, panels) for one in shown], 270, "step")
    for panel, curve in zip(axes, shown, strict=True):
        _draw(panel, panels[curve], stock.places)
    legend_below(canvas)
    drawn = dict.fromkeys(method for one in shown for method in panels[one])
    banded = any(bool((line["high"] > line["low"]).any()) for one in shown for line in panels[one].values())
    band = ", with their range as a band" if banded else ""
    return Drawing(Page(canvas, f"Means over {over_seeds([finished[m] for m in drawn])}{band}."), missing)


def _title(curve: _Curve, among: Mapping[_Curve, Any]) -> str:
    name, stage = curve
    several = len({other for same, other in among if same == name}) > 1
    return f"{name} ({stage or 'no stage'})" if several else name


def _read(method: str, cells: Sequence[Kept], missing: Missing) -> dict[_Curve, list[pd.Series]]:
    """The curves of each seed, as values by step."""
    found: dict[_Curve, list[pd.Series]] = {}
    for kept in cells:
        path = kept.folder / "curve.csv"
        try:
            rows = pd.read_csv(
                path, dtype={"stage": str, "name": str}, keep_default_na=False, na_values={"value": ["nan"]}
            )
            rows = rows.assign(value=pd.to_numeric(rows["value"]), step=pd.to_numeric(rows["step"]))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError) as error:
            missing.add(short(method), f"curve.csv cannot be read: {inert(str(error))}", kept.record.cell.seed)
            continue
        for (name, stage), part in rows.groupby(["name", "stage"], sort=False):
            values = part.groupby("step")["value"].mean()  # which rises by step
            found.setdefault((inert(str(name)), inert(str(stage))), []).append(values)
    return found


def _over_seeds(method: str, curve: _Curve, seeds: Sequence[pd.Series], missing: Missing) -> pd.DataFrame:
    """Mean and range at the steps that all ``seeds`` have, thinned."""
    together = pd.concat(seeds, axis=1, join="inner")
    if together.empty:
        missing.add(short(method), f"seeds have no step of {curve[0]} in common, the first is shown")
        together = seeds[0].to_frame()
    line = pd.DataFrame({"mean": together.mean(axis=1), "low": together.min(axis=1), "high": together.max(axis=1)})
    line = line.where(np.isfinite(line))
    if len(line) <= _MOST_POINTS:
        return line
    return line.iloc[np.linspace(0, len(line) - 1, _MOST_POINTS).round().astype(int)]


def _draw(axes: Axes, lines: _Lines, places: Mapping[str, int]) -> None:
    for number, (method, line) in enumerate(lines.items()):
        look = style(places[method])
        steps = line.index.to_numpy()
        every = max(1, len(line) // _MARKS)
        axes.plot(
            steps,
            line["mean"],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markevery=(number * every // len(lines), every),
            markersize=5,
            linewidth=1.2,
            label=method,
        )
        if bool((line["high"] > line["low"]).any()):
            axes.fill_between(steps, line["low"], line["high"], color=look.colour, alpha=0.15, linewidth=0)
    low, high = (pd.concat([line[side] for line in lines.values()]) for side in ("low", "high"))
    stretch(axes.yaxis, low.min(), high.max())
    whole_ticks(axes.xaxis)
