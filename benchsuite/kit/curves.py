"""The learning curve of one cell: a CSV that an interrupted run cuts back to its checkpoint and goes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

_HEADER = "step,epoch,stage,name,value\n"


class Curve:
    """Rows of step, epoch, stage, name and value, the value being the mean since the row before."""

    def __init__(self, path: Path | None, size: int) -> None:
        """Keep the first ``size`` bytes of the file at ``path``, or start it anew where ``size`` is 0."""
        self._path = path
        self.size = size
        if path is None:
            return
        if size and path.exists() and path.stat().st_size >= size:
            with path.open("r+b") as file:
                file.truncate(size)
        else:
            path.write_bytes(_HEADER.encode())
            self.size = len(_HEADER)

    def append(self, step: int, epoch: int, stage: str, values: Sequence[tuple[str, Tensor]]) -> None:
        """Add one row for each name among ``values``."""
        if self._path is None:
            return
        by_name: dict[str, list[float]] = {}
        for name, value in values:
            by_name.setdefault(name, []).append(float(value))
        text = io.StringIO(newline="")
        rows = [(step, epoch, stage, name, f"{sum(v) / len(v):.6g}") for name, v in by_name.items()]
        csv.writer(text, lineterminator="\n").writerows(rows)
        with self._path.open("ab") as file:
            self.size += file.write(text.getvalue().encode())
