"""The local executor: cells on this machine, as many at once as the run allows.

Source: own work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from benchsuite import Cell, Executor, ExecutorOptions, Record, hookimpl


class Local(Executor):
    """Threads that wait for cells; the cells themselves are processes."""

    name = "local"

    def run(
        self, cells: Sequence[Cell], run_cell: Callable[[Cell], Record], options: ExecutorOptions
    ) -> Iterator[Record]:
        """Yields records as cells end; closing it lets no further cell start."""
        pool = ThreadPoolExecutor(options.jobs)
        try:
            for future in as_completed([pool.submit(run_cell, cell) for cell in cells]):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@hookimpl
def benchsuite_executors() -> Sequence[type[Executor]]:
    """Provides ``local``."""
    return [Local]
