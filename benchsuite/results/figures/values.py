"""``bars``, ``lines`` and ``scatter``: scores of methods, over seeds or one by one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from benchsuite.kit.text import plural
from benchsuite.results.expressions import parse_expression, series
from benchsuite.results.figures.material import Material, with_unit
from benchsuite.results.figures.page import (
    LINE,
    MARKERS,
    WIDTH,
    Page,
    Style,
    inert,
    legend_below,
    logarithmic,
    new_canvas,
    style,
    whole_ticks,
    width_of,
    wrapped,
)
from benchsuite.results.scores import NO_RECORD
from benchsuite.results.statistics import MIN_SEEDS, summarise

_AXIS = 90  # pixels, about, that a vertical axis takes with its numbers
_MOST_TURNED = 220  # pixels of a label that stands upright
_CELL_FIELDS = ("latent_dim", "subset", "samples")  # that a run gives all methods which do not say otherwise


@dataclass(frozen=True)
class _Point:
    """The mean of ``n`` seeds and how far to draw an error bar, 0 where there are too few for one."""

    mean: float
    error: float
    n: int


_Line = dict[Any, tuple[str, _Point | None]]  # by x: the method that stands there, and its scores


def _point(values: Iterable[float], error: str) -> _Point:
    summary = summarise(list(values))
    half = summary.half_width if error == "interval" else (summary.sd or 0.0) / math.sqrt(summary.n)
    return _Point(summary.mean, half or 0.0, summary.n)


def bars(material: Material) -> Page | None:
    """Bars for each method, those of several metrics side by side; metrics of another unit on axes of their own.

    On a logarithmic axis, where the length of a bar means nothing, points take their place.
    """
    options, error = material.options, material.options.get("error", "interval")
    log = bool(options.get("logy"))
    found: dict[str, dict[str, _Point]] = {}
    for metric in options["values"]:
        by_method = {method: material.values(metric, method) for method in material.methods}
        points = {method: _point(values.values(), error) for method, values in by_method.items() if values}
        found[metric] = _without_impossible(points, log, metric, material)
    found = {metric: points for metric, points in found.items() if points}
    methods = [method for method in material.methods if any(method in points for points in found.values())]
    if not methods:
        return None
    groups: dict[str, list[str]] = {}
    for metric in found:
        groups.setdefault(material.unit(metric), []).append(metric)
    turned = max(width_of(inert(method)) for method in methods) > 2 * (WIDTH - _AXIS) / len(methods)
    canvas = new_canvas(320 * len(groups) + (_MOST_TURNED if turned else 40))
    order = list(found)
    for number, (unit, metrics) in enumerate(groups.items()):
        axes = canvas.add_subplot(len(groups), 1, number + 1)
        if log:
            logarithmic(axes.yaxis)
        _draw_bars(axes, methods, {metric: found[metric] for metric in metrics}, order, log)
        axes.set_ylabel(_fitting(options.get("ylabel") or with_unit(", ".join(metrics), unit), 300))
        _name_methods(axes, methods, turned, number == len(groups) - 1)
    if len(groups) == 1:
        references(canvas.axes[0], material)
    elif options.get("reference"):
        material.missing.add("reference", "left out, since the values have several units")
    canvas.axes[-1].set_xlabel(wrapped(options.get("xlabel", ""), WIDTH - _AXIS))
    if len(order) > 1 or (len(groups) == 1 and options.get("reference")):
        legend_below(canvas)
    drawn = [point for points in found.values() for point in points.values()]
    below = log and any(0 < point.mean <= point.error for point in drawn)
    note = " An interval without a lower end reaches 0 or less." if below else ""
    return Page(canvas, _over_seeds(drawn, error, "point" if log else "bar") + note)


def _without_impossible(points: Mapping[str, _Point], log: bool, metric: str, material: Material) -> dict[str, _Point]:
    for method, point in points.items():
        if log and point.mean <= 0:
            material.missing.add(f"{metric} of {method}", "not above 0, as a logarithmic axis needs it")
    return {method: point for method, point in points.items() if not log or point.mean > 0}


def _draw_bars(
    axes: Axes, methods: Sequence[str], found: Mapping[str, Mapping[str, _Point]], order: Sequence[str], log: bool
) -> None:
    width = 0.8 / len(found)
    for number, (metric, points) in enumerate(found.items()):
        look = style(order.index(metric))
        places = [methods.index(method) - 0.4 + (number + 0.5) * width for method in points]
        heights = [point.mean for point in points.values()]
        label = metric if len(order) > 1 else None
        if log:
            axes.plot(places, heights, color=look.colour, marker=look.marker, linestyle="none", label=label)
        else:
            fill: dict[str, Any] = {"color": look.colour, "hatch": look.hatch, "edgecolor": "white", "linewidth": 0.5}
            axes.bar(places, heights, width, label=label, **fill)
        _error_bars(axes, places, list(points.values()))
    axes.set_xlim(-0.6, len(methods) - 0.4)
    axes.grid(visible=False, axis="x")
    if not log and any(point.mean < point.error for points in found.values() for point in points.values()):
        axes.axhline(0, color="black", linewidth=0.8)


def _error_bars(axes: Axes, places: Sequence[float], points: Sequence[_Point], colour: str = "black") -> None:
    shown = [(place, point) for place, point in zip(places, points, strict=True) if point.error > 0]
    if shown:
        x, means, errors = zip(*[(place, point.mean, point.error) for place, point in shown], strict=True)
        axes.errorbar(x, means, errors, fmt="none", ecolor=colour, elinewidth=1.2, capsize=3, zorder=3)


def _name_methods(axes: Axes, methods: Sequence[str], turned: bool, named: bool) -> None:
    axes.set_xticks(range(len(methods)))
    if not named:
        axes.set_xticklabels([])
    elif turned:
        lines = max(1, int((WIDTH - _AXIS) / len(methods) / LINE))
        axes.set_xticklabels([wrapped(method, _MOST_TURNED, lines=lines) for method in methods], rotation=90)
    else:
        axes.set_xticklabels([wrapped(method, (WIDTH - _AXIS) / len(methods) - 6, lines=3) for method in methods])


def lines(material: Material) -> Page | None:
    """Scores against a parameter of the methods, a line for each metric and each value of another parameter."""
    options, error = material.options, material.options.get("error", "interval")
    log = bool(options.get("logy"))
    by_line: dict[str, _Line] = {}
    for metric in options["y"]:
        for method in material.methods:
            place, group = _parameters(material, method)
            if place is None:
                continue
            values = material.values(metric, method)
            points = {method: _point(values.values(), error)} if values else {}
            possible = _without_impossible(points, log, metric, material)
            name = ", ".join(text for text in ((metric if len(options["y"]) > 1 else ""), group) if text)
            line = by_line.setdefault(name, {})
            if place in line:
                why = f"{line[place][0]} has the same {options['x']}, {place}; tell them apart by methods or group"
                material.missing.add(method, why)
            else:
                line[place] = (method, possible.get(method))
    if not any(point for line in by_line.values() for _, point in line.values()):
        return None
    canvas = new_canvas(440)
    axes = canvas.add_subplot()
    order = _axis_of([place for line in by_line.values() for place in line], options.get("logx", False), material)
    drawn = [_draw_line(axes, name, line, order, style(n)) for n, (name, line) in enumerate(by_line.items())]
    if isinstance(order, list):
        axes.set_xticks(range(len(order)), [wrapped(_said(one), (WIDTH - _AXIS) / len(order) - 6) for one in order])
        axes.set_xlim(-0.5, len(order) - 0.5)
    elif options.get("logx"):
        logarithmic(axes.xaxis)
    elif all(isinstance(place, int) for line in by_line.values() for place in line):
        whole_ticks(axes.xaxis)
    if log:
        logarithmic(axes.yaxis)
    references(axes, material)
    axes.set_xlabel(wrapped(options.get("xlabel", options["x"]), WIDTH - _AXIS))
    units = dict.fromkeys(material.unit(metric) for metric in options["y"])
    same = next(iter(units)) if len(units) == 1 else ""
    named = (
        ", ".join(map(material.titled, options["y"])) if len(units) > 1 else with_unit(", ".join(options["y"]), same)
    )
    axes.set_ylabel(_fitting(options.get("ylabel") or named, 400))
    if list(by_line) != [""] or options.get("reference"):
        legend_below(canvas)
    return Page(canvas, _over_seeds([point for points in drawn for point in points], error, "point"))


def _parameters(material: Material, method: str) -> tuple[Any, str]:
    """The parameters of ``method``: x as it is, or None where one is missing, and group as it names a line."""
    cell = next((record.cell for (label, _), record in material.records.items() if label == method), None)
    if cell is None:
        material.missing.add(method, NO_RECORD)
        return None, ""
    found = []
    for key in ("x", "group"):
        name = material.options.get(key)
        value = cell.params.get(name) if name is not None else None
        if name in _CELL_FIELDS and value is None:
            value = getattr(cell, name)
        if name is not None and name not in cell.params and name not in _CELL_FIELDS:
            material.missing.add(method, f"it has no parameter '{name}'")
            return None, ""
        found.append(value)
    place = tuple(found[0]) if isinstance(found[0], list) else "none" if found[0] is None else found[0]
    group = material.options.get("group")
    return place, f"{group} = {_said(found[1])}" if group else ""


def _axis_of(places: Sequence[Any], log: bool, material: Material) -> list[Any] | None:
    """The categories of an axis in order; None for one of numbers."""
    numbers = [isinstance(place, int | float) and not isinstance(place, bool) for place in places]
    if all(numbers) and all(math.isfinite(place) for place in places):
        if not log or all(place > 0 for place in places):
            return None
        material.missing.add("logx", "left out, since not every value is above 0")
        return sorted(set(places))
    return list(dict.fromkeys(places))


def _draw_line(axes: Axes, name: str, line: _Line, order: list[Any] | None, look: Style) -> list[_Point]:
    """The points of ``line`` in order of x, joined where none between them is missing."""
    placed = {(order.index(place) if order is not None else place): point for place, (_, point) in line.items()}
    found = [(x, placed[x]) for x in sorted(placed)]
    means = [point.mean if point else math.nan for _, point in found]
    label = name or None
    axes.plot([x for x, _ in found], means, color=look.colour, linestyle=look.line, marker=look.marker, label=label)
    shown = [(x, point) for x, point in found if point is not None]
    _error_bars(axes, [x for x, _ in shown], [point for _, point in shown], look.colour)
    return [point for _, point in shown]


def scatter(material: Material) -> Page | None:
    """One metric against another, a point for each method and seed."""
    options = material.options
    canvas = new_canvas(520)
    axes, shown = canvas.add_subplot(), 0
    seeds: set[int] = set()
    for number, method in enumerate(material.methods):
        x, y = (material.values(options[key], method) for key in ("x", "y"))
        places = [(x[seed], y[seed], seed) for seed in x if seed in y]
        kept = [p for p in places if (p[0] > 0 or not options.get("logx")) and (p[1] > 0 or not options.get("logy"))]
        if len(kept) < len(places):
            material.missing.add(method, "not above 0, as a logarithmic axis needs it")
        if kept:
            look, hollow = style(number), number >= len(MARKERS)  # a marker that was used already comes back hollow
            fill: dict[str, Any] = {"c": look.colour, "edgecolors": "white", "linewidths": 0.4}
            if hollow:
                fill = {"c": "white", "edgecolors": look.colour, "linewidths": 1.6}
            across, up = [p[0] for p in kept], [p[1] for p in kept]
            axes.scatter(across, up, s=55, marker=look.marker, label=method, zorder=3, **fill)
            shown, seeds = shown + len(kept), seeds | {p[2] for p in kept}
    if not shown:
        return None
    for key, axis in (("logx", axes.xaxis), ("logy", axes.yaxis)):
        if options.get(key):
            logarithmic(axis)
    axes.set_xlabel(wrapped(options.get("xlabel") or material.titled(options["x"]), WIDTH - _AXIS))
    axes.set_ylabel(_fitting(options.get("ylabel") or material.titled(options["y"]), 480))
    legend_below(canvas)
    return Page(canvas, f"A point for each method and seed, {plural(len(seeds), 'seed')}.")


def references(axes: Axes, material: Material) -> None:
    """A labelled dashed line at the mean over seeds of each of the expressions of ``reference``."""
    for number, text in enumerate(material.options.get("reference", ())):
        found = series(parse_expression(text), material.scores, material.dataset)
        values = [value for seed, value in found.values.items() if seed in material.seeds and np.isfinite(value)]
        if values:
            dashes: tuple[int, tuple[int, int]] = (0, (6 - 2 * min(number, 2), 2))
            axes.axhline(sum(values) / len(values), color="black", linestyle=dashes, linewidth=1.2, label=text)
        else:
            material.missing.add(text, found.why_missing or "its value is not finite")


def _over_seeds(points: Sequence[_Point], error: str, thing: str) -> str:
    """What a point is, and what its error bar."""
    counts = sorted({point.n for point in points})
    over = plural(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    if counts == [1]:
        return f"Each {thing} is one seed."
    least = 2 if error == "standard_error" else MIN_SEEDS
    what = "one standard error" if error == "standard_error" else "95% interval"
    if counts[-1] < least:
        return f"Mean over {over}; an interval needs {least}."
    return f"Mean and {what} over {over}" + (f" (from {least} seeds up)." if counts[0] < least else ".")


def _fitting(text: str, pixels: float) -> str:
    return wrapped(text, pixels, lines=3)


def _said(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
