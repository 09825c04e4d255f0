"""The page that a figure is drawn on: its size, styles that do without colour, inert texts, and a small PNG of it.

Texts come from plugins and are drawn as they are: matplotlib would read formulas between dollar signs.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from benchsuite.kit.files import replacing
from benchsuite.kit.text import clean

WIDTH = 900  # pixels
MARGIN = 10
DPI = 100
SIZE = 9.0  # points, the smallest text
LINE = 16  # pixels from one line of text to the next
Pixels = NDArray[np.uint8]  # (height, width, 3)
_PALETTE = 256  # colours
_MOST_BYTES = 200_000  # of a file, above which a chart has a palette

# Okabe and Ito's, without the yellow, which cannot be seen on white. Seven colours and four kinds of line or thirteen
# markers have no common divisor, so that 28 lines and 91 points are told apart, and neighbours without any colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h", "d")
CLASS_COLOURS = (*COLOURS, "#7F7F7F", "#882255", "#999933")  # the last two are Tol's; for ten classes
LINES = ("-", "--", "-.", ":")
_WITHIN_A_DECADE = (1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)  # where a logarithmic axis has ticks between powers of ten
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "ooo")

_OWN: dict[str, Any] = {
    "text.parse_math": False,
    "image.interpolation": "nearest",
    "font.size": SIZE,
    "axes.titlesize": SIZE + 1,
    "axes.labelsize": SIZE,
    "figure.titlesize": SIZE + 1,
    "figure.labelsize": SIZE,
    "xtick.labelsize": SIZE,
    "ytick.labelsize": SIZE,
    "legend.fontsize": SIZE,
    "axes.formatter.useoffset": False,
    "axes.formatter.use_mathtext": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "hatch.linewidth": 0.6,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
}


@dataclass(frozen=True)
class Style:
    """What tells one of many lines, bars or kinds of point from the others."""

    colour: str
    marker: str
    line: str
    hatch: str


def style(number: int) -> Style:
    """The style of the ``number``-th of several."""
    n = number
    return Style(COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)], LINES[n % len(LINES)], HATCHES[n % len(HATCHES)])


@contextmanager
def styled() -> Iterator[None]:
    """Draw by matplotlib's defaults and our changes, whatever the user's own settings are."""
    settings: Any = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")} | _OWN
    with warnings.catch_warnings(), matplotlib.rc_context(settings):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a box is drawn in its place
        yield


def new_canvas(height: int, *, laid_out: bool = True) -> Canvas:
    """An empty canvas of ``height`` pixels; where ``laid_out``, axes are arranged so that no text is cut off."""
    canvas = Canvas(figsize=_inches(height), dpi=DPI, layout="constrained" if laid_out else None)
    FigureCanvasAgg(canvas)
    return canvas


def inert(text: str) -> str:
    """``text`` on one line without control characters."""
    return clean(text, markdown=False)


@lru_cache(maxsize=1)
def _renderer() -> Any:
    renderer: Any = RendererAgg  # which is not typed
    return renderer(1, 1, DPI)


@lru_cache(maxsize=10_000)  # a long label is measured again and again until it fits, and in several pictures
def width_of(text: str, size: float = SIZE) -> float:
    """How many pixels wide one line of ``text`` is."""
    return float(_renderer().get_text_width_height_descent(text, FontProperties(size=size), False)[0])


def wrapped(text: str, pixels: float, *, lines: int = 4, size: float = SIZE) -> str:
    """``text`` in at most so many ``lines`` of so many ``pixels``; what does not fit is left out of its middle.

    It is broken after spaces, commas and other separators where there are any, else anywhere.
    """
    text = inert(text)
    kept = min(len(text), max(2, int(lines * pixels)))  # nothing is narrower than a pixel
    while True:
        shown = text if kept == len(text) else f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
        broken = _broken(shown, pixels, size)
        if len(broken) <= lines or kept <= 2:
            return "\n".join(broken)
        kept = max(2, min(kept - 1, kept * (lines + 1) // len(broken)))


def _broken(text: str, pixels: float, size: float) -> list[str]:
    lines, line = [], ""
    for part in re.findall(r"[^\s,;:_/=+\[\]-]*[\s,;:_/=+\[\]-]?", text):
        if line and width_of((line + part).rstrip(), size) > pixels:
            lines.append(line)
            line = ""
        line += part
        while len(line) > 1 and width_of(line.rstrip(), size) > pixels:  # one long word
            word = line
            fits = max(1, bisect_right(range(1, len(word)), pixels, key=lambda n: width_of(word[:n], size)))
            lines.append(line[:fits])
            line = line[fits:]
    return [one.strip() for one in (*lines, line) if one.strip()]


def columns_for(panels: int) -> int:
    """How many of so many panels stand side by side."""
    return 1 if panels == 1 else 2 if panels <= 4 else 3 if panels <= 9 else 4


def panel_axes(canvas: Canvas, titles: Sequence[str], columns: int) -> list[Axes]:
    """Axes for each of ``titles``, row by row."""
    rows = -(-len(titles) // columns)
    axes = [canvas.add_subplot(rows, columns, number + 1) for number in range(len(titles))]
    for one, title in zip(axes, titles, strict=True):
        one.set_title(wrapped(title, 0.8 * WIDTH / columns, size=SIZE + 1))
    return axes


def grow(canvas: Canvas, pixels: int) -> None:
    """Make ``canvas`` so many ``pixels`` higher."""
    canvas.set_size_inches(*_inches(round(canvas.get_figheight() * DPI) + pixels))


def legend_below(canvas: Canvas, *, enlarged: float = 1.0) -> None:
    """What is labelled on any axes explained below all of them, each label once; the canvas grows by that much.

    Marks of points are ``enlarged`` by a factor.
    """
    told: dict[str, Artist] = {}
    for axes in canvas.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            told.setdefault(label, handle)
    if not told:
        return
    texts = [wrapped(label, WIDTH / 3 - 80, lines=3) for label in told]
    widest = max(width_of(line) for text in texts for line in text.split("\n"))
    columns = max(1, min(len(texts), int((WIDTH - 2 * MARGIN) / (widest + 80)), 6))
    columns = -(-len(texts) // -(-len(texts) // columns))  # as many in each row, since it is filled by columns
    lines = -(-len(texts) // columns) * max(text.count("\n") + 1 for text in texts)
    grow(canvas, lines * (LINE + 4) + MARGIN)
    looks: dict[str, Any] = {"ncols": columns, "frameon": False, "handlelength": 3.2, "markerscale": enlarged}
    canvas.legend(list(told.values()), texts, loc="outside lower center", **looks)


def whole_ticks(axis: Axis) -> None:
    """Ticks of ``axis`` at whole numbers only."""
    axis.set_major_locator(MaxNLocator(integer=True))


def logarithmic(axis: Axis) -> None:
    """Make ``axis`` logarithmic, with plain numbers at its ticks, the more between decades the fewer it spans."""

    def between(value: float, _: int | None) -> str:
        low, high = sorted(axis.get_view_interval())
        if low <= 0 or high / low >= 100:
            return ""
        digit = round(value / 10 ** math.floor(math.log10(value)), 1)
        named = (2, 5) if high / low > 5 else (2, 3, 4, 5, 7) if high / low > 3 else _WITHIN_A_DECADE
        return f"{value:g}" if digit in named else ""

    set_scale = axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale
    set_scale("log")
    axis.set_minor_locator(LogLocator(subs=_WITHIN_A_DECADE))
    axis.set_tick_params(which="both", length=3.5, pad=4)
    axis.grid(visible=True, which="minor", linewidth=0.3)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(between))


@dataclass(frozen=True)
class Page:
    """A drawn canvas and what is said below it; a ``photo`` keeps its colours, whatever that costs."""

    canvas: Canvas
    footnote: str
    photo: bool = False


def png_of(page: Page) -> bytes:
    """``page`` as a PNG in which nothing changes from one time to the next.

    Colours are kept, but for a picture that would be large and is no photo.
    """
    pixels = np.concatenate([_pixels(page.canvas), _pixels(_footnote(page.footnote))])
    content = _png(_exact(pixels))
    if len(content) > _MOST_BYTES and not page.photo:
        content = min(content, _png(_reduced(pixels)), key=len)
    return content


def save(page: Page, path: Path) -> None:
    """Write ``page`` to the PNG at ``path``, whole or not at all."""
    content = png_of(page)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _pixels(canvas: Canvas) -> Pixels:
    agg: Any = canvas.canvas  # which is not typed
    agg.draw()
    return np.array(agg.buffer_rgba())[..., :3]


def _footnote(text: str) -> Canvas:
    lines = _broken(inert(text), WIDTH - 2 * MARGIN, SIZE)
    height = LINE * len(lines) + MARGIN
    canvas = new_canvas(height, laid_out=False)
    for number, line in enumerate(reversed(lines)):
        place = (MARGIN / WIDTH, (MARGIN / 2 + 3 + number * LINE) / height)
        canvas.text(*place, line, ha="left", va="baseline", color="#444444", size=SIZE)
    return canvas


def _exact(pixels: Pixels) -> Image.Image:
    """An image of ``pixels`` with as few bits for each as keep it the same: grey, of a palette, or of any colours."""
    if (pixels == pixels[..., :1]).all():
        return Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    colours, places = np.unique(_numbers(pixels), return_inverse=True)
    return _with_palette(colours, places, pixels) if len(colours) <= _PALETTE else Image.fromarray(pixels)


def _reduced(pixels: Pixels) -> Image.Image:
    """An image of ``pixels`` in the colours that it has most of, and those of styles, however few pixels these have."""
    colours, places, counts = np.unique(_numbers(pixels), return_inverse=True, return_counts=True)
    ours = np.isin(colours, [int(colour[1:], 16) for colour in CLASS_COLOURS])
    kept = np.sort(np.lexsort((colours, -counts, ~ours))[:_PALETTE])
    distances = np.abs(_channels(colours)[:, None] - _channels(colours[kept])).sum(2)
    return _with_palette(colours[kept], distances.argmin(1)[places], pixels)


def _with_palette(colours: NDArray[np.int64], places: NDArray[np.int64], pixels: Pixels) -> Image.Image:
    image = Image.fromarray(places.reshape(pixels.shape[:2]).astype(np.uint8)).convert("P")
    image.putpalette(_channels(colours).astype(np.uint8).tobytes())
    return image


def _numbers(pixels: Pixels) -> NDArray[np.int64]:
    return np.asarray(pixels.astype(np.int64) @ np.array([65536, 256, 1]))


def _channels(colours: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1)


def _inches(height: int) -> tuple[float, float]:
    """The size of a canvas so many pixels high; a little more, since matplotlib cuts off the digits of a pixel."""
    return (WIDTH + 0.01) / DPI, (height + 0.01) / DPI
