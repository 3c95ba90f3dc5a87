"""Resizing of codes: examples, oracle over modes and shapes, exact interpolation."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quantlib as ql
from quantlib import reference
from quantlib.testing import assert_bit_exact, extreme_codes, memory_layouts

BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
COORDINATES = [
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
]
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


@BOTH
def test_nearest_by_hand(layer: Any) -> None:
    x = np.int8([[1, 2, 3, 4]])
    assert layer.resize(x, scales=[1, 0.5]).tolist() == [[1, 3]]  # 0.5 and 2.5: ties
    up = layer.resize(x, scales=[1, 0.5], nearest_mode="round_prefer_ceil")
    assert up.tolist() == [[2, 4]]
    assert layer.resize(x, sizes=[2, 2], nearest_mode="ceil").tolist() == [[2, 4]] * 2
    every = layer.resize(x, sizes=[2], axes=[1], coordinate_transformation_mode="asymmetric")
    assert every.tolist() == [[1, 3]]


@BOTH
def test_linear_by_hand(layer: Any) -> None:
    """At -0.25, 0.25, 0.75, 1.25: 0, 2.5, 7.5 and 10, ties to even."""
    x = np.uint8([0, 10])
    assert layer.resize(x, scales=[2], mode="linear").tolist() == [0, 2, 8, 10]
    corners = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    assert layer.resize(x, sizes=[5], **corners).tolist() == [0, 2, 5, 8, 10]
    square = np.int8([[-128, 127], [127, -128]])
    middle = layer.resize(square, sizes=[3, 3], **corners)
    assert middle.tolist() == [[-128, 0, 127], [0, 0, 0], [127, 0, -128]]


@BOTH
def test_nothing_to_do_and_nothing_at_all(layer: Any) -> None:
    x = np.int8([[1, 2], [3, 4]])
    for mode in ("nearest", "linear"):
        assert layer.resize(x, scales=[1, 1], mode=mode).tolist() == x.tolist()
        assert layer.resize(x, sizes=[], axes=[], mode=mode).tolist() == x.tolist()
        assert layer.resize(np.int8(7), scales=[], mode=mode).tolist() == 7
        assert layer.resize(x, scales=[0.3, 1], mode=mode).shape == (0, 2)
        assert layer.resize(x[:0], scales=[2, 2], mode=mode).shape == (0, 4)
        assert layer.resize(x[:0], sizes=[0, 5], mode=mode).shape == (0, 5)


@BOTH
def test_what_cannot_be_resized(layer: Any) -> None:
    x = np.zeros((2, 3, 2, 2, 2), np.int8)
    with pytest.raises(ValueError, match=r"^sizes resizes axes 0 to 3"):
        layer.resize(x, sizes=[3, 3, 2, 3, 2])
    with pytest.raises(ValueError, match=r"^sizes has 3 for an axis of 0"):
        layer.resize(x[:0], sizes=[3], axes=[0])
    with pytest.raises(ValueError, match=r"^sizes has 0 "):
        layer.resize(x, sizes=[0], axes=[0])
    with pytest.raises(TypeError, match=r"^sizes "):
        layer.resize(x, sizes=["3"], axes=[0])


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("nearest", NEAREST)
def test_modes(
    isa: str, agree: Any, rng: np.random.Generator, coordinates: str, nearest: str
) -> None:
    modes = {"coordinate_transformation_mode": coordinates, "nearest_mode": nearest}
    for shape, axes in (((2, 3, 5, 7), [2, 3]), ((2, 5, 7, 17), [1, 2]), ((9,), [0])):
        x = rng.integers(-128, 128, shape).astype(np.int8)
        for factors in ([2, 2], [1.7, 0.6], [0.4, 3.3]):
            for mode in ("nearest", "linear"):
                agree("resize", x, scales=factors[: len(axes)], axes=axes, mode=mode, **modes)


@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    data=st.data(),
    mode=st.sampled_from(["nearest", "linear"]),
    coordinates=st.sampled_from(COORDINATES),
    seed=st.integers(0, 99),
)
def test_up_to_three_axes(
    isa: str, agree: Any, shape: list[int], data: Any, mode: str, coordinates: str, seed: int
) -> None:
    x = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    count = data.draw(st.integers(1, min(3, len(shape))))
    first = data.draw(st.integers(0, len(shape) - count))
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=count, max_size=count))
    axes = list(range(first, first + count))
    modes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    agree("resize", x.view((np.int8, np.uint8)[seed % 2]), sizes=sizes, axes=axes, **modes)


def test_lines_shared_by_threads(isa: str, agree: Any, rng: np.random.Generator) -> None:
    for shape, axes in (((2, 40, 50, 16), (1, 2)), ((2, 16, 40, 50), (2, 3))):
        x = rng.integers(0, 256, shape, np.uint8)
        for mode in ("nearest", "linear"):
            agree("resize", x, scales=(3.0, 2.0), axes=axes, mode=mode)
        for extreme in extreme_codes(shape, "int8").values():
            agree("resize", extreme, scales=(1.5, 1.5), axes=axes, mode="linear")


def test_layouts_and_out(isa: str, agree: Any, rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (3, 5, 7), np.uint8)
    for layout in memory_layouts(x).values():
        agree("resize", layout, sizes=(3, 9, 4), mode="linear")
        agree("resize", layout, sizes=(3, 9, 4))
    agree.written("resize", x, sizes=(3, 9, 4), mode="linear")
    agree.overlapping("resize", x, sizes=(3, 9, 4), mode="linear")


def test_prepared(isa: str, agree: Any, rng: np.random.Generator) -> None:
    double = agree.prepared("Resize", scales=np.float32([2, 1.5]), axes=[-2, -1], mode="linear")
    to_nine = agree.prepared("Resize", sizes=[9], axes=(1,), nearest_mode="ceil")
    for shape in ((3, 5, 7), (2, 4), (3, 5, 7)):  # and what was remembered
        for dtype in (np.int8, np.uint8):
            x = rng.integers(0, 256, shape, np.uint8).view(dtype)
            double(x)
            double(np.asfortranarray(x))
            to_nine(x)


def test_out_of_prepared(isa: str, rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (3, 5), np.uint8)
    for layer in (ql, reference):
        operation = layer.Resize(sizes=[6, 4])
        out = np.empty((6, 4), np.uint8)
        assert operation(x, out=out) is out
        assert_bit_exact(out, layer.resize(x, sizes=[6, 4]))
        with pytest.raises(ValueError, match=r"^out has shape"):
            operation(x, out=out[1:])


@BOTH
def test_prepared_arguments_are_checked_when_they_are_given(layer: Any) -> None:
    both, cubic = {"sizes": [1], "scales": [1]}, {"sizes": [1], "mode": "cubic"}
    for wrong in ({}, {"scales": [0]}, both, cubic):
        with pytest.raises(ValueError, match=r"^(either )?(scales|mode) "):
            layer.Resize(**wrong)
    with pytest.raises(TypeError, match=r"^axes "):
        layer.Resize(scales=[2.0], axes=1)
    with pytest.raises(ValueError, match=r"^scales has shape"):
        layer.Resize(scales=[2.0])(np.zeros((2, 3), np.int8))


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_interpolation_by_powers_of_two_is_exact(factor: int, rng: np.random.Generator) -> None:
    """In fractions: half-pixel coordinates are multiples of 1/16, whose products float32 holds."""
    x = rng.integers(-128, 128, (5, 6)).astype(np.int8)
    result = ql.resize(x, scales=(factor, factor), mode="linear")

    def neighbours(place: int, extent: int) -> tuple[int, int, Fraction]:
        at = min(max(Fraction(2 * place + 1, 2 * factor) - Fraction(1, 2), 0), extent - 1)
        first = int(at)
        return first, min(first + 1, extent - 1), at - first

    for i, j in np.ndindex(*result.shape):
        (top, bottom, v), (left, right, h) = neighbours(i, 5), neighbours(j, 6)
        upper = (1 - h) * int(x[top, left]) + h * int(x[top, right])
        lower = (1 - h) * int(x[bottom, left]) + h * int(x[bottom, right])
        assert result[i, j] == round((1 - v) * upper + v * lower)
