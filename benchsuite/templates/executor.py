"""TemplateName: cells one after the other, in the order in which they come.

Source: own work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import benchsuite


class TemplateName(benchsuite.Executor):
    """One cell at a time."""

    name = "template_name"

    def run(
        self,
        cells: Sequence[benchsuite.Cell],
        run_cell: Callable[[benchsuite.Cell], benchsuite.Record],
        options: benchsuite.ExecutorOptions,
    ) -> Iterator[benchsuite.Record]:
        """``run_cell`` brings isolation along and can be pickled: call it here, or on another machine."""
        for cell in cells:
            yield run_cell(cell)


@benchsuite.hookimpl
def benchsuite_executors() -> Sequence[type[benchsuite.Executor]]:
    """Provides ``template_name``."""
    return [TemplateName]
