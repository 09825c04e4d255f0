"""``curves`` and ``distribution``: arrays that metrics kept, as lines for each method."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from benchsuite.kit.text import plural
from benchsuite.results.figures.material import Array, Material, with_unit
from benchsuite.results.figures.page import (
    LINES,
    WIDTH,
    Page,
    Style,
    legend_below,
    logarithmic,
    new_canvas,
    style,
    whole_ticks,
    wrapped,
)
from benchsuite.results.figures.values import references

_MARKS = 8  # on a line
_DENSE, _THIN = 2000, 0.6  # points above which a line is so thin that its noise does not fill the page
_FEWEST_BINS, _MOST_BINS = 10, 60


def curves(material: Material) -> Page | None:
    """Arrays against their index or another array: the mean over seeds, and their range as a band."""
    options, names = material.options, material.options["y"]
    canvas = new_canvas(460)
    axes = canvas.add_subplot()
    counts: list[int] = []
    seeds: set[int] = set()
    averaged, banded, whole = False, False, True
    total = len(material.methods) * len(names)
    for number, (method, name) in enumerate((m, n) for m in material.methods for n in names):
        across, found, flattened = _of_seeds(material, method, name)
        averaged |= flattened
        if not found:
            continue
        values = np.stack(list(found.values()))
        whole &= bool((across == np.round(across)).all())
        look = _look(material.methods.index(method), names.index(name), len(material.methods), len(names))
        parts = ((method, len(material.methods) > 1 or len(names) == 1), (name, len(names) > 1))
        label = ", ".join(text for text, told in parts if told)
        with np.errstate(invalid="ignore"):
            middle, low, high = values.mean(0), values.min(0), values.max(0)
        step = max(1, len(across) // _MARKS)
        axes.plot(
            across,
            middle,
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markevery=(number * step // max(1, total) % step, step),
            markersize=5,
            linewidth=_THIN if len(across) > _DENSE else None,
            label=label,
        )
        if len(found) > 1:
            axes.fill_between(across, low, high, color=look.colour, alpha=0.15, linewidth=0)
            banded |= bool((high > low).any())
        counts.append(len(found))
        seeds |= found.keys()
    if not counts:
        return None
    for key, axis in (("logx", axes.xaxis), ("logy", axes.yaxis)):
        if options.get(key):
            logarithmic(axis)
    if whole and not options.get("logx"):
        whole_ticks(axes.xaxis)
    references(axes, material)
    axes.set_xlabel(wrapped(options.get("xlabel") or options.get("x", "index"), 0.9 * WIDTH))
    axes.set_ylabel(wrapped(options.get("ylabel") or ", ".join(names), 400, lines=3))
    if total > 1 or options.get("reference"):
        legend_below(canvas)
    return Page(canvas, _curves_note(counts, banded, averaged, options.get("average", "mean"), seeds))


def _curves_note(counts: Sequence[int], banded: bool, averaged: bool, average: str, seeds: Collection[int]) -> str:
    over = plural(max(counts), "seed") if min(counts) == max(counts) else f"{min(counts)} to {max(counts)} seeds"
    one = f"One seed, {min(seeds)}." if len(seeds) == 1 else "Each line is one seed."
    range_of = "bands are their range" if banded else "they are all the same"
    note = f"Mean over {over}; {range_of}." if max(counts) > 1 else one
    return f"{note} Of each seed the {average} over what was measured." if averaged else note


def _of_seeds(material: Material, method: str, name: str) -> tuple[Array, dict[int, Array], bool]:
    """x, the array of each seed that has one of the same length, and whether rows had to be averaged."""
    across: Array | None = None
    found: dict[int, Array] = {}
    averaged = False
    for seed in material.seeds:
        record = material.record(method, seed)
        wanted = [name] + ([material.options["x"]] if "x" in material.options else [])
        arrays = material.arrays(record, *wanted) if record is not None else {}
        if len(arrays) < len(set(wanted)):
            continue
        x = arrays[wanted[1]].ravel() if len(wanted) > 1 else None
        values = _one_line(arrays[name], x, material.options.get("average", "mean"))
        averaged |= arrays[name].ndim > 1
        if values is None or not values.size:
            shapes = f"{arrays[name].shape}" + (f" for {len(x)} of '{wanted[1]}'" if x is not None else "")
            material.missing.add(method, f"'{name}' is no curve, it is {shapes}", seed)
            continue
        x = np.arange(len(values), dtype=np.float64) if x is None else x
        if across is not None and not np.array_equal(across, x, equal_nan=True):
            material.missing.add(method, f"'{name}' stands at other places than those of the first seed", seed)
            continue
        across = x
        shown = _possible(values, x, material)
        if shown.sum() == 0:
            material.missing.add(method, f"no value of '{name}' can be drawn", seed)
            continue
        if not shown.all():
            material.missing.add(
                method, f"{int((~shown).sum())} of {len(shown)} values of '{name}' cannot be drawn", seed
            )
        found[seed] = np.where(shown, values, np.nan)
    return (np.empty(0) if across is None else across), found, averaged


def _possible(values: Array, x: Array, material: Material) -> Array:
    """Which points have a place on the axes: finite ones, above 0 on those that are logarithmic."""
    shown = np.isfinite(values) & np.isfinite(x)
    if material.options.get("logy"):
        shown &= values > 0
    if material.options.get("logx"):
        shown &= x > 0
    return np.asarray(shown)


def _one_line(values: Array, x: Array | None, average: str) -> Array | None:
    """``values`` as one number for each of ``x``: of rows and columns those are averaged that are not x's."""
    if values.ndim == 2:
        axis = 0 if x is None or values.shape[0] != len(x) else 1
        with np.errstate(invalid="ignore"):
            values = np.asarray((np.median if average == "median" else np.mean)(values, axis=axis))
    return values if values.ndim == 1 and (x is None or len(values) == len(x)) else None


