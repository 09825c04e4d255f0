"""``phases``: where the seconds of a cell go, a bar for each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchsuite.results.figures.material import Missing
from benchsuite.results.figures.page import LINE, WIDTH, Page, inert, legend_below, new_canvas, style, wrapped
from benchsuite.results.gallery.stock import MOST_LINES, Drawing, Kept, Stock, over_seeds
from benchsuite.results.phases import PARTS, mean_seconds

# What parts of a cell are called in a legend, where that is another word.
_CALLED: Mapping[str, str] = {"sample": "sampling", "encode": "encoding", "recover": "recovery"}
_LABEL = 220  # pixels


class Timed(NamedTuple):
    """Cells of one dataset whose times can be compared, as a picture names them."""

    title: str
    stock: Stock
    contended: bool


def timed(stock: Stock) -> list[Timed]:
    """The cells of ``stock`` by environment, those that did not run alone apart; those whose times are not known are
    in none of them."""
    groups: dict[tuple[bool, str], dict[str, list[Kept]]] = {}
    for method, cells in stock.methods.items():
        for kept in cells:
            record = kept.record
            if record.phases or record.status != "ok":
                alike = groups.setdefault((record.contended, record.environment), {})
                alike.setdefault(method, []).append(kept)
    done = {key: methods for key, methods in sorted(groups.items()) if _any_ok(methods)}
    several = len({environment for _, environment in done}) > 1
    return [
        Timed(
            _title(stock.dataset, environment if several else "", contended),
            Stock(stock.dataset, methods, stock.places),
            contended,
        )
        for (contended, environment), methods in done.items()
    ]


def _any_ok(methods: Mapping[str, Sequence[Kept]]) -> bool:
    return any(kept.record.status == "ok" for cells in methods.values() for kept in cells)


def _title(dataset: str, environment: str, contended: bool) -> str:
    where = f"{dataset} on {inert(environment)}" if environment else dataset
    return f"{where}, contended" if contended else where


def phases(group: Timed) -> Drawing:
    """Stacked bars of the mean seconds per cell by phase."""
    missing = Missing()
    finished = group.stock.finished(MOST_LINES, missing)
    seconds = {method: mean_seconds([kept.record for kept in cells]) for method, cells in finished.items()}
    methods = list(seconds)
    labels = [wrapped(method, _LABEL, lines=2) for method in methods]
    row = LINE * max(label.count("\n") + 1 for label in labels) + 12
    canvas = new_canvas(row * len(methods) + 60)
    axes = canvas.add_subplot()
    ends = dict.fromkeys(methods, 0.0)
    for number, name in enumerate(PARTS):
        widths = [seconds[method].get(name, 0.0) for method in methods]
        if any(widths):
            look = style(number)
            starts = list(ends.values())
            axes.barh(
                range(len(methods)),
                widths,
                0.7,
                left=starts,
                color=look.colour,
                hatch=look.hatch,
                edgecolor="white",
                linewidth=0.5,
                label=_CALLED.get(name, name),
            )
        ends = {method: ends[method] + width for method, width in zip(methods, widths, strict=True)}
    longest = max(ends.values())
    for place, total in enumerate(ends.values()):
        axes.text(total + 0.008 * longest, place, f"{total:.3g} s", va="center")
    axes.set_yticks(range(len(methods)), labels)
    axes.set(xlim=(0, 1.1 * longest or 1), ylim=(len(methods) - 0.5, -0.5))
    axes.set_xlabel(wrapped("seconds per cell", WIDTH / 2))
    axes.grid(visible=False, axis="y")
    legend_below(canvas)
    beside = (
        " They ran beside others or waited for the processor, which their times include." if group.contended else ""
    )
    counted = over_seeds(finished.values())
    return Drawing(Page(canvas, f"Mean seconds per cell over {counted}, by phase.{beside}"), missing)
