"""`QuantConfig`: what is quantized, and how."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from math import prod
from typing import Any

from quantlib._arguments.correction import as_between
from quantlib.calibration.methods import METHODS, SEARCHES, VARIANTS
from quantlib.model.graph import ModelError, Node
from quantlib.model.quantization.targets import TARGETS, Target
from quantlib.params import QType

__all__ = ["MODES", "QuantConfig"]

MODES = ("static", "dynamic", "weight_only")
_PER_NODE = frozenset(
    {"activation_type", "activation_bits", "activation_symmetric", "method", "percentile",
     "variant", "weight_type", "weight_method", "weight_symmetric", "weight_bits",
     "weight_rounding", "weight_correction", "init_scale", "per_channel", "block_size", "per_row"}
)  # fmt: skip


@dataclass(frozen=True)
class QuantConfig:
    """How `quantize` quantizes.

    Parameters
    ----------
    mode : {"static", "dynamic", "weight_only"}
        "static": activations have ranges from calibration data, and convolutions, products, sums
        and pools work on integers. "dynamic": products quantize their rows while they run; needs
        no data. "weight_only": weights are stored in few bits and computed with in floats.
    activation_type : str
        "uint8" or "int8", for static quantization.
    activation_bits : int
        1 to 8, for static quantization: the codes that are used of `activation_type`; with 4 bits
        those from 0 to 15, or from -8 to 7.
    activation_symmetric : bool
        Ranges of activations centred on 0.
    method, percentile, variant
        How ranges of activations are chosen, as in `quantlib.calibrate`.
    weight_type : str
        "int8", or for weight-only quantization also "uint8", and "int4", "uint4", "int16" and
        "uint16", which ONNX has since opset 21. Signed types are symmetric and leave out the
        lowest code, unsigned ones are asymmetric.
    weight_symmetric : bool or None
        Otherwise than by their type. 1 bit has no symmetric codes.
    weight_method : str
        How ranges of weights are chosen, as in `quantlib.calibrate`.
    weight_bits : int or None
        For static quantization: the codes that are used of int8, 1 to 8 bits. For weight-only
        quantization: weights of 1 to 16 bits with a zero point, encoded in as few
        bytes as they take; or 0, a step for each layer and entropy coding, which make fractions of
        bits ("mixed bits"). None is for `weight_type`. See ``docs/encoding.md``.
    weight_rounding : {"nearest", "sum", "gptq"}, optional
        The codes that are nearest; or such that the sum of each channel's weights stays
        (`quantlib.correction.keep_sums`); or, with `weight_bits` from 1 to 16, for weight-only
        quantization, codes of matrix products that change those of the calibration data least.
        None is "sum" for weight-only quantization to a `weight_type` of 8 bits or more, else
        "nearest". Weights in blocks, and with `weight_bits` for weight-only quantization, have no
        "sum".
    min_weight_size, min_weight_channel : int
        For static and weight-only quantization: only weights of more than this many entries are
        quantized, and of convolutions only those of more than this many output channels. MindSpore
        Lite's defaults are 0 and 16.
    enable_encode : bool
        With `weight_bits`: whether files may hold weights that only quantlib decodes, where ONNX
        has no such type or an encoding is smaller. Otherwise 4, 8 and 16 bits are possible.
    dequant_strategy : {"load", "on_the_fly"}
        With `weight_bits`: whether weights are decoded once, or in each run, which takes less
        memory and more time. "on_the_fly" always makes files that only quantlib decodes.
    max_segments : int
        Parts that entropy-coded weights are cut into, which are decoded on several threads.
    init_scale : float
        With 0 bits: the relative error of each layer's weights, above 0 and below 1. 0.02 takes
        about as many bytes as 6 to 7 bits.
    auto_tune : bool
        With 0 bits: search for the largest `init_scale` that leaves the model's output a cosine
        similarity of 0.995.
    max_iterations : int
        How often the search may try, 40 or more; a quarter of them are its first, coarse steps.
    export_precision_mode : {"QUANT", "FLOAT32"}
        With `weight_bits`: whether the result holds codes, or the floats that they decode to.
    per_channel : bool
        A scale for each output channel; otherwise one for the tensor.
    block_size : int or None
        For weight-only quantization: a scale for this many weights along the summed axis, too.
        Convolutions have no summed axis of their own, and keep a scale for each channel.
    per_row : bool
        For dynamic quantization: a range for each row ("per token") instead of the whole operand.
    operators : tuple of str or None
        The types of nodes to quantize, for instance ``("Conv", "Gemm")``; None is all.
    exclude : tuple of str
        Names of nodes to leave in floats, or patterns such as ``"/head/*"``.
    target_device : {"CPU", "KIRIN", "NVGPU", "DSP", "ASCEND"}, optional
        For static quantization: only the operators, and in the types, of MindSpore Lite's profile
        for such a device, which decides over the fields above. See ``docs/configuration.md``.
    overrides : mapping of str to mapping
        For nodes by name or pattern, other values of the parameters above, from `activation_type`
        to `per_row`. Of several patterns that fit, later ones win.
    bias_correction : bool
        For static quantization: shift biases by the mean error that each layer makes on the
        calibration data.
    weight_correction : bool or None
        Scale the quantized weights of each channel to the standard deviation that they had; with
        `weight_bits`, also shift them to their mean. None is True with `weight_bits`, else False.
    fuse_residuals : bool
        For static quantization: sums of a convolution's result and codes take that result before it
        is rounded. quantlib then adds within the convolution; other run times may convolve floats.
    equalize : bool
        Before all else, balance the weights' ranges between neighbouring convolutions, which lets
        one scale suit a tensor: for ``per_channel=False``.
    smooth : float or None
        For static and dynamic quantization of matrix products: move the outliers of what they read
        into their weights (SmoothQuant). From 0 to 1, how much; 0.5 suits most. Needs calibration
        data.
    smooth_shift : bool
        With `smooth`: first centre each channel's range on 0, which products' biases make up for.

    Raises
    ------
    TypeError
        If a value has the wrong type.
    ValueError
        If a value is out of its range or does not fit `mode`.

    Examples
    --------
    >>> from quantlib.model import QuantConfig
    >>> config = QuantConfig(method="minmax", exclude=("/head/*",))
    >>> config.overrides, config.weight_type
    ({}, 'int8')
    """

    mode: str = "static"
    # activations
    activation_type: str = "uint8"
    activation_bits: int = 8
    activation_symmetric: bool = False
    method: str = "mse"
    percentile: float = 99.99
    variant: str = "quantlib"
    # weights
    weight_type: str = "int8"
    weight_method: str = "minmax"
    weight_symmetric: bool | None = None
    weight_bits: int | None = None
    weight_rounding: str | None = None
    min_weight_size: int = 0
    min_weight_channel: int = 0
    enable_encode: bool = True
    dequant_strategy: str = "load"
    max_segments: int = 1
    init_scale: float = 0.02
    auto_tune: bool = False
    max_iterations: int = 40
    export_precision_mode: str = "QUANT"
    per_channel: bool = True
    block_size: int | None = None
    per_row: bool = False  # of activations, in dynamic quantization
    # which nodes
    operators: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    target_device: str | None = None
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # what repairs errors
    bias_correction: bool = False
    weight_correction: bool | None = None
    fuse_residuals: bool = False
    equalize: bool = False
    smooth: float | None = None
    smooth_shift: bool = False

    def __post_init__(self) -> None:
        _one_of("mode", self.mode, MODES)
        _one_of("activation_type", self.activation_type, ("uint8", "int8"))
        _one_of("method", self.method, METHODS)
        _one_of("weight_method", self.weight_method, SEARCHES)
        _one_of("variant", self.variant, VARIANTS)
        few = self.mode == "weight_only"
        _one_of("weight_type", self.weight_type, _WEIGHT_TYPES if few else _WEIGHT_TYPES[:1])
        _one_of("dequant_strategy", self.dequant_strategy, ("load", "on_the_fly"))
        _one_of("export_precision_mode", self.export_precision_mode, ("QUANT", "FLOAT32"))
        for entry in fields(self):
            if entry.type == "bool" and not isinstance(getattr(self, entry.name), bool):
                raise TypeError(f"{entry.name} must be a bool, not {getattr(self, entry.name)!r}")
        for name in ("weight_correction", "weight_symmetric"):
            if not isinstance(getattr(self, name), (bool, type(None))):
                raise TypeError(f"{name} must be a bool or None, not {getattr(self, name)!r}")
        if self.target_device is not None:
            self._take_target(self.target_device)
        self._check_numbers()
        self._check_weight_bits()
        for name in ("exclude", "operators"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(item, str) for item in value or ()):
                raise TypeError(f"{name} must be a sequence of strings, not {value!r}")
            object.__setattr__(self, name, None if value is None else tuple(value))
        self._check_overrides()

    def _take_target(self, name: str) -> None:
        """What the target decides."""
        _one_of("target_device", name, tuple(TARGETS))
        if self.mode != "static":
            raise ValueError(f"target_device is for mode 'static', not {self.mode!r}")
        target = TARGETS[name]
        object.__setattr__(self, "activation_type", target.activation_type)
        object.__setattr__(self, "activation_symmetric", target.activation_symmetric)
        object.__setattr__(self, "bias_correction", self.bias_correction and target.bias_correction)

    def _check_numbers(self) -> None:
        _within("activation_bits", self.activation_bits, 1, 8)
        if self.activation_symmetric and self.activation_bits == 1:
            raise ValueError("activation_symmetric needs 2 bits or more; activation_bits is 1")
        if self.variant != "quantlib" and self.method != "kl":
            raise ValueError(f"variant is {self.variant!r}, which only method 'kl' has")
        if self.block_size is not None:
            if isinstance(self.block_size, bool) or not isinstance(self.block_size, int):
                raise TypeError(f"block_size must be an int or None, not {self.block_size!r}")
            if self.block_size < 2:
                raise ValueError(f"block_size is {self.block_size}; it must be 2 or more")
            if self.mode != "weight_only":
                raise ValueError(f"block_size is for mode 'weight_only', not {self.mode!r}")
        if not 0 < self.percentile <= 100:
            raise ValueError(f"percentile is {self.percentile}; it must be above 0 and up to 100")
        if self.per_row and self.mode != "dynamic":
            raise ValueError(f"per_row is for mode 'dynamic', not {self.mode!r}")
        if self.bias_correction and self.mode != "static":
            raise ValueError(f"bias_correction is for mode 'static', not {self.mode!r}")
        if self.fuse_residuals and self.mode != "static":
            raise ValueError(f"fuse_residuals is for mode 'static', not {self.mode!r}")
        if self.smooth_shift and self.smooth is None:
            raise ValueError("smooth_shift is for smooth, which is None")
        if self.smooth is not None:
            as_between(self.smooth, "smooth", 0.0, 1.0)
            if self.mode == "weight_only":
                raise ValueError("smooth is for mode 'static' or 'dynamic', not 'weight_only'")

    def _check_weight_bits(self) -> None:
        _within("min_weight_size", self.min_weight_size, 0)
        _within("min_weight_channel", self.min_weight_channel, 0)
        _within("max_segments", self.max_segments, 1, 65535)
        _within("max_iterations", self.max_iterations, 40, 65535)
        if isinstance(self.init_scale, bool) or not isinstance(self.init_scale, (int, float)):
            raise TypeError(f"init_scale must be a number, not {self.init_scale!r}")
        if not 0 < self.init_scale < 1:
            raise ValueError(f"init_scale is {self.init_scale}; it must be above 0 and below 1")
        if self.weight_rounding is not None:
            _one_of("weight_rounding", self.weight_rounding, ("nearest", "sum", "gptq"))
        if self.weight_rounding == "gptq" and (self.mode != "weight_only" or not self.weight_bits):
            raise ValueError(
                "weight_rounding is 'gptq', which is for mode 'weight_only' and weight_bits from 1"
            )
        if self.weight_bits is None:
            return
        if self.weight_rounding == "sum" and self.mode == "weight_only":
            raise ValueError("weight_rounding is 'sum', which is not for weight_only's weight_bits")
        if self.mode == "dynamic":
            raise ValueError("weight_bits is for mode 'static' or 'weight_only', not 'dynamic'")
        if self.mode == "static":
            _within("weight_bits", self.weight_bits, 1, 8)
            if self.weight_symmetric and self.weight_bits == 1:
                raise ValueError("weight_symmetric needs 2 bits or more; weight_bits is 1")
            return
        _within("weight_bits", self.weight_bits, 0, 16)
        if self.block_size is not None:
            raise ValueError("block_size is for weight_type, not for weight_bits")
        if not self.enable_encode and self.weight_bits not in (4, 8, 16):
            raise ValueError(
                f"weight_bits is {self.weight_bits}, for which ONNX has no type; "
                "enable_encode=False leaves 4, 8 and 16"
            )

    def _check_overrides(self) -> None:
        if not isinstance(self.overrides, Mapping):
            raise TypeError(f"overrides must be a mapping, not {type(self.overrides).__name__}")
        for pattern, changes in self.overrides.items():
            unknown = set(changes) - _PER_NODE
            if unknown:
                raise ValueError(
                    f"overrides[{pattern!r}] has {min(unknown)!r}; it may have "
                    f"{', '.join(sorted(_PER_NODE))}"
                )
            replace(self, overrides={}, **changes)  # which checks the values

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> QuantConfig:
        """What a configuration file asks for.

        Parameters
        ----------
        path : path
            An INI file with the sections and keys of ``docs/configuration.md``.

        Returns
        -------
        QuantConfig
            What is no matter of how to quantize, such as the calibration data, is left to
            `quantlib.model.read_config`.

        Raises
        ------
        ValueError, OSError
            As `quantlib.model.read_config`; or if a key asks for what there is not.
        """
        from quantlib.model.configuration.reader import read_config

        return read_config(path).quant_config()

    def for_node(self, node: Node) -> QuantConfig:
        """The configuration of one node: this one, with the overrides that name it."""
        config = self
        for pattern, changes in self.overrides.items():
            if fnmatchcase(node.name, pattern):
                config = replace(config, overrides={}, **changes)
        return config if config.target is None else config._on(config.target, node.op_type)

    def _on(self, target: Target, op_type: str) -> QuantConfig:
        """This configuration with what a target says of weights."""
        per_channel = self.per_channel and op_type in target.per_channel
        symmetric = self.weight_symmetric
        if symmetric is None and self.weight_bits != 1:
            symmetric = per_channel or target.symmetric_per_tensor
        return replace(self, overrides={}, per_channel=per_channel, weight_symmetric=symmetric)

    def leaves_out(self, node: Node) -> bool:
        """Whether a node stays in floats."""
        for operators in (self.operators, self.target.operators if self.target else None):
            if operators is not None and node.op_type not in operators:
                return True
        return any(fnmatchcase(node.name, pattern) for pattern in self.exclude)

    def check_names(self, nodes: list[Node]) -> None:
        """ModelError if a name or pattern fits no node: it is misspelt."""
        for pattern in (*self.exclude, *self.overrides):
            if not any(fnmatchcase(node.name, pattern) for node in nodes):
                raise ModelError(f"{pattern!r} is the name of no node that could be quantized")
        for kind in self.operators or ():
            if not any(node.op_type == kind for node in nodes):
                raise ModelError(f"operators has {kind!r}, of which the model has none")

    @property
    def target(self) -> Target | None:
        """The profile of `target_device`."""
        return None if self.target_device is None else TARGETS[self.target_device]

    @property
    def keeps_sums(self) -> bool:
        """Whether weights are rounded so that channels keep their sums."""
        if self.weight_rounding is None:
            return self.mode == "weight_only" and self.weight.bits >= 8
        return self.weight_rounding == "sum"

    @property
    def corrects_weights(self) -> bool:
        """Whether weights are corrected, as `weight_correction` says or leaves open."""
        if self.weight_correction is None:
            return self.weight_bits is not None and self.mode == "weight_only"
        return self.weight_correction

    @property
    def activation(self) -> QType:
        """The codes of activations."""
        return QType(f"{self.activation_type.removesuffix('8')}{self.activation_bits}")

    @property
    def weight(self) -> QType:
        """The codes of weights: narrow if they are signed and symmetric."""
        qtype = self._weight
        return QType(qtype.name, narrow=qtype.signed and self.are_weights_symmetric)

    @property
    def are_weights_symmetric(self) -> bool:
        """Whether zero points of weights are the middle of the codes."""
        if self.weight_symmetric is None:
            return self._weight.signed and self._weight.bits > 1
        return self.weight_symmetric

    @property
    def _weight(self) -> QType:
        bits = self.weight_bits if self.mode == "static" else None
        return QType(self.weight_type if bits is None else f"int{bits}")

    def takes(self, op_type: str, shape: tuple[int, ...]) -> bool:
        """Whether weights of such a shape are large enough to be quantized."""
        if prod(shape) <= self.min_weight_size:
            return False
        return op_type != "Conv" or shape[0] > self.min_weight_channel


_WEIGHT_TYPES = ("int8", "uint8", "int4", "uint4", "int16", "uint16")


def _within(name: str, value: Any, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < low or (high is not None and value > high):
        allowed = f"from {low} to {high}" if high is not None else f"{low} or more"
        raise ValueError(f"{name} is {value}; it must be {allowed}")


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it may be {', '.join(map(repr, allowed))}")
