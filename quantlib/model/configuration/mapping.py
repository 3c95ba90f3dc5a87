"""What a configuration file asks for, as a `QuantConfig`."""

from __future__ import annotations

from collections.abc import Callable
from glob import escape
from typing import TYPE_CHECKING, Any

from quantlib.model.configuration.sections import ConfigurationError
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.targets import TARGETS

if TYPE_CHECKING:
    from quantlib.model.configuration.configuration import Configuration

__all__ = ["quant_config"]

_METHODS: dict[str, dict[str, str]] = {
    "MAX_MIN": {"method": "minmax"},
    "KL": {"method": "kl", "variant": "mindspore_lite"},
    "REMOVAL_OUTLIER": {"method": "removal_outlier"},
}


def quant_config(configuration: Configuration) -> QuantConfig:
    """The same in the words of `quantize`."""
    common = configuration.common
    fields = _FIELDS[common.quant_type or ""](configuration)
    return QuantConfig(exclude=tuple(map(escape, common.skip_quant_node)), **fields)


def _weight_quant(given: Configuration) -> dict[str, Any]:
    weight, mixed = given.weight, given.mixed_bit
    gptq = weight.quant_strategy == "GPTQ"
    if gptq and given.common.bit_num == 0:
        raise ConfigurationError(
            weight.section, "quant_strategy", " is 'GPTQ'; with bit_num 0 it must be MAX_MIN"
        )
    return {
        "mode": "weight_only",
        "weight_bits": given.common.bit_num,
        "weight_rounding": "gptq" if gptq else None,
        "per_channel": weight.per_channel,
        "weight_correction": weight.bias_correction,
        "dequant_strategy": (weight.dequant_strategy or "load").lower(),
        "max_segments": weight.max_segments,
        "min_weight_size": given.common.min_quant_weight_size,
        "min_weight_channel": given.common.min_quant_weight_channel,
        "enable_encode": given.common.enable_encode,
        "init_scale": mixed.init_scale,
        "auto_tune": mixed.auto_tune,
        "max_iterations": mixed.max_iterations,
        "export_precision_mode": given.transform.export_precision_mode,
    }


def _full_quant(given: Configuration) -> dict[str, Any]:
    full, common, target = given.full, given.common, TARGETS[given.full.target_device]
    _require_codes(given)
    smooths = 0 < full.smooth_alpha < 1
    fields = {
        "mode": "static",
        **_METHODS[full.activation_quant_method],
        "activation_bits": common.bit_num,
        "weight_bits": common.bit_num,
        "per_channel": full.per_channel,
        "bias_correction": full.bias_correction,
        "equalize": target.equalize and not full.per_channel,
        "smooth": full.smooth_alpha if smooths else None,
        "smooth_shift": smooths and full.enable_smooth_shift,
        "target_device": full.target_device,
    }
    if target.thresholds:
        fields["min_weight_size"] = common.min_quant_weight_size
        fields["min_weight_channel"] = common.min_quant_weight_channel
    return fields


def _dynamic_quant(given: Configuration) -> dict[str, Any]:
    _require_codes(given)
    by_row = given.dynamic.quant_strategy == "ACWL"
    return {"mode": "dynamic", "per_row": by_row, "per_channel": not by_row}


_FIELDS: dict[str, Callable[[Configuration], dict[str, Any]]] = {
    "WEIGHT_QUANT": _weight_quant,
    "FULL_QUANT": _full_quant,
    "DYNAMIC_QUANT": _dynamic_quant,
}


def _require_codes(given: Configuration) -> None:
    if given.transform.export_precision_mode != "QUANT":
        raise ConfigurationError(
            given.transform.section, "export_precision_mode",
            f" is {given.transform.export_precision_mode!r}; with quant_type "
            f"{given.common.quant_type} it must be QUANT",
        )  # fmt: skip
