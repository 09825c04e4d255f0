"""``samples`` and ``pictures``: sheets of small images, every pixel enlarged by the same whole number, none blended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchsuite.harness.store import RunStore
from benchsuite.kit.text import plural
from benchsuite.results.figures.material import Array, Material, Missing
from benchsuite.results.figures.page import (
    LINE,
    MARGIN,
    SIZE,
    WIDTH,
    Page,
    columns_for,
    new_canvas,
    wrapped,
)

_ACROSS, _GAP, _LEAST = 8, 2, 32  # of the sheets that are stored: columns, pixels between images, least size
_BETWEEN = 16  # pixels between panels
_SMALLEST, _LARGEST = 24, 64  # pixels that an image is enlarged to, where that can be
_BYTES = 150_000  # of images, which do not compress, beyond which fewer rows are shown
_HEIGHT = 2400  # pixels, likewise


@dataclass(frozen=True)
class Sheet:
    """Images of one size in rows, as they were before they were enlarged: (rows, columns, height, width, channels)."""

    images: Array

    @property
    def rows(self) -> int:
        return int(self.images.shape[0])

    @property
    def columns(self) -> int:
        return int(self.images.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image."""
        return int(self.images.shape[2]), int(self.images.shape[3])

    def cut(self, rows: int, columns: int) -> Sheet:
        """Its first rows and columns."""
        return Sheet(self.images[:rows, :columns])

    def drawn(self, scale: int) -> Array:
        """The sheet as RGB, (H, W, 3), every pixel of it ``scale`` times as wide and high; white between images."""
        rows, columns, height, width, channels = self.images.shape
        sheet = np.full((rows * (height + _GAP), columns * (width + _GAP), channels), 255, dtype=np.uint8)
        for row in range(rows):
            for column in range(columns):
                top, left = row * (height + _GAP), column * (width + _GAP)
                sheet[top : top + height, left : left + width] = self.images[row, column]
        sheet = sheet[:-_GAP, :-_GAP].repeat(scale, 0).repeat(scale, 1)
        return np.broadcast_to(sheet, (*sheet.shape[:2], 3))


