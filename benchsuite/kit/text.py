"""Tables as text that both people and Markdown can read, and texts of others made fit for a page or a spreadsheet."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_MOST_COLUMNS = 12

# Alone, or before what tables put behind it: an interval, a mark, a count.
_NUMBER = re.compile(r"[-+]?\.?\d[\d.]*(e[-+]?\d+)?(%| ±| †| \(| of \d|, \d|$)")

# Mentions, references to issues, addresses and formulas, which GitHub finds in the finished page, so that no escape of
# Markdown's keeps it from them; an empty comment does (github/cmark-gfm#181). Formulas: GitHub's own advice.
_REFERENCES = re.compile(r"@(?=\w)|#(?=\d)|\bgh-(?=\d)|:(?=//)|\bwww(?=\.)|\$", re.IGNORECASE)
_APART = {"$": "<span>$</span>"}

# What begins a formula, also as the full-width characters that spreadsheets read alike.
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
_PLAIN_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    numeric: Sequence[bool],
    bold: Collection[tuple[int, int]] = (),
) -> str:
    """A Markdown table with aligned columns, those marked ``numeric`` to the right. What cells say stays inert.

    ``bold`` are the cells in bold print, by row and column.

    >>> print(table(["method", "psnr"], [["pca", "20.3"]], [False, True]))
    | method | psnr |
    | :----- | ---: |
    | pca    | 20.3 |
    """
    cells = [[clean(cell) for cell in row] for row in (header, *rows)]
    for row, column in bold:
        cells[row + 1][column] = f"**{cells[row + 1][column]}**"
    widths = [max(3, *(_width(row[i]) for row in cells)) for i in range(len(header))]
    rule = ["-" * (w - 1) + ":" if right else ":" + "-" * (w - 1) for w, right in zip(widths, numeric, strict=True)]
    lines = [cells[0], rule, *cells[1:]]
    return "\n".join(
        "| " + " | ".join(_pad(c, w, r) for c, w, r in zip(line, widths, numeric, strict=True)) + " |" for line in lines
    )


def frame_table(frame: pd.DataFrame, bold: Collection[tuple[int, int]] = ()) -> str:
    """A frame of text as such a table, its first column to the left and those that hold numbers to the right."""
    rows = [[str(value) for value in row] for row in frame.itertuples(index=False)]
    return table([str(c) for c in frame.columns], rows, numeric_columns(frame), bold)


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of methods by metrics with its index as first column, turned round where metrics are too many to be read
    side by side, and more than methods."""
    if len(frame.columns) <= max(_MOST_COLUMNS, len(frame)):
        return frame.reset_index(allow_duplicates=True)
    return frame.T.rename_axis("metric").rename_axis(None, axis=1).reset_index(allow_duplicates=True)


def numeric_columns(frame: pd.DataFrame) -> list[bool]:
    """Which columns of a frame of text hold numbers; the first names its rows and never does."""
    columns = [[str(value) for value in frame.iloc[:, i]] for i in range(len(frame.columns))]
    return [i > 0 and any(_NUMBER.match(value) for value in column) for i, column in enumerate(columns)]


def clean(text: str, markdown: bool = True) -> str:
    """``text`` on one line, without control characters, and what Markdown would read escaped unless told not to."""
    visible = " ".join(text.split())
    if not visible.isprintable():
        visible = "".join(c for c in visible if unicodedata.category(c) not in ("Cc", "Cf", "Cs")).strip()
    if not markdown:
        return visible
    inert = re.sub(r"&(?=#?\w+;)", "&amp;", re.sub(r"[\\|`*~]", r"\\\g<0>", visible))
    inert = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", inert)  # inside a word it is no emphasis
    return inert.replace("](", "]\\(").replace("<", "&lt;")


def unlinked(markdown: str) -> str:
    """``markdown`` in which GitHub finds no mention, reference, address or formula.

    >>> unlinked("see @someone, #1 and http://a.b")
    'see @<!-- -->someone, #<!-- -->1 and http:<!-- -->//a.b'
    """
    return _REFERENCES.sub(lambda found: _APART.get(found[0], f"{found[0]}<!-- -->"), markdown)


def shortened(text: str, most: int = 200) -> str:
    """``text`` on one line of at most ``most`` characters, its middle left out where it is longer.

    >>> shortened("from head to tail", most=9)
    'from…tail'
    """
    line = clean(text, markdown=False)
    if len(line) <= most:
        return line
    head = most // 2
    return f"{line[:head]}…{line[len(line) - (most - 1 - head) :]}"


def clipped(text: str, most: int) -> str:
    """The first ``most`` characters of ``text``, with … where there are more.

    >>> clipped("from head to tail", 9)
    'from head…'
    """
    return text if len(text) <= most else f"{text[:most]}…"


def plural(count: int, thing: str) -> str:
    """``count`` of ``thing``.

    >>> plural(1, "seed"), plural(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{count} {thing}{'' if count == 1 else 's'}"


def named(names: Iterable[str], most: int = 5) -> str:
    """The first ``most`` of ``names``, each once, and how many more there are.

    >>> named(["a", "b", "a", "c"], most=2)
    'a, b and 1 more'
    """
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - most} more" if len(distinct) > most else ""
    return ", ".join(distinct[:most]) + more


def json_safe(value: Any) -> Any:
    """``value`` as JSON takes it, which knows neither infinity, then text, nor NaN, then None.

    >>> json_safe(1.5), json_safe(float("inf")), json_safe(float("nan"))
    (1.5, 'inf', None)
    """
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def spreadsheet_safe(text: str) -> str:
    """``text`` on one line, with a ``'`` before what a spreadsheet would run as a formula; plain numbers stay.

    Source: OWASP, CSV Injection.

    >>> spreadsheet_safe("=cmd()"), spreadsheet_safe("-1.5"), spreadsheet_safe("pca")
    ("'=cmd()", '-1.5', 'pca')
    """
    line = clean(text, markdown=False)
    is_formula = line.startswith(_FORMULA) and not _PLAIN_NUMBER.fullmatch(line)
    return f"'{line}" if is_formula else line


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text if not unicodedata.combining(c))
