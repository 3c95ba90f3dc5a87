"""Weights of 1 to 16 bits and of mixed bits: what is quantized, how it is stored, what it costs."""

from __future__ import annotations

from typing import Any

import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")

from quantlib.model import QuantConfig  # noqa: E402

# --- configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"weight_bits": 17}, ValueError, "weight_bits is 17; it must be from 0 to 16"),
        ({"weight_bits": -1}, ValueError, "weight_bits is -1"),
        ({"weight_bits": 8.0}, TypeError, "weight_bits must be an int, not 8.0"),
        ({"weight_bits": True}, TypeError, "weight_bits must be an int, not True"),
        ({"weight_bits": 8, "mode": "static"}, ValueError, "weight_bits is for mode"),
        ({"weight_bits": 8, "block_size": 32}, ValueError, "block_size is for weight_type"),
        ({"weight_bits": 3, "enable_encode": False}, ValueError, "leaves 4, 8 and 16"),
        ({"weight_bits": 0, "enable_encode": False}, ValueError, "leaves 4, 8 and 16"),
        ({"min_weight_size": -1}, ValueError, "min_weight_size is -1; it must be 0 or more"),
        ({"min_weight_channel": 1.5}, TypeError, "min_weight_channel must be an int"),
        ({"enable_encode": 1}, TypeError, "enable_encode must be a bool"),
        ({"weight_correction": 1}, TypeError, "weight_correction must be a bool or None"),
        ({"dequant_strategy": "ON"}, ValueError, "it may be 'load', 'on_the_fly'"),
        ({"max_segments": 0}, ValueError, "max_segments is 0; it must be from 1 to 65535"),
        ({"init_scale": 0}, ValueError, "init_scale is 0; it must be above 0 and below 1"),
        ({"init_scale": 1.0}, ValueError, "init_scale is 1.0"),
        ({"init_scale": "0.02"}, TypeError, "init_scale must be a number"),
        ({"init_scale": float("nan")}, ValueError, "init_scale is nan"),
        ({"auto_tune": None}, TypeError, "auto_tune must be a bool"),
        ({"max_iterations": 39}, ValueError, "max_iterations is 39; it must be from 40 to 65535"),
        ({"export_precision_mode": "FLOAT16"}, ValueError, "it may be 'QUANT', 'FLOAT32'"),
        ({"overrides": {"a": {"weight_bits": 99}}}, ValueError, "weight_bits is 99"),
    ],
)
def test_errors_say_what_is_allowed(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        QuantConfig(**{"mode": "weight_only", **options})


def test_correction_is_the_default_with_bits() -> None:
    assert not QuantConfig().corrects_weights
    assert QuantConfig(mode="weight_only", weight_bits=4).corrects_weights
    assert not QuantConfig(
        mode="weight_only", weight_bits=4, weight_correction=False
    ).corrects_weights
    assert QuantConfig(weight_correction=True).corrects_weights
