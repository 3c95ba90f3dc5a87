"""What devices compute in integers, and in which types: the profiles of MindSpore Lite's converter.

Sources: MindSpore Lite's documentation of quantization, and its converter,
https://www.mindspore.cn/lite/docs/en/master/advanced/quantization.html. A fully connected layer is
a Gemm, a reshape also a Flatten; activations are those that such converters fuse with the operator
before them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TARGETS", "Target"]

_MATMUL = frozenset({"Gemm", "MatMul"})
_FUSED = frozenset({"Relu", "Clip", "HardSwish", "Sigmoid", "Tanh"})
_ACTIVATIONS = _FUSED | {"LeakyRelu", "Elu", "HardSigmoid", "Selu", "Gelu", "Softplus", "Mish"}


@dataclass(frozen=True)
class Target:
    """What a device computes in integers."""

    operators: frozenset[str] | None
    """The types of nodes; None is all."""
    per_channel: frozenset[str]
    """Those whose weights may have a scale for each channel, which is symmetric."""
    activation_type: str = "int8"
    activation_symmetric: bool = False
    symmetric_per_tensor: bool = False
    """Whether weights with one scale are symmetric."""
    quantizes_weights: bool = True
    """Otherwise they stay in floats, for the run time to quantize."""
    bias_correction: bool = True
    """Whether biases may be corrected."""
    equalize: bool = True
    """Whether layers are equalized where weights have one scale."""
    thresholds: bool = False
    """Whether small weights stay in floats."""


TARGETS = {
    "CPU": Target(
        _MATMUL | {"Conv", "Flatten", "Reshape", "Transpose", "Unsqueeze"} | _FUSED,
        _MATMUL | {"Conv"},
    ),
    "KIRIN": Target(
        _FUSED | {"Conv", "Gemm"}, frozenset({"Conv"}), activation_type="uint8",
        bias_correction=False,
    ),
    "NVGPU": Target(
        _MATMUL | {"Conv"} | _ACTIVATIONS, frozenset(), activation_symmetric=True,
        quantizes_weights=False, bias_correction=False,
    ),
    "DSP": Target(None, frozenset({"Conv"}), equalize=False),
    "ASCEND": Target(
        _MATMUL | {"Conv"}, _MATMUL | {"Conv"}, symmetric_per_tensor=True, thresholds=True
    ),
}  # fmt: skip
