"""The seeds that a gate has added to a run: in a run inside its folder, which belongs to it while it is the same."""

from __future__ import annotations

from benchsuite.contracts import Record
from benchsuite.harness.store import RunStore
from benchsuite.kit.files import digest, write_text

FOLDER = "more-seeds"
_OF = "of.txt"  # what it belongs to


def more_seeds(run: RunStore) -> list[Record]:
    """The records that a gate has added to this very run: to these cells, scored like this."""
    more = RunStore(run.path / FOLDER)
    try:
        belongs = (more.path / _OF).read_text(encoding="utf-8") == _identity(run)
    except (OSError, ValueError):
        return []
    return more.records() if belongs else []


def disown(run: RunStore) -> None:
    """What is in the folder belongs to nothing until ``adopt`` is called."""
    (run.path / FOLDER / _OF).unlink(missing_ok=True)


def adopt(run: RunStore) -> None:
    """What is in the folder belongs to ``run`` as it is."""
    write_text(run.path / FOLDER / _OF, _identity(run))


def _identity(run: RunStore) -> str:
    """Of the cells of a run and what they were scored by, which are others when code has changed."""
    records = run.records()
    return digest(sorted((record.cell.key, sorted({row.fingerprint for row in record.metrics})) for record in records))
