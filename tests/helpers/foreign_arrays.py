"""Arrays that are not NumPy's own."""

from __future__ import annotations

from typing import Any

import numpy as np


class OnlyDLPack:
    """An array of another library: it speaks DLPack, and nothing else of NumPy's."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array

    def __dlpack__(self, **keywords: Any) -> Any:
        return self._array.__dlpack__(**keywords)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


class Subclass(np.ndarray):
    """An array type of somebody else's."""