def read_sheet(path: Path) -> Sheet:
    """The images of a sheet that benchsuite.harness.pictures wrote; what is none of these is one large image.

    Raises OSError for a file that is no picture.
    """
    with Image.open(path) as file:
        pixels = np.asarray(file if file.mode in ("L", "RGB") else file.convert("RGB"))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    for scale in range(_LEAST, 0, -1):
        small = pixels[::scale, ::scale]
        if np.array_equal(small.repeat(scale, 0).repeat(scale, 1), pixels):
            for height, width in _sizes(small.shape[0], small.shape[1]):
                images = _cells(small, height, width)
                if scale == max(1, -(-_LEAST // min(height, width))) and images is not None:
                    return Sheet(images)
    return Sheet(pixels[None, None])


def _sizes(height: int, width: int) -> Iterator[tuple[int, int]]:
    """The sizes that images of a sheet may have, squares first: its columns are known, its rows are not."""
    if (width + _GAP) % _ACROSS == 0 and (one := (width + _GAP) // _ACROSS - _GAP) > 0:
        for other in (one, *range(1, height + 1)):
            if (height + _GAP) % (other + _GAP) == 0:
                yield other, one


def _cells(sheet: Array, height: int, width: int) -> Array | None:
    """The images of ``sheet``, None where there is something between them."""
    padded = np.pad(sheet, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
    rows, columns = padded.shape[0] // (height + _GAP), padded.shape[1] // (width + _GAP)
    cells = padded.reshape(rows, height + _GAP, columns, width + _GAP, -1).transpose(0, 2, 1, 3, 4)
    white = (cells[:, :, height:] == 255).all() and (cells[:, :, :, width:] == 255).all()
    return cells[:, :, :height, :width] if white else None


def samples(material: Material) -> Page | None:
    """Every method's samples.png as a panel."""
    found = {}
    for method in material.methods:
        record = material.first_record(method)
        if record is not None:
            path = _samples_of(material.store, record.cell.key)
            sheet = read_or_tell(path, method, material.missing) if path.exists() else None
            if not path.exists():
                material.missing.add(method, "it kept no sheet of samples")
            if sheet is not None:
                found[method] = sheet
    return _page(found, material)


def _page(sheets: Mapping[str, Sheet], material: Material) -> Page | None:
    if not sheets:
        return None
    return page_of(sheets, f"Seed {material.seeds[0]}", rows=material.options.get("rows"))


def _samples_of(store: RunStore, key: str) -> Path:
    return store.cell_folder(key) / "samples.png"


def pictures(material: Material) -> Page | None:
    """For every method the picture that a metric kept."""
    found = {}
    for method in material.methods:
        record = material.first_record(method)
        path = material.picture(record) if record is not None else None
        sheet = read_or_tell(path, method, material.missing) if path is not None else None
        if sheet is not None:
            found[method] = sheet
    return _page(found, material)


def read_or_tell(path: Path, method: str, missing: Missing) -> Sheet | None:
    """The sheet at ``path``; None, and ``missing`` is told, where it cannot be read."""
    try:
        return read_sheet(path)
    except OSError:
        missing.add(method, f"{path.name} cannot be read")
        return None


def page_of(sheets: Mapping[str, Sheet], seed: str, *, rows: int | None = None, together: int = 1) -> Page:
    """A panel for each of ``sheets``, of which there is one at least; ``seed`` says whose they are.

    Of each at most so many ``rows`` are shown, or as many as keep the file small, so many ``together``.
    """
    columns, scale = _arrangement(sheets)
    room = (WIDTH - 2 * MARGIN - (columns - 1) * _BETWEEN) // columns
    shown = _cut(sheets, room, scale, rows or _rows_that_fit(sheets, room, scale, columns, together))
    images = {method: sheet.drawn(scale) for method, sheet in shown.items()}
    footnote = _footnote(sheets, shown, scale, seed)
    titles = {method: wrapped(method, room, size=SIZE + 1) for method in images}
    methods, tops, top = list(images), [], MARGIN
    for first in range(0, len(methods), columns):
        row = methods[first : first + columns]
        head = max(titles[method].count("\n") + 1 for method in row) * (LINE + 1) + 4
        tops.append(top + head)
        top += head + max(len(images[method]) for method in row) + _BETWEEN
    height = top
    canvas = new_canvas(height, laid_out=False)
    for number, method in enumerate(methods):
        image, left = images[method], MARGIN + number % columns * (room + _BETWEEN)
        upper = tops[number // columns]
        canvas.figimage(image, left, height - upper - len(image))
        canvas.text(left / WIDTH, 1 - (upper - 5) / height, titles[method], ha="left", va="bottom", size=SIZE + 1)
    return Page(canvas, footnote, photo=any(sheet.images.shape[-1] == 3 for sheet in sheets.values()))


def _arrangement(sheets: Mapping[str, Sheet]) -> tuple[int, int]:
    """How many panels stand side by side, and how many times pixels are enlarged: as large as is useful."""
    widest = max(sheet.columns * (sheet.size[1] + _GAP) - _GAP for sheet in sheets.values())
    smallest = min(min(sheet.size) for sheet in sheets.values())
    columns = min(columns_for(len(sheets)), len(sheets))
    while True:
        room = (WIDTH - 2 * MARGIN - (columns - 1) * _BETWEEN) // columns
        scale = min(room // widest, max(1, _LARGEST // smallest))
        if columns == 1 or scale * smallest >= _SMALLEST:
            return columns, max(1, scale)
        columns -= 1


def _cut(sheets: Mapping[str, Sheet], room: int, scale: int, rows: int) -> Mapping[str, Sheet]:
    """So many ``rows`` of each sheet, and as many columns as there is room for."""
    return {name: sheet.cut(rows, _across(sheet, room, scale)) for name, sheet in sheets.items()}


def _across(sheet: Sheet, room: int, scale: int) -> int:
    return max(1, min(sheet.columns, (room // scale + _GAP) // (sheet.size[1] + _GAP)))


def _rows_that_fit(sheets: Mapping[str, Sheet], room: int, scale: int, panels_across: int, together: int) -> int:
    """Not more rows than keep the file small and the page of a height that can be looked at."""
    areas = {name: sheet.size[0] * sheet.size[1] * sheet.images.shape[-1] for name, sheet in sheets.items()}
    row_bytes = sum(_across(sheet, room, scale) * areas[name] for name, sheet in sheets.items())
    high = max(sheet.size[0] + _GAP for sheet in sheets.values()) * scale * -(-len(sheets) // panels_across)
    rows: int = min(_BYTES // row_bytes, _HEIGHT // high)
    return max(1, rows // together) * together


def _footnote(sheets: Mapping[str, Sheet], shown: Mapping[str, Sheet], scale: int, seed: str) -> str:
    parts = [seed]
    cut = [name for name in sheets if sheets[name].rows > shown[name].rows]
    if cut:
        most = max(sheets[name].rows for name in cut)
        parts.append(f"the first {plural(shown[cut[0]].rows, 'row')} of {most}")
    cut = [name for name in sheets if sheets[name].columns > shown[name].columns]
    if cut:
        parts.append(f"the first {plural(shown[cut[0]].columns, 'column')} of {sheets[cut[0]].columns}")
    if scale > 1:
        parts.append(f"pixels enlarged {scale} times")
    return "; ".join(parts) + "."