def _look(method: int, array: int, methods: int, arrays: int) -> Style:
    """By the method, or the array where there is one method; where there are several of both, lines tell the arrays."""
    if methods == 1 or arrays == 1:
        return style(max(method, array))
    look = style(method)
    return Style(look.colour, look.marker, LINES[array % len(LINES)], look.hatch)


def distribution(material: Material) -> Page | None:
    """The distribution of the values of an array: a line for each method over the same bins, medians marked."""
    options, name = material.options, material.options["array"]
    found: dict[str, Array] = {}
    medians: dict[str, float] = {}
    unit = ""
    for method in material.methods:
        record = material.first_record(method)
        arrays = material.arrays(record, name) if record is not None else {}
        if name not in arrays:
            continue
        row = material.row(record) if record is not None else None
        unit = unit or (row.unit if row is not None else "")
        values = arrays[name].ravel()
        kept = values[np.isfinite(values) & ((values > 0) | (not options.get("logx", False)))]
        if len(kept) < len(values):
            infinite = int(np.isinf(values).sum())
            why = f", {infinite} being infinite" if infinite else ""
            material.missing.add(method, f"{len(values) - len(kept)} of {len(values)} values cannot be drawn{why}")
        if len(kept):
            found[method] = kept
            medians[method] = float(np.median(values[~np.isnan(values)]))  # of those that cannot be drawn too
    if not found:
        return None
    edges = _edges(list(found.values()), options.get("bins"), options.get("logx", False))
    canvas = new_canvas(460)
    axes = canvas.add_subplot()
    for number, (method, values) in enumerate(found.items()):
        look, middle = style(material.methods.index(method)), medians[method]
        heights = _density(values, edges, options.get("logx", False))
        first, last = np.flatnonzero(heights)[[0, -1]]  # of the bins that are not empty
        axes.stairs(
            heights[first : last + 1],
            edges[first : last + 2],
            color=look.colour,
            linestyle=look.line,
            linewidth=1.6,
            label=None,
        )
        bin_of = min(max(int(np.searchsorted(edges, middle, side="right")) - 1, 0), len(heights) - 1)
        mark = {"color": look.colour, "marker": look.marker, "linestyle": look.line, "markeredgecolor": "white"}
        label = f"{method}, median {middle:.4g}"
        height = heights[bin_of] if edges[0] <= middle <= edges[-1] else math.nan
        axes.plot([middle], [height], label=label, markersize=9, zorder=4 + number, **mark)  # type: ignore[arg-type]
    if options.get("logx"):
        logarithmic(axes.xaxis)
    if options.get("logy"):
        logarithmic(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)
    per = "decade" if options.get("logx") else unit
    axes.set_xlabel(wrapped(options.get("xlabel") or with_unit(name, unit), 0.9 * WIDTH))
    axes.set_ylabel(wrapped(options.get("ylabel") or (f"density per {per}" if per else "density"), 400, lines=3))
    legend_below(canvas)
    sizes = sorted({len(values) for values in found.values()})
    count = plural(sizes[0], "value") if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} values"
    of_each = " for each method" if len(found) > 1 else ""
    return Page(canvas, f"Seed {material.seeds[0]}; {count}{of_each}; marks are medians.")


def _edges(values: Sequence[Array], bins: int | None, log: bool) -> Array:
    """Bins that all ``values`` share, as wide as Freedman's and Diaconis's rule has them for most, unless ``bins`` says
    how many there are."""
    scaled = [np.log10(one) if log else one for one in values]
    low, high = min(float(one.min()) for one in scaled), max(float(one.max()) for one in scaled)
    if not high - low > 1e-9 * max(abs(low), abs(high)):
        spread = 0.5 if log else 0.5 * (abs(high) or 1.0)
        low, high = low - spread, high + spread
    widths = [2 * float(np.subtract(*np.percentile(one, [75, 25]))) / len(one) ** (1 / 3) for one in scaled]
    width = float(np.median(widths)) or math.inf
    count = bins or min(_MOST_BINS, max(_FEWEST_BINS, math.ceil((high - low) / width)))
    edges = np.linspace(low, high, count + 1)
    return np.asarray(10**edges if log else edges)


def _density(values: Array, edges: Array, log: bool) -> Array:
    """The share of ``values`` in each bin over the bin's width, on a logarithmic axis in decades."""
    inside = np.clip(values, edges[0], edges[-1])  # rounding may put the least and the largest just outside
    counts, _ = np.histogram(inside, edges)
    return np.asarray(counts / len(values) / np.diff(np.log10(edges) if log else edges))
