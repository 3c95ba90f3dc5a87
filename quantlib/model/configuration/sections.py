"""The sections and keys of configuration files: their types, defaults, ranges and meanings.

This is the one table of keys. The reader, the messages of errors, the table in
``docs/configuration.md`` and the fields of a `Configuration` come from it. The format is that of
MindSpore Lite's converter, https://www.mindspore.cn/lite/docs/en/master/advanced/quantization.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar

from quantlib.model.configuration.values import (
    Choice,
    Flag,
    Folders,
    Integer,
    Kind,
    Names,
    Real,
    Text,
    Vector,
)

__all__ = [
    "SECTIONS",
    "CommonQuant",
    "ConfigurationError",
    "DataPreprocess",
    "DynamicQuant",
    "FullQuant",
    "Key",
    "MixedBitWeightQuant",
    "Section",
    "TransformQuant",
    "WeightQuant",
]

LARGEST = 65535  # of all that is counted


class ConfigurationError(ValueError):
    """A key or value that a configuration cannot have: which, and what may stand there."""

    def __init__(self, section: str, key: str, message: str, place: str = "") -> None:
        super().__init__(f"{place}[{section}] {key}{message}")
        self.section, self.key, self.message = section, key, message

    def at(self, place: str) -> ConfigurationError:
        """The same error with the file and line where it is."""
        return ConfigurationError(self.section, self.key, self.message, f"{place}: ")


@dataclass(frozen=True)
class Key:
    """What there is to know of one key."""

    section: str
    name: str
    kind: Kind
    default: Any
    meaning: str
    becomes: str
    """What it is of a `QuantConfig`, for the documentation."""

    def error(self, value: Any, condition: str = "") -> ConfigurationError:
        """That a value is none of this key, in the words of all such errors."""
        return ConfigurationError(
            self.section, self.name, f" is {value!r}; {condition}it must be {self.kind.allowed}"
        )

    def read(self, text: str) -> Any:
        """The value that a text says; no text is the default."""
        try:
            return self.kind.read(text) if text else self.default
        except ValueError:
            raise self.error(text) from None

    def check(self, value: Any) -> Any:
        """A value that was given in Python."""
        is_default = type(value) is type(self.default) and value == self.default
        try:
            return value if is_default else self.kind.check(value)
        except (TypeError, ValueError):
            raise self.error(value) from None


def _key(kind: Kind, default: Any, meaning: str, becomes: str = "") -> Any:
    """A field of a section."""
    told = {"kind": kind, "meaning": meaning, "becomes": becomes}
    return field(default=default, metadata=told)


@dataclass(frozen=True)
class Section:
    """One section; its fields are its keys. A value that is none raises `ConfigurationError`."""

    section: ClassVar[str]

    def __post_init__(self) -> None:
        for name, key in self.table().items():
            object.__setattr__(self, name, key.check(getattr(self, name)))

    @classmethod
    def table(cls) -> dict[str, Key]:
        """The keys by name, in the order of the documentation."""
        return {entry.name: cls._key_of(entry) for entry in fields(cls)}

    @classmethod
    def _key_of(cls, entry: Field[Any]) -> Key:
        return Key(cls.section, entry.name, default=entry.default, **entry.metadata)


@dataclass(frozen=True)
class CommonQuant(Section):
    """What is quantized, and to how many bits."""

    section = "common_quant_param"
    quant_type: str | None = _key(
        Choice(("WEIGHT_QUANT", "FULL_QUANT", "DYNAMIC_QUANT")),
        None,
        "weights only; weights and activations, with calibration data; or products that quantize "
        "their operand while they run. Mandatory",
        becomes="`mode`",
    )
    bit_num: int = _key(
        Integer(0, 16),
        8,
        "bits of a code: 0 to 16 for WEIGHT_QUANT, where 0 is mixed bits, 1 to 8 for FULL_QUANT, "
        "8 for DYNAMIC_QUANT",
        becomes="`weight_bits`, `activation_bits`",
    )
    min_quant_weight_size: int = _key(
        Integer(0, LARGEST),
        0,
        "WEIGHT_QUANT: only weights of more elements than this",
        becomes="`min_weight_size`",
    )
    min_quant_weight_channel: int = _key(
        Integer(0, LARGEST),
        16,
        "WEIGHT_QUANT: only convolutions of more output channels than this",
        becomes="`min_weight_channel`",
    )
    skip_quant_node: tuple[str, ...] = _key(
        Names(), (), "nodes to leave in floats, by exact name", becomes="`exclude`"
    )
    debug_info_save_path: str = _key(
        Text(), "", "a folder for reports; empty for none", becomes="`write_report`"
    )
    enable_encode: bool = _key(
        Flag(),
        True,
        "WEIGHT_QUANT: store weights in the smallest of the encodings; 8 and 16 bits may go "
        "without",
        becomes="`enable_encode`",
    )
    workspace: str = _key(
        Text(), "", "a folder for models beyond 2 GiB; not needed here, no effect"
    )


@dataclass(frozen=True)
class MixedBitWeightQuant(Section):
    """Mixed bits: WEIGHT_QUANT with ``bit_num=0``."""

    section = "mixed_bit_weight_quant_param"
    init_scale: float = _key(
        Real((0, 1)),
        0.02,
        "the relative error of each layer's weights; 0.02 costs 6 to 7 bits",
        becomes="`init_scale`",
    )
    auto_tune: bool = _key(
        Flag(),
        False,
        "search the largest init_scale whose outputs keep a cosine of 0.995 to the float model's",
        becomes="`auto_tune`",
    )
    use_cv_data: bool = _key(
        Flag(), False, "built-in images for auto_tune; there are none here, no effect"
    )
    max_iterations: int = _key(
        Integer(40, LARGEST),
        40,
        "auto_tune: the most steps of the search",
        becomes="`max_iterations`",
    )


@dataclass(frozen=True)
class WeightQuant(Section):
    """Weights only: WEIGHT_QUANT."""

    section = "weight_quant_param"
    dequant_strategy: str | None = _key(
        Choice(("ON_THE_FLY",)),
        None,
        "decode weights at each use; otherwise when the model loads",
        becomes="`dequant_strategy`",
    )
    quant_strategy: str = _key(
        Choice(("MAX_MIN", "GPTQ")),
        "MAX_MIN",
        "the nearest codes, or for matrix products those that change the results of calibration "
        "data least (bit_num 1 to 16)",
        becomes="`weight_rounding`",
    )
    per_channel: bool = _key(
        Flag(), True, "a scale for each output channel", becomes="`per_channel`"
    )
    bias_correction: bool = _key(
        Flag(),
        True,
        "give decoded weights the mean and standard deviation that they had, but not after GPTQ",
        becomes="`weight_correction`",
    )
    update_mindir: bool = _key(Flag(), True, "of the original converter's own format; no effect")
    max_segments: int = _key(
        Integer(1, LARGEST),
        1,
        "parts of an entropy-coded weight that can be decoded at a time",
        becomes="`max_segments`",
    )


@dataclass(frozen=True)
class FullQuant(Section):
    """Weights and activations: FULL_QUANT."""

    section = "full_quant_param"
    activation_quant_method: str = _key(
        Choice(("MAX_MIN", "KL", "REMOVAL_OUTLIER"), {"RemovalOutlier": "REMOVAL_OUTLIER"}),
        "MAX_MIN",
        "how the ranges of activations are chosen",
        becomes="`method`, `variant`",
    )
    bias_correction: bool = _key(
        Flag(),
        True,
        "take the mean error of each channel off the bias, layer by layer",
        becomes="`bias_correction`",
    )
    per_channel: bool = _key(
        Flag(),
        True,
        "a scale for each output channel; otherwise one for a tensor of weights, asymmetric, after "
        "neighbouring layers are equalized",
        becomes="`per_channel`, `equalize`",
    )
    target_device: str = _key(
        Choice(("CPU", "KIRIN", "NVGPU", "DSP", "ASCEND")),
        "CPU",
        "the profile: which operators, in which types",
        becomes="`target_device`",
    )
    smooth_alpha: float = _key(
        Real(),
        0.5,
        "SmoothQuant's exponent, above 0 and below 1; any other number is none",
        becomes="`smooth`",
    )
    enable_smooth_shift: bool = _key(
        Flag(), False, "SmoothQuant also centres channels", becomes="`smooth_shift`"
    )


@dataclass(frozen=True)
class DataPreprocess(Section):
    """Calibration data: the keywords of `CalibrationData`.

    FULL_QUANT needs the first three keys, unless samples come from elsewhere.
    """

    section = "data_preprocess_param"
    calibrate_path: Mapping[str, str] | None = _key(
        Folders(), None, "the folders of the inputs' samples"
    )
    calibrate_size: int = _key(Integer(1, LARGEST), 0, "how many samples, in the order of names")
    input_type: str | None = _key(Choice(("IMAGE", "BIN")), None, "images, or raw bytes of tensors")
    image_to_format: str | None = _key(
        Choice(("RGB", "GRAY", "BGR")), None, "the order of colours; BGR as it is read"
    )
    normalize_mean: tuple[float, ...] | None = _key(
        Vector(), None, "taken off, a number for each channel: (x - mean) / std"
    )
    normalize_std: tuple[float, ...] | None = _key(
        Vector(), None, "divided by, a number for each channel"
    )
    resize_width: int | None = _key(Integer(1, LARGEST), None, "resize to this width")
    resize_height: int | None = _key(Integer(1, LARGEST), None, "resize to this height")
    resize_method: str | None = _key(
        Choice(("LINEAR", "NEAREST", "CUBIC")), None, "how to resize; none without it"
    )
    center_crop_width: int | None = _key(Integer(1, LARGEST), None, "then crop to this width")
    center_crop_height: int | None = _key(Integer(1, LARGEST), None, "then crop to this height")


@dataclass(frozen=True)
class DynamicQuant(Section):
    """Products that quantize what they read: DYNAMIC_QUANT."""

    section = "dynamic_quant_param"
    quant_strategy: str = _key(
        Choice(("ALWC", "ACWL")),
        "ALWC",
        "a range for the whole activation and one for each channel of weights, or a range for "
        "each row (token) of the activation and one for all weights",
        becomes="`per_row`, `per_channel`",
    )


@dataclass(frozen=True)
class TransformQuant(Section):
    """What is written."""

    section = "transform_quant_param"
    export_precision_mode: str = _key(
        Choice(("QUANT", "FLOAT32")),
        "QUANT",
        "codes, or the floats that they stand for",
        becomes="`export_precision_mode`",
    )


SECTIONS: tuple[type[Section], ...] = (
    CommonQuant, MixedBitWeightQuant, WeightQuant, FullQuant, DataPreprocess, DynamicQuant,
    TransformQuant,
)  # fmt: skip
