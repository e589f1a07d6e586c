"""Reading ahead: what comes next is read by threads while the present one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def ahead(read: Callable[[In], Out], items: Iterable[In], threads: int) -> Iterator[Out]:
    """Yield read(item) for each item, in order; at most `threads` + 1 are read before they are due, with 0 none.

    What `read` raises is raised where its item is due.
    """
    if not threads:
        yield from map(read, items)
        return
    rest = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        waiting: deque[Future[Out]] = deque(pool.submit(read, item) for item in islice(rest, threads + 1))
        try:
            while waiting:
                found = waiting.popleft().result()
                waiting.extend(pool.submit(read, item) for item in islice(rest, 1))
                yield found
        finally:
            for each in waiting:
                each.cancel()
