"""The hooks that a plugin module may implement, each marked with ``@benchsuite.hookimpl``.

A plugin is a module named by an entry point of the group ``benchsuite``. It implements the hooks it wants
and leaves out the rest. The hooks that provide something return a list; none is handed a registry to change. A module
that says ``benchsuite_api = 1`` is loaded by versions of benchsuite that have this version of the hooks and of what
``benchsuite`` exports, and by no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from benchsuite.contracts import (
        Cell,
        Dataset,
        Executor,
        FeatureExtractor,
        Method,
        Metric,
        Record,
    )
    from benchsuite.reports import Reporter

# Goes up when a plugin that was right would no longer be: see "What stays" in the plugin guide.
API_VERSION = 1

hookspec = pluggy.HookspecMarker("benchsuite")
hookimpl = pluggy.HookimplMarker("benchsuite")


@hookspec
def benchsuite_methods() -> Sequence[type[Method]] | None:
    """Provide methods.

    Called once, when the plugin is loaded. Returns Method subclasses; their ``name`` is what
    ``--methods`` selects. None means that the plugin has none.
    """


@hookspec
def benchsuite_datasets() -> Sequence[type[Dataset]] | None:
    """Provide datasets.

    Called once, when the plugin is loaded. Returns Dataset subclasses; their ``name`` is what
    ``--datasets`` selects. None means that the plugin has none.
    """


@hookspec
def benchsuite_metrics() -> Sequence[Metric] | None:
    """Provide metrics.

    Called once, when the plugin is loaded. Returns Metric objects; their ``name`` is what
    ``--metrics`` selects. None means that the plugin has none.
    """


@hookspec
def benchsuite_features() -> Sequence[type[FeatureExtractor]] | None:
    """Provide feature extractors, which feature metrics select as in ``fd[features=classifier]``.

    Called once, when the plugin is loaded. Returns FeatureExtractor subclasses. None means that the
    plugin has none.
    """


@hookspec
def benchsuite_executors() -> Sequence[type[Executor]] | None:
    """Provide executors, which decide where cells run.

    Called once, when the plugin is loaded. Returns Executor subclasses; their ``name`` is what
    ``--executor`` selects. None means that the plugin has none.
    """


@hookspec
def benchsuite_reporters() -> Sequence[type[Reporter]] | None:
    """Provide reporters, which write a run's tables in one format.

    Called once, when the plugin is loaded. Returns Reporter subclasses; their ``name`` is what
    ``--format`` selects. None means that the plugin has none.
    """


@hookspec
def benchsuite_cell_started(cell: Cell) -> None:
    """Be told that a cell starts.

    Called in the driver's process before each cell is handed to its executor. The return value is ignored.
    An exception is written to the run's events and stops nothing.
    """


@hookspec
def benchsuite_cell_finished(cell: Cell, record: Record) -> None:
    """Be told that a cell has ended, whatever its status.

    Called in the driver's process after the record is stored. The return value is ignored. An exception is
    written to the run's events and stops nothing.
    """
