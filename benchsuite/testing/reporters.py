"""The contract of a reporter, check by check, on a small report whose names are hostile."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchsuite.reports import Report, Reporter
from benchsuite.testing.claims import Memory, check_name, checks_of_claims
from benchsuite.testing.contract import BrokenContractError, Check, as_test, calling
from benchsuite.testing.declared import checks_of_words
from benchsuite.testing.reported import ReportedRun, report_without_scores, small_report
from benchsuite.testing.surroundings import switches_restored
from benchsuite.testing.untouched import check_untouched

PAGE = "docs/plugins/reporters.md"

_TEXTS = (".csv", ".htm", ".html", ".json", ".md", ".rst", ".svg", ".tex", ".tsv", ".txt", ".xhtml", ".xml", ".yaml")
_PAGES = (".htm", ".html", ".md", ".svg", ".xhtml")
_MARKUP = ("<script>alert(1)", "<img src=x")
_CODE = re.compile(r"(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)")  # in Markdown, where nothing is live
_SHEETS = {".csv": ",", ".tsv": "\t"}


def reporter_contract(reporter: type[Reporter]) -> Callable[[Check], None]:
    """A pytest function with one test for each claim of the contract of a reporter.

    >>> test_winners = reporter_contract(Winners)  # doctest: +SKIP
    """
    return as_test(reporter_checks(reporter))


def reporter_checks(reporter: type[Reporter]) -> list[Check]:
    """Every check of a reporter: of what it declares, and of what it writes of small reports."""
    subject, writing = f"reporter '{reporter.name}'", WritingReporter(reporter)
    claims: dict[str, Callable[[WritingReporter], str | None]] = {
        "has a name": lambda reporter: check_name(reporter.plugin),
        "writes files, and says which": _writes,
        "writes nothing elsewhere": _elsewhere,
        "its texts are in UTF-8": _texts,
        "what plugins put into names and errors stays text": _escapes,
        "changes nothing of the report": _changes,
        "leaves the process as it was": _switches,
        "writes a report that has no score": _without_scores,
    }
    return checks_of_words(subject, reporter) + checks_of_claims(subject, claims, writing)


@dataclass(frozen=True)
class Written:
    """What a reporter wrote: the files that it says, as bytes by name; and what it should not have done, in words."""

    files: Mapping[str, bytes]
    unsaid: tuple[str, ...]
    elsewhere: tuple[str, ...]
    changed: tuple[str, ...]
    switched: tuple[str, ...]

    @property
    def texts(self) -> dict[str, str]:
        """Those that are text, by their endings."""
        known = {name: content for name, content in self.files.items() if Path(name).suffix in _TEXTS}
        return {name: content.decode("utf-8", "replace") for name, content in known.items()}


@dataclass(frozen=True)
class WritingReporter:
    """``plugin``, and what it wrote of the small report, once for all the checks that look at it."""

    plugin: type[Reporter]
    memory: Memory = field(default_factory=Memory)

    def written(self) -> Written:
        """Raises BrokenContractError for what goes wrong."""
        return self.memory.once("report", lambda: self.write(small_report()), "it writes no report")

    def write(self, run: ReportedRun) -> Written:
        """Have it write a copy of a report. Raises likewise."""
        report = replace(run.report, **_copied(run.report))
        read = f"{PAGE}#what-it-promises"
        expected = "write(report, folder) writes one file or more into folder, and returns their paths"
        with tempfile.TemporaryDirectory(prefix="benchsuite-check-") as name, switches_restored() as switched:
            parent = Path(name).resolve()
            folder = parent / "report"
            folder.mkdir()
            around = (parent, run.report.folder.resolve())
            before = _files(around, but=folder)
            with contextlib.chdir(parent), calling("write(report, folder)", expected=expected, read=read):
                returned: object = self.plugin().write(report, folder)
                paths = _paths(returned, folder, expected, read)
            inside = {path for path in folder.rglob("*") if path.is_file()}
            after = _files(around, but=folder)
            return Written(
                files={str(path.relative_to(folder)): path.read_bytes() for path in paths},
                unsaid=tuple(sorted(str(path.relative_to(folder)) for path in inside - set(paths))),
                elsewhere=tuple(sorted(path for path in {*before, *after} if before.get(path) != after.get(path))),
                changed=tuple(_differing(run.report, report)),
                switched=tuple(switched),
            )


def _paths(returned: object, folder: Path, expected: str, read: str) -> list[Path]:
    """What was returned, as paths. Raises BrokenContractError unless they are of files in ``folder`` with content."""
    named = isinstance(returned, list | tuple) and returned and all(isinstance(path, str | Path) for path in returned)
    if not named or not isinstance(returned, list | tuple):
        raise BrokenContractError(expected=expected, got=f"it returned {returned!r}"[:200], read=read)
    paths = [Path(path).resolve() for path in returned]
    for path in paths:
        wrong = _wrong(path, folder)
        if wrong:
            raise BrokenContractError(expected=expected, got=f"{path.name} {wrong}", read=read)
    return paths


def _wrong(path: Path, folder: Path) -> str:
    """What is wrong with a file that a reporter says it wrote."""
    if not path.is_relative_to(folder):
        return "is not in folder"
    if not path.is_file():
        return "is not there"
    return "" if path.stat().st_size else "is empty"


def _files(folders: tuple[Path, ...], but: Path) -> dict[str, tuple[int, int]]:
    """The files in and below ``folders``, with sizes and times."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_relative_to(but):
                found[str(path.relative_to(folder))] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found


