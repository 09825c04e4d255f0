"""Work done one step ahead of its use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What each of ``calls`` returns, in order; a thread makes the next one while the last is in use.

    One result is in use, one waits and one is being made, no more. What a call raises is raised where its result
    would have come.

    >>> list(ahead([lambda: 1, lambda: 2]))
    [1, 2]
    """
    with ThreadPoolExecutor(1) as worker:
        coming: Future[T] | None = None
        for call in calls:
            following = worker.submit(call)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()
