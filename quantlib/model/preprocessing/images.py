"""From an image file to what a model takes: colour, normalization, size."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from quantlib.model.configuration.sections import DataPreprocess
from quantlib.model.graph import Array, ModelError
from quantlib.model.preprocessing.resize import resize

__all__ = ["channels_of", "check_steps", "prepared", "read_image"]

# OpenCV's weights of blue, green and red, in units of 2**-15.
GRAY, GRAY_BITS = np.array([3735, 19235, 9798], np.int64), 15


def channels_of(steps: DataPreprocess) -> int:
    """How many channels images end up with."""
    return 1 if steps.image_to_format == "GRAY" else 3


def check_steps(steps: DataPreprocess) -> None:
    """Raise ValueError if the steps cannot be followed, whatever the image."""
    channels = channels_of(steps)
    for name in ("normalize_mean", "normalize_std"):
        numbers = getattr(steps, name)
        if numbers is not None and len(numbers) != channels:
            raise ValueError(
                f"{name} has {len(numbers)} numbers; images of {channels} channels need {channels}"
            )
    if 0 in (steps.normalize_std or ()):
        raise ValueError("normalize_std holds 0; it is divided by")
    if steps.resize_method is not None:
        _require_pair(steps, "resize_width", "resize_height", "resize_method is set")
    if steps.center_crop_width is not None or steps.center_crop_height is not None:
        _require_pair(steps, "center_crop_width", "center_crop_height", "the other is set")


def _require_pair(steps: DataPreprocess, width: str, height: str, why: str) -> None:
    for name in (width, height):
        if getattr(steps, name) is None:
            raise ValueError(f"{name} is missing; {why}")


def read_image(path: Path) -> Array:
    """The pixels of a file, (height, width, 3) of uint8 in the order blue, green, red.

    As OpenCV reads them: turned as the camera says, without transparency, 16 bits cut to 8.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ImportError('images need Pillow: pip install "quantlib-int8[onnx]"') from None
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # grey levels of 16 bits
                high = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255)
                image = Image.fromarray(high.astype(np.uint8))
            return np.asarray(image.convert("RGB"))[:, :, ::-1]
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, struct.error) as error:
        raise ModelError(f"{path}: no image that can be read: {_in_a_line(error)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ModelError(f"{path}: {_in_a_line(error)}") from None


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def prepared(image: Array, steps: DataPreprocess, name: str) -> Array:
    """What the steps make of the pixels of `read_image`: float32, (height, width, channels).

    Colours first, then ``(x - mean) / std``, then the size, then the crop from the middle.
    """
    image = _normalized(_recoloured(image, steps.image_to_format), steps)
    if steps.resize_method is not None:
        assert steps.resize_height is not None
        assert steps.resize_width is not None
        image = resize(image, steps.resize_height, steps.resize_width, steps.resize_method)
    if steps.center_crop_height is not None and steps.center_crop_width is not None:
        image = _cropped(image, steps.center_crop_height, steps.center_crop_width, name)
    return image


def _recoloured(image: Array, order: str | None) -> Array:
    if order == "RGB":
        return image[:, :, ::-1]
    if order == "GRAY":
        half = 1 << (GRAY_BITS - 1)
        gray: Array = (image @ GRAY + half >> GRAY_BITS).astype(np.uint8)
        return gray[:, :, np.newaxis]
    return image


def _normalized(image: Array, steps: DataPreprocess) -> Array:
    result: Array = image.astype(np.float32)
    if steps.normalize_mean is not None:
        result -= np.array(steps.normalize_mean, np.float32)
    if steps.normalize_std is not None:
        result /= np.array(steps.normalize_std, np.float32)
    return result


def _cropped(image: Array, height: int, width: int, name: str) -> Array:
    has_height, has_width = image.shape[:2]
    if height > has_height or width > has_width:
        raise ModelError(
            f"{name}: center_crop_width x center_crop_height are {width} x {height}, more than "
            f"the image's {has_width} x {has_height}"
        )
    top, left = (has_height - height) // 2, (has_width - width) // 2
    return image[top : top + height, left : left + width]
