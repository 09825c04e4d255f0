"""``points`` and ``contours``: what lies in a plane, such as two-dimensional codes and densities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as Canvas
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter

from benchsuite.kit.text import plural
from benchsuite.results.figures.material import Array, Material
from benchsuite.results.figures.page import (
    CLASS_COLOURS,
    COLOURS,
    LINE,
    MARGIN,
    WIDTH,
    Page,
    columns_for,
    grow,
    legend_below,
    new_canvas,
    panel_axes,
    wrapped,
)

MOST_CLASSES = 30
_LEVELS, _LEVELS_BELOW_POINTS = 8, 5


@dataclass(frozen=True)
class _Panel:
    """What is drawn on one pair of axes: points or a density, with what belongs to it."""

    title: str
    arrays: dict[str, Array]
    name: str


def points(material: Material) -> Page | None:
    """Points in a plane, a panel for each method and array; classes by colour and by their own numbers as marks."""
    label = material.options.get("labels")
    found = _panels(material, material.options["points"], [label] if label else [])
    panels = [panel for panel in found if _is_plane(panel, material)]
    if not panels:
        return None
    canvas, axes = _canvas_of(panels, len(material.options["points"]), material)
    classes = _classes(panels, label, material)
    count = 0
    for one, panel in zip(axes, panels, strict=True):
        places = panel.arrays[panel.name]
        finite = np.asarray(np.isfinite(places).all(1))
        if not finite.all():
            material.missing.add(panel.title, f"{int((~finite).sum())} of {len(places)} points are not finite")
        count = max(count, int(finite.sum()))
        if not finite.any():
            continue
        size = 40.0 if finite.sum() <= 400 else 30.0
        if not classes:
            one.scatter(places[finite, 0], places[finite, 1], s=size / 2, c=COLOURS[0], linewidths=0, alpha=0.6)
        else:
            draw_classes(one, places, finite, panel.arrays[str(label)], classes, size)
        one.set_aspect("equal", adjustable="datalim")
    if classes:
        legend_below(canvas, enlarged=1.8)
    marks = "; colours and marks are classes" if classes else ""
    return Page(
        canvas, f"Seed {material.seeds[0]}; {'' if len(panels) == 1 else 'up to '}{plural(count, 'point')}{marks}."
    )


def _is_plane(panel: _Panel, material: Material) -> bool:
    shape = panel.arrays[panel.name].shape
    fits = len(shape) == 2 and shape[1] == 2 and shape[0] > 0
    if not fits:
        material.missing.add(panel.title, f"points are (n, 2); '{panel.name}' is {shape}")
    return fits


def _classes(panels: Sequence[_Panel], label: str | None, material: Material) -> list[float]:
    """The labels of all points in order; none where points have none that can be told apart."""
    if label is None:
        return []
    for panel in panels:
        if panel.arrays[label].shape != (len(panel.arrays[panel.name]),):
            why = (
                f"'{label}' is {panel.arrays[label].shape}, not one for each of {len(panel.arrays[panel.name])} points"
            )
            material.missing.add(f"classes of {panel.title}", why)
            return []
    found = np.unique(np.concatenate([panel.arrays[label] for panel in panels]))
    if not np.isfinite(found).all() or len(found) > MOST_CLASSES:
        why = f"'{label}' has {len(found)} values; at most {MOST_CLASSES} finite ones can be told apart"
        material.missing.add("classes", why)
        return []
    return [float(one) for one in found]


def draw_classes(
    axes: Axes, places: Array, finite: Array, labels: Array, classes: Sequence[float], size: float
) -> None:
    """The ``places`` (n, 2) that are ``finite`` on ``axes``, in the colour of their class and marked by its number."""
    for number, one in enumerate(classes):
        chosen = places[finite & (labels == one)]
        if len(chosen):
            colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
            look: Any = {"s": size, "c": colour, "marker": _mark(f"{one:g}"), "linewidths": 0}
            axes.scatter(chosen[:, 0], chosen[:, 1], label=f"class {one:g}", **look)


def _mark(text: str) -> Outline:
    """``text`` as a mark around its middle; matplotlib's own such marks go through its language of formulas."""
    outline = TextPath((0, 0), text, size=10)
    low, high = outline.vertices.min(0), outline.vertices.max(0)
    return Outline(np.asarray(outline.vertices) - (low + high) / 2, outline.codes)


