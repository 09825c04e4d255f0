"""How a run's tables are printed: fitted to a terminal, or as Markdown where the output goes elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from benchsuite.kit.text import clean, frame_table, numeric_columns, readable
from benchsuite.reports import Report

if TYPE_CHECKING:
    import pandas as pd


def print_report(report: Report) -> None:
    """The comparison with its cautions, timing and rates, what came to no number, and where the run lies."""
    for title, frame in report.comparison.items():
        click.echo(f"\nComparison on {title}: mean over seeds ± half width of the 95% t interval (from 3 seeds)\n")
        print_frame(readable(frame))
    if not report.cautions.empty:
        click.echo("\n† Cautions\n")
        print_frame(report.cautions)
    for title, frame in report.timing.items():
        click.echo(f"\nTiming on {title}: seconds per cell, mean over seeds\n")
        print_frame(frame.reset_index())
    for title, frame in report.rates.items():
        click.echo(f"\nRates on {title}: items per second, peak memory above the cell's start, learnt numbers\n")
        print_frame(frame.reset_index())
    if report.untimed:
        click.echo(f"\n{clean(report.untimed, markdown=False)}")
    if not report.failures.empty:
        click.echo("\nWithout a number\n")
        print_frame(report.failures)
    for note in report.provenance.get("notes", ()):
        click.echo(f"note: {note}")
    click.echo(f"\nRun: {report.folder}")


def print_frame(frame: pd.DataFrame) -> None:
    """One table; where it is too wide for a terminal, several with a part of the columns each."""
    if not sys.stdout.isatty():
        click.echo(frame_table(frame))
        return
    from rich.console import Console

    console = Console()
    for part in _parts(frame, console.width):
        console.print(_rich_table(part))


def _parts(frame: pd.DataFrame, width: int) -> list[pd.DataFrame]:
    """``frame`` in blocks of columns that fit, its first column in each; whole where a column of prose has to wrap."""
    cells = [max((cell_len(str(text)) for text in frame[title]), default=0) + 3 for title in frame.columns]
    if max(cells) > width / 2:
        return [frame]
    titles = [min(cell_len(str(title)) + 3, width // 3) for title in frame.columns]  # longer ones are folded
    needed = [max(pair) for pair in zip(cells, titles, strict=True)]
    blocks: list[list[int]] = [[0]]
    for column in range(1, len(needed)):
        if len(blocks[-1]) > 1 and sum(needed[i] for i in blocks[-1]) + needed[column] > width:
            blocks.append([0])
        blocks[-1].append(column)
    return [frame.iloc[:, block] for block in blocks]


def _rich_table(frame: pd.DataFrame) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="")
    for title, numeric in zip(frame.columns, numeric_columns(frame), strict=True):
        table.add_column(Text(str(title)), justify="right" if numeric else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(clean(str(value), markdown=False)) for value in row))
    return table
