"""Which cases are measured."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.shapes import TARGETS

# The most operations or elements of a case when it has to be quick.
QUICK_WORK = {
    "matmul": 10**9,
    "overhead": 10**9,
    "conv": 3 * 10**8,
    "elementwise": 4_000_000,
    "layers": 1_000_000,
}


@dataclass(frozen=True)
class Selection:
    """Those that have one of the texts of `only` in their suite and label, if there are any, and
    not more work than `most_work` says for the suite; products and convolutions are those of these
    `files`."""

    only: Sequence[str] = ()
    most_work: Mapping[str, int] = field(default_factory=dict)
    files: Sequence[str] = (TARGETS,)

    def takes(self, suite: str, label: str, work: int) -> bool:
        named = not self.only or any(text in f"{suite} {label}" for text in self.only)
        return named and work <= self.most_work.get(suite, sys.maxsize)