def contours(material: Material) -> Page | None:
    """Lines of equal density over a grid, the same levels on every panel, with points where there are any."""
    options = material.options
    extra = [options[key] for key in ("x", "y", "samples") if key in options]
    panels = [panel for panel in _panels(material, options["density"], extra) if _is_density(panel, material)]
    highest = max((float(np.nanmax(_finite(panel.arrays[panel.name]))) for panel in panels), default=0.0)
    if not highest > 0:
        if panels:
            material.missing.add("", "no density is above 0")
        return None
    canvas, axes = _canvas_of(panels, len(options["density"]), material)
    count = _LEVELS_BELOW_POINTS if "samples" in options else _LEVELS
    levels = highest * np.arange(1, count + 1) / (count + 1)
    dark = ListedColormap(colormaps["cividis_r"](np.linspace(0.2, 1, 256)))
    lines, shown = None, 0
    for one, panel in zip(axes, panels, strict=True):
        x, y, density = (panel.arrays[name] for name in (options["x"], options["y"], panel.name))
        if "samples" in options:
            shown = max(shown, _draw_samples(one, panel, options["samples"], (x, y), material))
        grid = np.ma.masked_invalid(density)
        lines = one.contour(x, y, grid, levels=levels, cmap=dark, vmin=levels[0], vmax=levels[-1], linewidths=1.3)
        one.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
        one.set_aspect("equal", adjustable="box")
        one.grid(visible=False)
    bar = canvas.colorbar(lines, ax=axes, label="density", shrink=0.8, aspect=30, format=FuncFormatter(_number))  # type: ignore[arg-type]
    bar.lines[0].set_linewidth(4)
    several = len(panels) > 1
    same, up_to = (", the same on every panel", "up to ") if several else ("", "")
    with_points = f"; {up_to}{plural(shown, 'point')}" if shown else ""
    return Page(canvas, f"Seed {material.seeds[0]}; lines of equal density{same}{with_points}.")


def _number(value: float, _: int | None) -> str:
    return f"{value:.3g}"


def _finite(density: Array) -> Array:
    return np.where(np.isfinite(density), density, 0.0)


def _is_density(panel: _Panel, material: Material) -> bool:
    x, y, density = (panel.arrays[name] for name in (material.options["x"], material.options["y"], panel.name))
    if x.ndim != 1 or y.ndim != 1 or density.shape != (len(y), len(x)) or min(len(x), len(y)) < 2:
        why = f"'{panel.name}' is {density.shape}, not (y, x) of grids {y.shape} and {x.shape} of at least 2"
        material.missing.add(panel.title, why)
        return False
    if not all(np.isfinite(grid).all() and (np.diff(grid) > 0).all() for grid in (x, y)):
        material.missing.add(panel.title, "the grids do not go up")
        return False
    missing = int((~np.isfinite(density)).sum())
    if missing:
        material.missing.add(panel.title, f"the density is not finite at {missing} of {density.size} places")
    return missing < density.size


def _draw_samples(axes: Axes, panel: _Panel, name: str, grids: tuple[Array, Array], material: Material) -> int:
    """Draw the points of a panel and return how many there are on it; those outside are told."""
    places = panel.arrays[name]
    if places.ndim != 2 or places.shape[1] != 2:
        material.missing.add(panel.title, f"points are (n, 2); '{name}' is {places.shape}")
        return 0
    inside = np.ones(len(places), dtype=bool)
    for column, grid in enumerate(grids):
        inside &= (places[:, column] >= grid.min()) & (places[:, column] <= grid.max())  # False for NaN
    if not inside.all():
        material.missing.add(panel.title, f"{int((~inside).sum())} of {len(places)} points lie outside of the grid")
    axes.scatter(places[inside, 0], places[inside, 1], s=6, c=COLOURS[1], linewidths=0, alpha=0.7, zorder=3)
    return int(inside.sum())


def _panels(material: Material, names: Sequence[str], extra: Sequence[str]) -> Iterator[_Panel]:
    for method in material.methods:
        record = material.first_record(method)
        arrays = material.arrays(record, *names, *extra) if record is not None else {}
        for name in names:
            if name in arrays and all(other in arrays for other in extra):
                yield _Panel(f"{method}: {name}" if len(names) > 1 else method, arrays, name)


def _canvas_of(panels: Sequence[_Panel], names: int, material: Material) -> tuple[Canvas, list[Axes]]:
    """A canvas with axes for ``panels``; those of one method stand side by side."""
    columns = columns_for(len(panels))
    if names > 1:
        columns = min(names, 4) * max(1, 4 // names if len(panels) > 8 else 1)
    rows = -(-len(panels) // columns)
    across = (WIDTH - 2 * MARGIN) / columns
    canvas = new_canvas(round(rows * min(across, 560)) + 60)
    lone = len(material.methods) == names == 1  # whose title would only name the method
    axes = panel_axes(canvas, ["" if lone else panel.title for panel in panels], columns)
    grow(canvas, rows * LINE * max(one.get_title().count("\n") for one in axes))
    x, y = (material.options.get(key, text) for key, text in (("xlabel", "coordinate 1"), ("ylabel", "coordinate 2")))
    for number, one in enumerate(axes):
        if number + columns >= len(axes):  # nothing stands below it
            one.set_xlabel(wrapped(x, 0.8 * across))
        if number % columns == 0:
            one.set_ylabel(wrapped(y, 0.8 * across))
    return canvas, axes
