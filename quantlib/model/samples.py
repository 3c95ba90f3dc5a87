"""Samples from files: what the command line feeds to models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from quantlib.model.graph import Array, ModelError, Value

__all__ = ["Samples", "random_feed"]

ENDINGS = (".npy", ".npz", ".pb")


class Samples:
    """Feeds from a file, or from a folder of files, read when they are asked for.

    Parameters
    ----------
    path : path
        A ``.npz`` with an array for each input, or a ``.npy`` for a model of one input: samples lie
        along the first axis, unless the model declares the extent of that axis; then an array of
        that shape is one sample. Or a folder of such files, or of ``.pb`` tensors, sorted by name,
        each one sample; or of folders with ``input_0.pb``, ``input_1.pb`` and so on, as ONNX keeps
        its test data.
    inputs : list of Value
        What the model takes.
    batch : int
        How many samples of a file go into one feed.

    Raises
    ------
    ModelError
        If nothing is there, or a file does not hold what the model takes; the message names it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "samples.npz"
    >>> np.savez(path, x=np.zeros((5, 2), np.float32))
    >>> samples = Samples(path, [Value("x", np.dtype(np.float32), (None, 2))], batch=2)
    >>> len(samples), [feed["x"].shape for feed in samples]
    (3, [(2, 2), (2, 2), (1, 2)])
    """

    def __init__(self, path: str | os.PathLike[str], inputs: list[Value], batch: int = 1) -> None:
        if batch < 1:
            raise ValueError(f"batch is {batch}; it must be 1 or more")
        self._inputs, self._batch = inputs, batch
        source = Path(path)
        if source.is_dir():
            self._files = sorted(p for p in source.iterdir() if _is_sample(p))
            if not self._files:
                raise ModelError(f"{source}: no {', '.join(ENDINGS)} file in this folder")
            self._arrays: dict[str, Array] | None = None
            return
        self._files = [source]
        self._arrays = _read(source, inputs)
        self._cut = all(self._is_cut(value) for value in inputs)
        if self._cut and len({len(array) for array in self._arrays.values()}) > 1:
            lengths = {name: len(array) for name, array in self._arrays.items()}
            raise ModelError(f"{source}: inputs have different numbers of samples: {lengths}")

    def _is_cut(self, value: Value) -> bool:
        """Whether an array of samples lies along the first axis of an input."""
        array = (self._arrays or {})[value.name]
        if array.ndim == 0 or value.shape is None:
            return False
        return len(value.shape) == array.ndim and (
            not isinstance(value.shape[0], int) or value.shape[0] != len(array)
        )

    def __len__(self) -> int:
        if self._arrays is None or not self._cut:
            return len(self._files)
        return -(-len(next(iter(self._arrays.values()))) // self._step())

    def _step(self) -> int:
        """Samples of a feed: as many as the model declares, or as many as were asked for."""
        declared = {v.shape[0] for v in self._inputs if v.shape and isinstance(v.shape[0], int)}
        return declared.pop() if len(declared) == 1 else self._batch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._arrays is None:
            for file in self._files:
                yield _read(file, self._inputs)
        elif not self._cut:
            yield dict(self._arrays)
        else:
            step = self._step()
            for start in range(0, len(self) * step, step):
                yield {name: a[start : start + step] for name, a in self._arrays.items()}


def random_feed(inputs: list[Value]) -> dict[str, Any]:
    """A sample where there are none: normal floats or small integers, the same in every run.

    >>> random_feed([Value("x", np.dtype(np.float32), ("n", 2))])["x"].shape
    (1, 2)
    """
    rng, feed = np.random.default_rng(0), {}
    for value in inputs:
        if value.shape is None or value.dtype is None:
            raise ModelError(f"input {value.name!r} has no declared shape: give samples")
        shape = [extent if isinstance(extent, int) else 1 for extent in value.shape]
        real = value.dtype.kind == "f"
        array = rng.standard_normal(shape) if real else rng.integers(0, 2, shape)
        feed[value.name] = array.astype(value.dtype)
    return feed


def _is_sample(path: Path) -> bool:
    return path.suffix in ENDINGS or (path.is_dir() and (path / "input_0.pb").is_file())


def _read(path: Path, inputs: list[Value]) -> dict[str, Array]:
    """The arrays of a file by the names of the inputs."""
    names = [value.name for value in inputs]
    try:
        if path.is_dir():
            arrays = [_tensor(path / f"input_{index}.pb") for index in range(len(names))]
            return dict(zip(names, arrays, strict=True))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                missing = [name for name in names if name not in archive]
                if missing:
                    raise ModelError(
                        f"{path}: no array is called {missing[0]!r}; "
                        f"it holds {', '.join(map(repr, archive))}"
                    )
                return {name: archive[name] for name in names}
        if len(names) != 1:
            raise ModelError(f"{path}: the model has {len(names)} inputs; give an .npz file")
        if path.suffix == ".npy":
            return {names[0]: np.load(path, mmap_mode="r", allow_pickle=False)}
        if path.suffix == ".pb":
            return {names[0]: _tensor(path)}
    except (ValueError, EOFError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: {' '.join(str(error).split())[:200]}") from None
    raise ModelError(f"{path}: samples are {', '.join(ENDINGS)} files, or folders of them")


def _tensor(path: Path) -> Array:
    from google.protobuf.message import DecodeError

    try:
        tensor = onnx.TensorProto.FromString(path.read_bytes())
        array: Array = numpy_helper.to_array(tensor)
    except (DecodeError, ValueError, TypeError):
        raise ModelError(f"{path}: no ONNX tensor") from None
    return array
