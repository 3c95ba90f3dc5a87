"""Numbers of threads for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import quantlib as ql


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let calls use so many threads in a block, or in a decorated function."""
    before = ql.get_num_threads()
    ql.set_num_threads(count)
    try:
        yield
    finally:
        ql.set_num_threads(before)
