"""What a report is made of, and what a reporter does with it.

These types stand apart from the other contracts, which are part of the identity of every cell: how runs are reported
changes no number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Picture:
    """A picture of a report, as the bytes of a PNG. ``section`` is what it shows, ``title`` whose.

    Sections are ``ranks``, ``phases``, ``pareto``, ``curves``, ``samples``, ``reconstructions``, ``interpolations`` and
    ``codes``. ``caption`` says what is seen; ``missing`` what is not, and why, empty where all is there.
    """

    section: str
    title: str
    caption: str
    png: bytes
    missing: str = ""


@dataclass(frozen=True)
class Report:
    """What a reporter is given: the tables of one run or several, and what they are made from.

    - ``results`` and ``timings``: the frames of results.csv and timings.csv;
    - ``summary``: a row for each dataset, metric, protocol and method; see benchsuite.results.summary. Its ``shown`` is
      the text of ``comparison``, whose tables, one per dataset, have methods as rows and metrics as columns; its
      ``lead`` says which are ``best``, or ``significant`` where seeds tell them from all others; ``leads`` are the
      same in tables of the shape of ``comparison``;
    - ``contest``: a row for each dataset and metric with a direction: who is best, and whether seeds decide it;
    - ``ranks``: mean ranks over datasets, a row for each metric and method, where there are enough datasets;
    - ``timing`` (seconds), ``metric_timing`` (of each metric) and ``rates`` (items per second, memory and sizes):
      tables of what cells cost, one per dataset and machine; ``contended`` the seconds of cells that did not run
      alone. ``untimed`` says which cells the others leave out and why, and is empty where they have all;
    - ``failures``: the rows that did not come to a number; ``cautions``: what has to be known of numbers that are
      marked with a dagger; ``protocols``: how each metric was computed;
    - ``warnings``: sentences on what keeps numbers from being compared or trusted; ``facts``: a few words each on how
      much there is of what; ``leaders``: for each dataset a sentence on who is best;
    - ``pictures``: draws them, each time it is called; at most ``limit`` bytes of them, saying what was left out.
    """

    name: str
    folder: Path
    results: pd.DataFrame
    timings: pd.DataFrame
    comparison: Mapping[str, pd.DataFrame]
    leads: Mapping[str, pd.DataFrame]
    timing: Mapping[str, pd.DataFrame]
    failures: pd.DataFrame
    cautions: pd.DataFrame
    protocols: pd.DataFrame
    summary: pd.DataFrame
    contest: pd.DataFrame
    ranks: pd.DataFrame
    pictures: Callable[[int], Sequence[Picture]]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    rates: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    metric_timing: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    contended: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    untimed: str = ""
    warnings: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    leaders: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Mapping[str, pd.DataFrame]:
        """The frames that are data and no text for people, by name; ``ranks`` where there are any."""
        names = ("results", "timings", "summary", "contest", "ranks")
        return {name: getattr(self, name) for name in names if name != "ranks" or not self.ranks.empty}


class Reporter(ABC):
    """Writes a run's tables in one format."""

    name: ClassVar[str]

    @abstractmethod
    def write(self, report: Report, folder: Path) -> Sequence[Path]:
        """Write into ``folder``, which exists; return the files written."""
