"""``codes`` and ``samples`` of vectors: points in a plane, a panel for each method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from benchsuite.errors import reason_of
from benchsuite.results.figures.material import Array, Missing
from benchsuite.results.figures.page import (
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
)
from benchsuite.results.figures.planes import MOST_CLASSES, draw_classes
from benchsuite.results.gallery.stock import Drawing, Kept, Stock, seeds_of, short

_GREY = "#cccccc"
_LARGEST = 560  # pixels of a panel
_FEW = 4  # panels, up to which marks are large


class _Plane(NamedTuple):
    """Points (n, 2) in their plane, others behind them, the classes of the points, and what the axes are."""

    points: Array
    behind: Array
    labels: Array | None
    axes: tuple[str, str]


def codes(stock: Stock) -> Drawing | None:
    """Codes in their first two principal directions, by class where there are classes, above draws of the prior."""
    missing = Missing()
    planes, shown = {}, []
    for method, (kept, arrays) in _read(stock, "codes", missing).items():
        plane = _plane_of_codes(arrays)
        if plane is None:
            missing.add(short(method), "it has no two dimensions of finite codes")
        else:
            planes[method] = plane
            shown.append(kept)
    if not planes:
        return None
    classes = _classes(planes, missing)
    canvas = _drawn(planes, classes, behind="draws of the prior", points="codes")
    told = "by colour and number of their class" if classes else "one point each"
    grey = " Draws of the prior lie in grey behind them." if any(len(plane.behind) for plane in planes.values()) else ""
    what = f"{seeds_of(shown)}; codes of the data, {told}, in the two directions in which they vary most"
    return Drawing(Page(canvas, f"{what} (axes: share of their variance).{grey}"), missing)


def vectors(stock: Stock) -> Drawing | None:
    """The first two dimensions of samples, above those of training data."""
    missing = Missing()
    planes, shown = {}, []
    for method, (kept, arrays) in _read(stock, "vectors", missing).items():
        samples, real = (_finite(arrays.get(name, np.empty((0, 0)))) for name in ("samples", "real"))
        if min(samples.shape[1], real.shape[1]) < 2 or not len(samples):
            missing.add(short(method), "it has no two dimensions of finite samples")
        else:
            planes[method] = _Plane(samples[:, :2], real[:, :2], None, ("dimension 1", "dimension 2"))
            shown.append(kept)
    if not planes:
        return None
    canvas = _drawn(planes, [], behind="training data", points="samples")
    caption = f"{seeds_of(shown)}; the first two dimensions of samples, training data in grey behind them."
    return Drawing(Page(canvas, caption), missing)


def _read(stock: Stock, name: str, missing: Missing) -> dict[str, tuple[Kept, dict[str, Array]]]:
    """The numbers in NAME.npz of each method that has it, and whose they are."""
    found = {}
    for method, kept in stock.panels(missing).items():
        try:
            found[method] = kept, _arrays(kept, name)
        except FileNotFoundError:
            missing.add(short(method), f"it kept no {name}.npz")
        except (OSError, ValueError, BadZipFile) as error:
            missing.add(short(method), f"{name}.npz cannot be read: {reason_of(error)}")
    return found


def _arrays(kept: Kept, name: str) -> dict[str, Array]:
    with np.load(kept.folder / f"{name}.npz", allow_pickle=False) as file:
        return {key: np.asarray(array, dtype=np.float64) for key, array in file.items()}


def _plane_of_codes(arrays: Mapping[str, Array]) -> _Plane | None:
    given = arrays.get("codes", np.empty((0, 0)))
    if given.ndim != 2 or given.shape[1] < 2:
        return None
    kept = np.isfinite(given).all(1)
    z, labels = given[kept], arrays.get("labels")
    if len(z) < 2:
        return None
    prior = _finite(arrays.get("prior", np.empty((0, z.shape[1]))))
    prior = prior if prior.shape[1] == z.shape[1] else np.empty((0, z.shape[1]))
    mean = z.mean(0)
    if z.shape[1] == 2:
        directions, shares, names = np.eye(2), _shares((z - mean).var(0)), ("code 1", "code 2")
        mean = np.zeros(2)
    else:
        _, scales, directions = np.linalg.svd(z - mean, full_matrices=False)
        shares, names = _shares(scales**2), ("direction 1", "direction 2")
    points, behind = ((one - mean) @ directions[:2].T for one in (z, prior))
    titles = [f"{name} ({share:.0%})" for name, share in zip(names, shares, strict=False)]
    fits = labels is not None and labels.shape == (len(given),)
    return _Plane(points, behind, labels[kept] if labels is not None and fits else None, (titles[0], titles[1]))


def _shares(variances: Array) -> Array:
    total = variances.sum()
    return np.asarray(variances / total if total > 0 else np.zeros_like(variances))


def _finite(rows: Array) -> Array:
    rows = rows if rows.ndim == 2 else np.empty((0, 0))
    return np.asarray(rows[np.isfinite(rows).all(1)])


def _classes(planes: Mapping[str, _Plane], missing: Missing) -> list[float]:
    """The classes of all codes; none where one method's have none, or where there are too many to be told apart."""
    labels = [plane.labels for plane in planes.values() if plane.labels is not None]
    if len(labels) < len(planes):
        return []
    found = np.unique(np.concatenate(labels))
    if len(found) > MOST_CLASSES:
        missing.add("classes", f"there are {len(found)}, at most {MOST_CLASSES} can be told apart")
        return []
    return [float(one) for one in found]


def _drawn(planes: Mapping[str, _Plane], classes: list[float], *, behind: str, points: str) -> Canvas:
    columns = columns_for(len(planes))
    rows = -(-len(planes) // columns)
    canvas = new_canvas(round(rows * min((WIDTH - 2 * MARGIN) / columns, _LARGEST)) + 60)
    axes = panel_axes(canvas, list(planes), columns)
    grow(canvas, rows * LINE * max(one.get_title().count("\n") for one in axes))
    for one, plane in zip(axes, planes.values(), strict=True):
        if len(plane.behind):
            one.scatter(plane.behind[:, 0], plane.behind[:, 1], s=14, c=_GREY, linewidths=0, label=behind, zorder=1)
        _draw_points(one, plane, classes, points, few=len(planes) <= _FEW)
        one.set(xlabel=plane.axes[0], ylabel=plane.axes[1])
        one.set_aspect("equal", adjustable="datalim")
    legend_below(canvas, enlarged=1.8)
    return canvas


def _draw_points(axes: Axes, plane: _Plane, classes: list[float], label: str, few: bool) -> None:
    if plane.labels is None or not classes:
        x, y = plane.points.T
        axes.scatter(x, y, s=9 if few else 5, c=COLOURS[0], linewidths=0, alpha=0.7, label=label, zorder=2)
        return
    everywhere = np.ones(len(plane.points), dtype=bool)
    draw_classes(axes, plane.points, everywhere, plane.labels, classes, 30.0 if few else 16.0)
