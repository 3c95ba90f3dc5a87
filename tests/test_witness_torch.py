"""torch, where it follows the same rules, computes the same bits.

Integer products do, and so do float64 convolutions of integers, which are exact. Of torch's ways
to quantize, `quantize_per_tensor` multiplies by the reciprocal of the scale and rounds the zero
point along, and `fake_quantize` multiplies by the reciprocal: both agree with a division where
the scale is a power of two and the zero point 0 or the data no tie, so that is where they are
compared, and one test pins the difference elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quantlib as ql

torch = pytest.importorskip("torch", reason="torch is the witness")
functional = torch.nn.functional

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize(("m", "k", "n"), [(17, 8, 8), (32, 64, 48), (65, 136, 16), (129, 40, 264)])
def test_int_mm(m: int, k: int, n: int) -> None:
    random = np.random.default_rng(m)
    a, b = (random.integers(-128, 128, shape).astype(np.int8) for shape in ((m, k), (k, n)))
    wanted = torch._int_mm(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_array_equal(ql.matmul_integer(a, b), wanted)


@pytest.mark.parametrize("seed", range(16))
def test_convolutions_of_integers_in_float64(seed: int) -> None:
    """One to three spatial axes, with symmetric padding, which is what torch has."""
    random = np.random.default_rng(seed)
    rank, group = 1 + seed % 3, int(random.choice([1, 2, 4]))
    each, outputs = random.integers(1, 6, 2).tolist()
    if seed % 5 == 0:
        group, each, outputs = 16, 1, 1  # depthwise
    kernel, strides, dilations = (random.integers(1, 4, rank).tolist() for _ in range(3))
    pads = random.integers(0, 3, rank).tolist()
    x_shape = (2, group * each, *random.integers(8, 12, rank).tolist())
    x = random.integers(0, 256, x_shape).astype(np.uint8)
    w = random.integers(-128, 128, (group * outputs, each, *kernel)).astype(np.int8)
    zx, zw = np.uint8(random.integers(256)), np.int8(random.integers(-128, 128))
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    wanted = convolve(
        torch.from_numpy(x.astype(np.float64) - zx),
        torch.from_numpy(w.astype(np.float64) - zw),
        stride=strides,
        padding=pads,
        dilation=dilations,
        groups=group,
    ).numpy()
    result = ql.conv_integer(
        x, w, zx, zw, strides=strides, pads=pads * 2, dilations=dilations, group=group
    )
    np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("scale", [2.0, 0.5, 0.03125])
@pytest.mark.parametrize("zero_point", [-3, 0, 64])
def test_fake_quantize_with_a_power_of_two(scale: float, zero_point: int) -> None:
    """Ties and their neighbours: multiplying by the reciprocal is then the division."""
    ties = np.arange(-600, 601, dtype=np.float32) / 2 * np.float32(scale)
    x = np.concatenate([ties, np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf)])
    wanted = torch.fake_quantize_per_tensor_affine(
        torch.from_numpy(x), scale, zero_point, -128, 127
    )
    result = ql.fake_quantize(x, ql.QuantParams(scale, zero_point, "int8"))
    np.testing.assert_array_equal(result, wanted.numpy())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_fake_quantize_per_channel(axis: int) -> None:
    random = np.random.default_rng(axis)
    x = random.normal(0, 3, (4, 5, 6)).astype(np.float32)
    scale = np.float32(2.0) ** random.integers(-5, 1, x.shape[axis]).astype(np.float32)
    zero_point = random.integers(-9, 9, x.shape[axis]).astype(np.int32)
    wanted = torch.fake_quantize_per_channel_affine(
        torch.from_numpy(x), torch.from_numpy(scale), torch.from_numpy(zero_point), axis, -128, 127
    )
    result = ql.fake_quantize(x, ql.QuantParams(scale, zero_point, "int8", axis=axis))
    np.testing.assert_array_equal(result, wanted.numpy())


@pytest.mark.parametrize("scale", [0.1, 0.3, 1 / 3, 3.7])
def test_a_reciprocal_is_no_division(scale: float) -> None:
    """Where torch's rule differs from ONNX's it is by one step, at a tie or beside it."""
    step = np.float32(scale)
    ties = (np.arange(-100, 100, dtype=np.float32) + np.float32(0.5)) * step
    x = np.concatenate([ties, np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf)])
    tensor = torch.from_numpy(x)
    wanted = torch.fake_quantize_per_tensor_affine(tensor, float(step), 0, -128, 127).numpy()
    steps = np.abs(ql.fake_quantize(x, ql.QuantParams(step, 0, "int8")) - wanted) / step
    assert np.all((steps == 0) | (np.abs(steps - 1) < 1e-4))
    assert 0 < np.mean(steps > 0) < 0.2


def test_tensors_are_array_likes() -> None:
    """A tensor may stand where an array may, zero points and scales included."""
    a, b = torch.arange(6, dtype=torch.uint8).reshape(2, 3), torch.ones((3, 2), dtype=torch.int8)
    wanted = ql.matmul_integer(a.numpy(), b.numpy(), np.uint8(3))
    result = ql.matmul_integer(a, b, torch.tensor(3, dtype=torch.uint8))
    np.testing.assert_array_equal(result, wanted)
    x, scale = torch.linspace(-1, 1, 9), torch.tensor(0.125)
    codes = ql.quantize_linear(x, scale, torch.tensor(7, dtype=torch.int8))
    assert codes.dtype == np.int8
    np.testing.assert_array_equal(codes, ql.quantize_linear(x.numpy(), 0.125, np.int8(7)))
