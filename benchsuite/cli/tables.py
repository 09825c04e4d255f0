"""How a run's tables are printed."""

from __future__ import annotations

import click

from benchsuite.contracts import Report
from benchsuite.kit.text import frame_table


def print_report(report: Report) -> None:
    """The comparison, the timing, what came to no number, and where the run lies."""
    for title, frame in report.comparison.items():
        click.echo(f"\nComparison on {title}: mean over seeds ± half width of the 95% t interval (from 3 seeds)\n")
        click.echo(frame_table(frame.reset_index()))
    for title, frame in report.timing.items():
        click.echo(f"\nTiming on {title}: seconds per cell, mean over seeds; peak memory above the cell's start\n")
        click.echo(frame_table(frame.reset_index()))
    if not report.failures.empty:
        click.echo("\nWithout a number\n")
        click.echo(frame_table(report.failures))
    for note in report.provenance.get("notes", ()):
        click.echo(f"note: {note}")
    click.echo(f"\nRun: {report.folder}")
