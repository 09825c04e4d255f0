"""The Markdown reporter: a page that fits into a comment of a pull request.

Source: own work.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsuite import Report, Reporter, hookimpl
from benchsuite.kit.files import write_text
from benchsuite.kit.text import clean, frame_table, readable, shortened, unlinked
from benchsuite.kit.winners import said, winners_table

if TYPE_CHECKING:
    import pandas as pd

# What GitHub takes for a comment. Characters are counted as JavaScript does, two for an emoji, to be safe.
MOST_CHARACTERS = 65_000
MOST_BYTES = 262_144

_SENTENCE = 600  # characters of what is no cell of a table, beyond which its middle is left out
_COMMAND = 2000
_PLUS_MINUS = (
    "Mean over seeds ± half width of the 95% t interval, from three seeds up. Bold is the best where the table above "
    "says significant, and nothing else."
)
_RATES = "Items per second; peak memory above the cell's start; learnt numbers, codes apart."
_CONTENDED = (
    "Of cells that ran beside others or waited for the processor: upper bounds of what they take, not to be compared."
)
_LEFT_OUT_FIRST = ("Protocols", "Seconds of metrics", "Rates", "Ranks", "Contended cells", "Timing")
_CUT = ("Without a number", "Comparison")

# What would begin a block where it stands first on a line.
_BLOCK = re.compile(r"^(\d*)([-+#>=\[.):!])")


class Markdown(Reporter):
    """Who is best, comparison, costs and failures as tables, then where they come from."""

    name = "markdown"

    def write(self, report: Report, folder: Path) -> Sequence[Path]:
        """Writes ``report.md``."""
        path = folder / "report.md"
        write_text(path, _page(report) + "\n")
        return [path]


@dataclass(frozen=True)
class _Section:
    """``parts`` are each what comes before its rows, such as a table's header, and the rows, of which the last may be
    left out."""

    title: str
    parts: Sequence[tuple[str, Sequence[str]]]
    note: str = ""

    @property
    def rows(self) -> int:
        return sum(len(rows) for _, rows in self.parts)

    def text(self, most: int) -> str:
        """The section with its first ``most`` rows; empty where that leaves none."""
        if not min(most, self.rows):
            return ""
        blocks, left = [f"## {self.title}"], most
        for head, rows in self.parts:
            if left <= 0:
                break
            blocks.append("\n".join([head, *rows[:left]]).strip("\n"))
            left -= len(rows)
        if most < self.rows:
            blocks.append(f"{self.rows - most} of {self.rows} rows are left out.")
        return "\n\n".join([*blocks, self.note]).strip()


def _page(report: Report) -> str:
    """All sections, or as many as fit."""
    sections = [section for section in _sections(report) if section.rows]
    shown = {section.title: section.rows for section in sections}
    page = _joined(report, sections, shown)
    for title in _LEFT_OUT_FIRST:
        if not _fits(page) and title in shown:
            shown[title] = 0
            page = _joined(report, sections, shown)
    others = [title for title in shown if title not in _CUT]
    for titles, fewest in ((_CUT[:1], 30), (_CUT[1:], 30), (others, 10), (shown, 0)):
        while not _fits(page) and any(shown.get(title, 0) > fewest for title in titles):
            for title in titles:
                rows = shown.get(title, 0)
                shown[title] = min(rows, max(fewest, rows * 3 // 4))
            page = _joined(report, sections, shown)
    return page


def _fits(page: str) -> bool:
    return len(page.encode("utf-16-le")) // 2 < MOST_CHARACTERS and len(page.encode()) < MOST_BYTES


def _joined(report: Report, sections: Iterable[_Section], shown: Mapping[str, int]) -> str:
    blocks = [f"# {_inline(report.name)}"]
    left_out = []
    for section in sections:
        rows = section.rows - shown[section.title]
        if rows:
            all_of_it = "" if shown[section.title] else "all "
            left_out.append(f"{section.title} ({all_of_it}{rows} rows)")
        blocks.append(section.text(shown[section.title]))
    if left_out:
        elsewhere = "`benchsuite report RUN --format html` has them, and `--format csv` what they are made from."
        blocks.insert(1, f"**Left out, to fit into a comment: {', '.join(left_out)}.** {elsewhere}")
    return "\n\n".join(block for block in blocks if block)


def _sections(report: Report) -> Iterator[_Section]:
    yield _list("Warnings", [_inline(text, _SENTENCE) for text in report.warnings])
    yield _Section("Who is best", _table(winners_table(report.contest)))
    yield _tables("Comparison", report.comparison, _PLUS_MINUS, report.leads)
    yield _Section("Ranks", _table(report.ranks.map(said)), "Mean over datasets, 1 being best.")
    yield _Section("† Cautions", _table(report.cautions))
    yield _Section("Without a number", _table(report.failures))
    yield _tables("Timing", report.timing, "Seconds per cell, mean over seeds.")
    yield _tables("Rates", report.rates, _RATES)
    yield _tables("Seconds of metrics", report.metric_timing, "Without the artefacts that metrics were given.")
    at_most = {name: frame.rename(columns=_at_most) for name, frame in report.contended.items()}
    yield _tables("Contended cells", at_most, _CONTENDED)
    yield _Section("Protocols", _table(report.protocols))
    yield _list("Provenance", list(_provenance(report.provenance)))


def _at_most(column: str) -> str:
    return column.replace("[s]", "[s, at most]")


def _provenance(provenance: Mapping[str, Any]) -> Iterator[str]:
    runs = provenance.get("runs", [provenance])
    for run in runs:
        of = f" of {_inline(run['run'])}" if len(runs) > 1 else ""
        if run.get("again"):
            yield f"to run it again{of}: {_code(run['again'])}"
        if run.get("command"):
            yield f"command{of}: {_code(shlex.join(run['command']))}"
        yield from (f"scored by{of}: {_code(shlex.join(command))}" for command in run.get("scored", []))
    environment = provenance.get("environment", {})
    yield _inline(f"benchsuite {environment.get('benchsuite')}, commit {environment.get('commit')}")
    machine = f"{environment.get('processor')}, {environment.get('cores')} cores, Python {environment.get('python')}"
    yield _inline(machine, _SENTENCE)
    packages = ", ".join(f"{name} {version}" for name, version in environment.get("packages", {}).items())
    if packages:
        yield _inline(packages, _SENTENCE)
    for name, text in provenance.get("reconstruction", {}).items():
        yield f"codes of {_inline(name)}: {_inline(text)}"
    yield from (_inline(note, _SENTENCE) for note in provenance.get("notes", []))


def _tables(
    title: str, tables: Mapping[str, pd.DataFrame], note: str, leads: Mapping[str, pd.DataFrame] | None = None
) -> _Section:
    parts: list[tuple[str, Sequence[str]]] = []
    for name, frame in tables.items():
        for head, rows in _table(readable(frame), _bold(leads[name]) if leads else ()):
            parts.append((f"### {_inline(name)}\n\n{head}", rows))
    return _Section(title, parts, note)


def _bold(leads: pd.DataFrame) -> list[tuple[int, int]]:
    """The cells of a readable table, by row and column, that are significantly best."""
    found = np.argwhere((readable(leads) == "significant").to_numpy())
    return [(int(row), int(column)) for row, column in found]


def _table(frame: pd.DataFrame, bold: Collection[tuple[int, int]] = ()) -> list[tuple[str, Sequence[str]]]:
    if frame.empty:
        return []
    short = frame.map(lambda value: shortened(str(value)))
    short.columns = [shortened(str(name)) for name in frame.columns]
    header, rule, *rows = unlinked(frame_table(short, bold)).split("\n")
    return [(f"{header}\n{rule}", rows)]


def _list(title: str, items: Sequence[str]) -> _Section:
    return _Section(title, [("", [f"- {item}" for item in items])])


def _inline(text: str, most: int = 200) -> str:
    """``text`` as a part of a line, which may be its first."""
    return _BLOCK.sub(r"\1\\\2", unlinked(clean(shortened(text, most))))


def _code(command: str) -> str:
    """``command`` to be copied: in code nothing is escaped, and GitHub refers to nothing."""
    line = shortened(command, _COMMAND)
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{ticks} {line} {ticks}" if "`" in line else f"{ticks}{line}{ticks}"


@hookimpl
def benchsuite_reporters() -> Sequence[type[Reporter]]:
    """Provides ``markdown``."""
    return [Markdown]
