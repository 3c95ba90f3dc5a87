"""`CalibrationData`: the samples of folders, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from quantlib.model.configuration.sections import DataPreprocess
from quantlib.model.configuration.values import Folders
from quantlib.model.graph import Array, ModelError, Shape, Value
from quantlib.model.preprocessing.images import channels_of, check_steps, prepared, read_image

__all__ = ["CalibrationData"]

MOST_ENTRIES = 100_000  # of a folder, exclusive
LAYOUTS = ("NCHW", "NHWC")


@dataclass(frozen=True, init=False)
class CalibrationData:
    """The samples in folders of images or of raw tensors, as often as they are asked for.

    Each input of a model has a folder. Its files are sorted by name, and of several inputs the
    files of the same place belong to one sample. Files are read when their sample's turn comes, so
    that no more than one sample is held.

    An image is read as 8-bit blue, green and red; then, in this order and as far as they are asked
    for: its colours are brought to `image_to_format`; it becomes float32 and is normalized,
    ``(x - mean) / std``; it is resized, with OpenCV's conventions; and its middle is cut out, from
    row ``(H - h) // 2`` and column ``(W - w) // 2`` on. It becomes a batch of one in the layout and
    type of the input; integers are rounded and saturated.

    Parameters
    ----------
    inputs : Model or sequence of Value
        The model that the samples are for, or its inputs.
    steps : DataPreprocess, optional
        A section ``[data_preprocess_param]`` of a configuration file. Its keys may be given, or
        replaced, by keywords:
    calibrate_path : mapping of str to path, or str
        The folder of each input. As text ``"name:folder,name:folder"``, where the last colon
        counts. Hidden files and folders within are passed over.
    calibrate_size : int
        How many samples, 1 or more: the first by name.
    input_type : {"IMAGE", "BIN"}
        Images in any format that Pillow reads; or the bytes of a tensor of the input's type and
        shape, little-endian, where a first extent that the model leaves open is 1.
    image_to_format : {"RGB", "GRAY", "BGR"}, optional
        The order of colours; without it, that which images are read in, BGR.
    normalize_mean, normalize_std : sequence of float, optional
        For each channel: 3, or 1 of gray images. 0 and 1 without them.
    resize_width, resize_height : int, optional
        The size to resize to; the ratio of the two is not kept.
    resize_method : {"LINEAR", "NEAREST", "CUBIC"}, optional
        How; images keep their size without it.
    center_crop_width, center_crop_height : int, optional
        The size to cut to.
    layout : {"NCHW", "NHWC"}, optional
        Where channels are in the model's inputs. Without it, NHWC if the model declares as many
        channels as images have in the last extent and not in the second, otherwise NCHW.

    Raises
    ------
    ModelError
        If the folders are not those of the model's inputs, one is missing, has too few files or
        100,000 entries; while reading, if a file is no image, too small for the crop, of another
        size than the input's bytes, or not of the input's shape. The message names the file.
    TypeError, ValueError
        If a key has no value that it may have, or they do not fit together.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for level in range(3):
    ...     Image.new("RGB", (8, 6), (level, 2, 255)).save(folder / f"{level}.png")
    >>> data = CalibrationData(
    ...     [Value("x", np.dtype(np.float32), (1, 3, 4, 4))], calibrate_path={"x": folder},
    ...     calibrate_size=2, input_type="IMAGE", image_to_format="RGB",
    ...     normalize_mean=[0, 0, 127.5], normalize_std=[1, 2, 127.5],
    ...     center_crop_width=4, center_crop_height=4)
    >>> [(feed["x"].shape, feed["x"][0, :, 0, 0].tolist()) for feed in data]
    [((1, 3, 4, 4), [0.0, 1.0, 1.0]), ((1, 3, 4, 4), [1.0, 1.0, 1.0])]
    """

    inputs: tuple[Value, ...]
    steps: DataPreprocess
    layout: str | None
    _files: dict[str, list[Path]] = field(repr=False)

    def __init__(
        self,
        inputs: Any,
        steps: DataPreprocess | None = None,
        *,
        layout: str | None = None,
        **keys: Any,
    ) -> None:
        if isinstance(keys.get("calibrate_path"), str):
            keys["calibrate_path"] = _folders(keys["calibrate_path"])
        steps = replace(steps or DataPreprocess(), **keys)
        for name in ("calibrate_path", "calibrate_size", "input_type"):
            if not getattr(steps, name):
                raise ValueError(f"{name} is missing; it must be given")
        if layout not in (None, *LAYOUTS):
            raise ValueError(f"layout is {layout!r}; it may be 'NCHW' or 'NHWC'")
        values: Sequence[Value] = getattr(inputs, "inputs", inputs)
        if steps.input_type == "IMAGE":
            check_steps(steps)
        object.__setattr__(self, "inputs", tuple(values))
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "layout", layout)
        object.__setattr__(self, "_files", _files_of(self.inputs, steps))

    def __len__(self) -> int:
        return self.steps.calibrate_size

    def __iter__(self) -> Iterator[dict[str, Array]]:
        read = self._image if self.steps.input_type == "IMAGE" else _tensor
        for index in range(len(self)):
            yield {value.name: read(self._files[value.name][index], value) for value in self.inputs}

    def _image(self, path: Path, value: Value) -> Array:
        image = prepared(read_image(path), self.steps, str(path))[np.newaxis]
        if self._is_nchw(value):
            image = image.transpose(0, 3, 1, 2)
        if not _fits(image.shape, value.shape):
            raise ModelError(
                f"{path}: the image becomes {_by(image.shape)}, "
                f"but input {value.name!r} is {_by(value.shape)}"
            )
        return _cast(image, value.dtype or np.dtype(np.float32))

    def _is_nchw(self, value: Value) -> bool:
        if self.layout is not None:
            return self.layout == "NCHW"
        if value.shape is None or len(value.shape) != 4:
            return True
        channels = channels_of(self.steps)
        return value.shape[3] != channels or value.shape[1] == channels


def _folders(text: str) -> dict[str, str]:
    try:
        return Folders().read(text)
    except ValueError:
        raise ValueError(f"calibrate_path is {text!r}; it must be {Folders.allowed}") from None


def _files_of(inputs: Sequence[Value], steps: DataPreprocess) -> dict[str, list[Path]]:
    """The files of each input, as many as there are samples."""
    folders, wanted = steps.calibrate_path or {}, [value.name for value in inputs]
    if set(folders) != set(wanted):
        raise ModelError(
            f"calibrate_path has folders for {_quoted(folders)}; "
            f"the model's inputs are {_quoted(wanted)}"
        )
    return {name: _first_files(Path(folders[name]), steps.calibrate_size) for name in wanted}


def _first_files(folder: Path, size: int) -> list[Path]:
    """The files of a folder, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            names = []
            for index, entry in enumerate(entries):
                if index + 1 >= MOST_ENTRIES:
                    raise ModelError(f"{folder}: the folder has {MOST_ENTRIES:,} entries or more")
                if entry.is_file() and not entry.name.startswith("."):
                    names.append(entry.name)
    except OSError as error:
        raise ModelError(f"{folder}: {error.strerror}; calibrate_path needs a folder") from None
    if len(names) < size:
        raise ModelError(f"{folder}: {len(names)} files; calibrate_size is {size}")
    return [folder / name for name in sorted(names)[:size]]


