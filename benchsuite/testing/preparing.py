"""What a plugin does with a cache that nothing was prepared in, and what it says there."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from benchsuite.errors import BenchsuiteError
from benchsuite.testing.contract import BrokenContractError, calling
from benchsuite.testing.network import network_refused


def there_unprepared(
    name: str, calls: Mapping[str, Callable[[Path], object]], error: type[BenchsuiteError], read: str
) -> list[str]:
    """Which of ``calls``, given an empty cache, returned something; the others said by ``error`` how to prepare.

    Raises BrokenContractError where they raised anything else, did not name the command, wrote into the cache, or
    tried to use the network.
    """
    with _empty_cache(calls, read) as cache:
        return [what for what, call in calls.items() if not _is_missing(name, what, call, cache, error, read)]


def check_writes_nothing(calls: Mapping[str, Callable[[Path], object]], read: str) -> None:
    """Raises BrokenContractError where one of ``calls`` writes into an empty cache; it may fail there."""
    with _empty_cache(calls, read) as cache:
        for call in calls.values():
            with contextlib.suppress(Exception):
                call(cache)


@contextlib.contextmanager
def _empty_cache(calls: Collection[str], read: str) -> Iterator[Path]:
    """Raises BrokenContractError where it is not empty afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchsuite-check-") as folder:
        yield Path(folder)
        left = sorted(path.name for path in Path(folder).iterdir())
    if left:
        raise BrokenContractError(
            expected="only prepare writes into the cache",
            got=f"{', '.join(left)} was written there by {' or '.join(calls)}",
            read=read,
        )


def _is_missing(
    name: str, what: str, call: Callable[[Path], object], cache: Path, error: type[BenchsuiteError], read: str
) -> bool:
    """Whether ``call`` says as it should that something is not there."""
    command = f"benchsuite prepare {name}"
    expected = f"in an empty cache {what} raises {error.__name__}, and names the command: {command}"
    with network_refused(what, read), calling(what, expected=expected, read=read):
        try:
            call(cache)
        except error as said:
            if name not in str(said).partition("benchsuite prepare")[2]:
                raise BrokenContractError(expected=expected, got=f"{error.__name__}: {said}", read=read) from None
            return True
    return False
