"""Lets `threadpoolctl` see and limit quantlib's threads, as it does those of BLAS and OpenMP.

It knows a library by the name of its file, if somebody registered a controller for that name. This
is done here when threadpoolctl is imported, before quantlib or after it; quantlib does not import
it, and works without it. ::

    with threadpoolctl.threadpool_limits(1):                        # every pool
    with threadpoolctl.threadpool_limits(1, user_api="quantlib"):   # quantlib's only

The limit is that of `quantlib.set_num_threads`: it holds for the process, not for one thread of it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from quantlib import _native

NAME = "threadpoolctl"


def register_when_imported() -> None:
    """Register the controller now if threadpoolctl is there, otherwise once it is imported."""
    if NAME in sys.modules:
        _register(sys.modules[NAME])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _register(threadpoolctl: Any) -> None:
    if not hasattr(threadpoolctl, "register"):  # before version 3.2
        return

    class QuantlibController(threadpoolctl.LibController):  # type: ignore[misc]
        user_api = internal_api = "quantlib"
        filename_prefixes = ("_quantlib",)

        def get_num_threads(self) -> int:
            return _native.num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            _native.select_num_threads(min(num_threads, _native.MOST_THREADS), "num_threads")

        def get_version(self) -> str:
            return metadata.version("quantlib-int8")

    threadpoolctl.register(QuantlibController)


class _Finder(MetaPathFinder):
    """Waits for the import of threadpoolctl, leaves that to the finders after it, and is gone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(NAME)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """Loads as the loader that it stands for, gives its place back, and registers."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _register(module)
