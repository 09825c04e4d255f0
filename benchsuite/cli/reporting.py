"""Reports as files: every reporter that was asked for, those that fail told in a line each, and the page opened."""

from __future__ import annotations

import contextlib
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from benchsuite.errors import StoreError, reason_of
from benchsuite.harness.store import RunStore, uncollected
from benchsuite.kit.text import clean
from benchsuite.reports import Report, Reporter
from benchsuite.results.gathering import gather
from benchsuite.results.tables import report_of


@dataclass(frozen=True)
class Written:
    """The files of one report, and why reporters failed, by name; ``cells`` of the ``planned`` ones have a record."""

    paths: Sequence[Path] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    cells: int = 0
    planned: int = 0


@dataclass(frozen=True)
class Reporting:
    """One report on ``stores``, which can be written again and again."""

    stores: Sequence[RunStore]
    reporters: Mapping[str, type[Reporter]]
    folder: Path

    @uncollected()
    def write(self, *, watched: bool = False) -> Written:
        """Write what is there now; ``watched`` says that it will be written again, so that a page loads itself anew.

        Raises StoreError where the folder cannot be made, or a run cannot be read.
        """
        gathered = gather(self.stores)
        report = report_of(gathered)
        if watched:
            report = replace(report, provenance={**report.provenance, "watched": True})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            text = f"cannot write to {self.folder}: {error.strerror}; choose another folder with --out"
            raise StoreError(text) from None
        paths: list[Path] = []
        failed: dict[str, str] = {}
        for name, reporter in self.reporters.items():
            try:
                paths += _written_by(reporter, report, self.folder)
            except (Exception, SystemExit) as error:  # a plugin's code, or a full disk
                failed[name] = clean(reason_of(error), markdown=False)
                click.echo(f"reporter '{name}' failed: {failed[name]}", err=True)
        cells = len(gathered.cells)
        return Written(paths, failed, cells, cells + len(gathered.missing))


def _written_by(reporter: type[Reporter], report: Report, folder: Path) -> list[Path]:
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is not the answer to --json
        return [Path(path) for path in reporter().write(report, folder)]


def open_page(paths: Sequence[Path]) -> None:
    """Open the first HTML page of ``paths``; where no browser can be opened, say where it lies."""
    page = next((path.resolve() for path in paths if path.suffix == ".html"), None)
    if page is None:
        click.echo("there is no page to open", err=True)
        return
    try:
        opened = webbrowser.open(page.as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        click.echo(f"no browser could be opened; the page is {page}", err=True)
