r"""The LaTeX reporter: a document that compiles by itself, and whose tables can be copied into another.

Everything that plugins say goes through ``escaped``. Numbers stand in siunitx's ``S`` columns, as ``24.95 +- 0.11``;
what is no plain number is text in braces.

Source: own work.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsuite import Report, Reporter, hookimpl
from benchsuite.kit.files import write_text
from benchsuite.kit.text import numeric_columns, plural, readable, shortened
from benchsuite.kit.winners import winners_table

if TYPE_CHECKING:
    import pandas as pd

_MOST_COLUMNS = 6  # metrics side by side, and
_MOST_ROWS = 40  # methods below each other, in one tabular
_NAME = 60  # characters of a method or a metric
_LINE = 120  # characters of a row
_WORD = 15  # characters, beyond which a column of text may be broken into lines
_SENTENCE = 600
_COMMAND = 2000

# The series b is bold and as wide as what is not, so that digits stay aligned; bx is wider. Signs are those of
# mathematics, because those of text are bitmaps where TeX has no other.
_PREAMBLE = r"""% Needs siunitx 3; compile twice. For tables that are copied: from \usepackage{booktabs} on.
\documentclass{article}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\usepackage{array,float,longtable}
\usepackage{booktabs}
\usepackage{etoolbox}
\usepackage{siunitx}
\sisetup{separate-uncertainty=true, mode=text, reset-text-series=false, reset-text-family=false,
  retain-zero-uncertainty=true, table-align-text-after=false}
\setlength{\belowcaptionskip}{6pt}
\newrobustcmd*{\best}{\fontseries{b}\selectfont}
\AtBeginDocument{%
  \protected\def\textpm{\ensuremath{\pm}}%
  \protected\def\textminus{\ensuremath{-}}%
  \protected\def\texttimes{\ensuremath{\times}}}