def _tensor(path: Path, value: Value) -> Array:
    """The tensor that a file holds the bytes of."""
    shape = [1 if axis == 0 and not isinstance(extent, int) else extent
             for axis, extent in enumerate(value.shape or ())]  # fmt: skip
    if value.shape is None or value.dtype is None or not all(isinstance(e, int) for e in shape):
        raise ModelError(f"{path}: bytes need a known shape, but the model declares input {value}")
    extents = tuple(int(extent) for extent in shape if extent is not None)
    expected = int(np.prod(extents)) * value.dtype.itemsize
    try:
        found = path.stat().st_size
        if found != expected:
            raise ModelError(
                f"{path}: {found:,} bytes; input {value.name!r}, {value.dtype} "
                f"{_by(extents)}, needs {expected:,}"
            )
        array = np.fromfile(path, value.dtype.newbyteorder("<")).reshape(extents)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    return array.astype(value.dtype, copy=False)


def _fits(shape: tuple[int, ...], declared: Shape | None) -> bool:
    if declared is None:
        return True
    return len(shape) == len(declared) and all(
        not isinstance(known, int) or known == extent
        for extent, known in zip(shape, declared, strict=True)
    )


def _cast(image: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind in "iu":
        ends = np.iinfo(dtype)
        image = np.clip(np.rint(image), ends.min, ends.max)
    return np.ascontiguousarray(image, dtype)


def _by(shape: Shape | None) -> str:
    return "x".join(str(extent or "?") for extent in shape or ())


def _quoted(names: Any) -> str:
    return ", ".join(map(repr, names)) or "nothing"