def _frames(report: Report) -> Iterator[tuple[str, pd.DataFrame]]:
    """All frames of a report, by the name of their field and, in a table of them, their key."""
    for name in (one.name for one in fields(report)):
        value = getattr(report, name)
        if isinstance(value, pd.DataFrame):
            yield name, value
        elif isinstance(value, Mapping):
            yield from ((f"{name}['{key}']", one) for key, one in value.items() if isinstance(one, pd.DataFrame))


def _copied(report: Report) -> dict[str, Any]:
    """Copies of the fields that hold frames."""
    copies: dict[str, Any] = {}
    for name in (one.name for one in fields(report)):
        value = getattr(report, name)
        if isinstance(value, pd.DataFrame):
            copies[name] = value.copy()
        elif isinstance(value, Mapping):
            copies[name] = {key: one.copy() if isinstance(one, pd.DataFrame) else one for key, one in value.items()}
    return copies


def _differing(report: Report, other: Report) -> list[str]:
    of_other = dict(_frames(other))
    return [
        name
        for name, frame in _frames(report)
        if name not in of_other
        or list(frame.columns) != list(of_other[name].columns)
        or not frame.index.equals(of_other[name].index)
        or not frame.equals(of_other[name])
    ]


def _writes(reporter: WritingReporter) -> str | None:
    unsaid = reporter.written().unsaid
    return f"it does not say that it wrote {', '.join(unsaid)}" if unsaid else None


def _elsewhere(reporter: WritingReporter) -> None:
    elsewhere = reporter.written().elsewhere
    instead = f"write to folder / '{Path(elsewhere[0]).name}'" if elsewhere else ""
    check_untouched(
        elsewhere,
        expected="a reporter writes into folder and nowhere else",
        after=f" was written beside it; {instead}",
        read=f"{PAGE}#what-it-promises",
    )


def _texts(reporter: WritingReporter) -> None:
    for name, content in reporter.written().files.items():
        if Path(name).suffix not in _TEXTS:
            continue
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BrokenContractError(
                expected="texts in UTF-8, on every machine",
                got=f"{name}: {error}; write_text(text, encoding='utf-8')",
                read=f"{PAGE}#what-it-promises",
            ) from None


def _escapes(reporter: WritingReporter) -> None:
    for name, text in reporter.written().texts.items():
        live = _live(Path(name).suffix, text)
        if live:
            raise BrokenContractError(
                expected="names, units and errors, which come from plugins, are text in every format and nothing else",
                got=f"{name} has {live[0]} in it as it came; escape it: html.escape(text), or benchsuite.kit.text",
                read=f"{PAGE}#what-it-promises",
            )


def _live(suffix: str, text: str) -> list[str]:
    """What of the hostile names a file with this ending would run, or read as more than text."""
    if suffix in _SHEETS:
        rows = csv.reader(io.StringIO(text), delimiter=_SHEETS[suffix])
        return [cell for row in rows for cell in row if cell.startswith("=cmd")]
    if suffix == ".tex":
        return [command for command in (r"\input{x}",) if command in text]
    if suffix == ".md":
        text = _CODE.sub("", text)
    return [markup for markup in _MARKUP if suffix in _PAGES and markup in text]


def _changes(reporter: WritingReporter) -> None:
    check_untouched(
        reporter.written().changed,
        expected="a report stays as it was, since other reporters are given the same one",
        after=" changed; work on a copy: frame = frame.copy()",
        read=f"{PAGE}#what-it-promises",
    )


def _switches(reporter: WritingReporter) -> None:
    check_untouched(
        reporter.written().switched,
        expected="a reporter leaves the process as it was",
        before="it changed ",
        read=f"{PAGE}#what-it-promises",
    )


def _without_scores(reporter: WritingReporter) -> None:
    reporter.written()
    reporter.write(report_without_scores())