\DeclareTextSymbolDefault{\textdagger}{OMS}
\DeclareTextSymbolDefault{\textbullet}{OMS}
\begin{document}
\sloppy"""

_MARKS = r"(?P<marks>( †)?( \(\d+ of \d+\))?)"
_NUMBER = re.compile(rf"(?P<mean>-?\d+(\.\d+)?)( ± (?P<width>\d+(\.\d+)?))?{_MARKS}")
_POWER = re.compile(r"-?\d+\.\d+e[-+]\d+")
_SCIENTIFIC = r"\\num{\g<0>}"

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\`{}",
    '"': r"{\char34}",  # by itself it is active in many languages of babel
    "±": r"$\pm$",
    "†": r"\textsuperscript{\dag}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\dots{}",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "°": r"$^\circ$",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
    "∞": r"$\infty$",
}
_LETTERS = "ßæÆœŒøØłŁ"
_ACCENTS = "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327"
_LAST_LATIN = "\u017f"  # up to which pdflatex has letters with accents


class LaTeX(Reporter):
    """Comparison, who is best, failures and costs as tables."""

    name = "latex"

    def write(self, report: Report, folder: Path) -> Sequence[Path]:
        """Writes ``report.tex``."""
        path = folder / "report.tex"
        write_text(path, _document(report) + "\n")
        return [path]


def escaped(text: str, most: int = 200) -> str:
    r"""``text`` as TeX prints it, at most ``most`` characters of it; what it has no glyph for by number.

    >>> print(escaped(r"50% of \input{x}"), escaped("größe 🐈"))
    50\% of \textbackslash{}input\{x\} größe [U+1F408]
    """
    line = unicodedata.normalize("NFC", shortened(text, most))
    printed = "".join(map(_glyph, line))
    printed = re.sub(r"([-,'])(?=\1)", r"\1{}", printed)  # which would become one character
    return re.sub(r"^[\[*]", r"{\g<0>}", printed)  # which \\ and \item would take for theirs


def _glyph(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    parts = unicodedata.normalize("NFD", character)
    latin = character <= _LAST_LATIN and parts[0].isascii() and parts[0].isalpha() and parts[1:] in _ACCENTS
    if " " <= character <= "~" or character in _LETTERS or latin:
        return character
    return f"[U+{ord(character):04X}]"


def _document(report: Report) -> str:
    blocks = [_PREAMBLE, rf"\section*{{{escaped(report.name)}}}"]
    if report.warnings:
        items = [rf"\item {escaped(text, _SENTENCE)}" for text in report.warnings]
        blocks.append("\n".join([r"\begin{itemize}", *items, r"\end{itemize}"]))
    for dataset, frame in report.comparison.items():
        caption = _caption(dataset, report.summary.loc[report.summary["dataset"] == dataset, "seeds"])
        blocks += [_tabular(part, report.leads[dataset], caption) for part in _parts(frame)]
    blocks += [_long_table(title, frame) for title, frame in _others(report) if not frame.empty]
    return "\n\n".join([*blocks, *_commands(report.provenance), r"\end{document}"])


def _caption(dataset: str, seeds: pd.Series[int]) -> str:
    few, many = int(seeds.min()), int(seeds.max())
    count = plural(many, "seed") if few == many else f"{few} to {many} seeds"
    return (
        rf"{escaped(dataset, _NAME)}: mean over {count} $\pm$ half width of the 95\% $t$ interval, from three seeds "
        r"up. Bold is the best where seeds decide it, and nothing else; \textsuperscript{\dag} marks a caution."
    )


def _parts(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """``table`` in parts that fit on a page: its metrics, as many as go side by side, and its methods in turn."""
    names = max(map(_length, table.index), default=0)
    groups: list[list[int]] = []
    left = 0
    for number, column in enumerate(table.columns):
        width = max([_length(column), *table[column].str.len()])
        if not groups or len(groups[-1]) == _MOST_COLUMNS or width > left:
            groups.append([])
            left = _LINE - names
        groups[-1].append(number)
        left -= width
    for group in groups:
        for first in range(0, len(table), _MOST_ROWS):
            yield table.iloc[first : first + _MOST_ROWS, group]


def _length(name: str) -> int:
    return min(len(name), _NAME)


def _tabular(table: pd.DataFrame, leads: pd.DataFrame, caption: str) -> str:
    lines = [
        r"\begin{table}[H]",
        r"\centering\small",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{l{''.join(_column(table[name]) for name in table.columns)}}}",
        r"\toprule",
        " & ".join(["method", *(f"{{{escaped(name, _NAME)}}}" for name in table.columns)]) + r" \\",
        r"\midrule",
    ]
    significant = (leads.loc[table.index, table.columns] == "significant").to_numpy()
    for (method, row), bold in zip(table.iterrows(), significant, strict=True):
        cells = [_cell(text, bold=bool(is_bold)) for text, is_bold in zip(row, bold, strict=True)]
        lines.append(" & ".join([escaped(str(method), _NAME), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _column(cells: pd.Series[str]) -> str:
    """The type of the column of ``cells``: room for the digits of its numbers, and for the longest of their marks."""
    numbers = [found for found in map(_NUMBER.fullmatch, cells) if found]
    if not numbers:
        return "c"
    means, widths = [found["mean"] for found in numbers], [found["width"] for found in numbers if found["width"]]
    decimals = max(len(text.partition(".")[2]) for text in [*means, *widths])
    sign = "-" if any(text.startswith("-") for text in means) else ""
    room = f"{sign}{_digits(means)}.{decimals}" if decimals else f"{sign}{_digits(means)}"
    if widths:
        below_one = all(text.startswith("0") for text in widths)
        room += f"({(0 if below_one else _digits(widths)) + decimals or 1})"
    marks = max((found["marks"] for found in numbers), key=len)
    return f"S[table-format={room}{f', table-space-text-post={_braced(marks)}' if marks else ''}]"


def _digits(numbers: Iterable[str]) -> int:
    return max(len(text.lstrip("-").partition(".")[0]) for text in numbers)


def _cell(text: str, *, bold: bool) -> str:
    weight = r"\best " if bold else ""
    found = _NUMBER.fullmatch(text)
    if not found:
        return f"{{{weight}{_POWER.sub(_SCIENTIFIC, escaped(text, _NAME))}}}"
    uncertainty = f" +- {found['width']}" if found["width"] else ""
    marks = f" {_braced(found['marks'])}" if found["marks"] else ""
    return f"{weight}{found['mean']}{uncertainty}{marks}"


def _braced(marks: str) -> str:
    return f"{{{escaped(marks)}}}"


def _others(report: Report) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "Who is best", winners_table(report.contest)
    yield "Cautions", report.cautions
    yield "Without a number", report.failures
    costs = {
        "Seconds per cell": report.timing,
        "Items per second, memory and sizes": report.rates,
        "Contended cells: seconds per cell, upper bounds that are not to be compared": report.contended,
    }
    for title, tables in costs.items():
        for name, frame in tables.items():
            yield f"{title}, {name}", readable(frame)


def _long_table(title: str, frame: pd.DataFrame) -> str:
    """A table of text that goes on over pages, its long columns broken into lines where it is wider than one."""
    lengths = [min(_NAME, max([len(name), *frame[name].str.len()])) for name in frame.columns]
    wide = sum(lengths) > _LINE
    spec = ""
    for length, numeric in zip(lengths, numeric_columns(frame), strict=True):
        broken = rf">{{\raggedright\arraybackslash}}p{{{0.85 * length / sum(lengths):.3f}\linewidth}}"
        spec += broken if wide and length > _WORD else "r" if numeric else "l"
    rows = [" & ".join(map(escaped, row)) + r" \\" for row in frame.itertuples(index=False, name=None)]
    header = " & ".join(escaped(name, _NAME) for name in frame.columns) + r" \\"
    lines = [rf"\subsection*{{{escaped(title)}}}", rf"{{\small\begin{{longtable}}{{{spec}}}", r"\toprule", header]
    return "\n".join([*lines, r"\midrule\endhead", *rows, r"\bottomrule", r"\end{longtable}}"])


def _commands(provenance: Mapping[str, Any]) -> list[str]:
    lines = [r"\subsection*{Commands}"]
    for run in provenance.get("runs", [provenance]):
        commands = [run.get("again", ""), *map(shlex.join, [run.get("command", []), *run.get("scored", [])])]
        lines += [rf"\noindent\texttt{{{escaped(text, _COMMAND)}}}\par" for text in commands if text]
    return ["\n".join(lines)]


@hookimpl
def benchsuite_reporters() -> Sequence[type[Reporter]]:
    """Provides ``latex``."""
    return [LaTeX]
