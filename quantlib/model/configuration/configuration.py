"""`Configuration`: all that a configuration file says, checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from quantlib.model.configuration.mapping import quant_config
from quantlib.model.configuration.sections import (
    CommonQuant,
    ConfigurationError,
    DataPreprocess,
    DynamicQuant,
    FullQuant,
    MixedBitWeightQuant,
    TransformQuant,
    WeightQuant,
)
from quantlib.model.configuration.values import Integer
from quantlib.model.quantization.config import QuantConfig

__all__ = ["Configuration"]

_BITS = {"WEIGHT_QUANT": (0, 16), "FULL_QUANT": (1, 8), "DYNAMIC_QUANT": (8, 8)}
_PLAIN_BITS = (8, 16)  # that need no encoding to be stored


@dataclass(frozen=True)
class Configuration:
    """The value of every key of every section.

    Parameters
    ----------
    common, mixed_bit, weight, full, data, dynamic, transform : Section
        The sections, in the order of ``docs/configuration.md``; a section's fields are its keys.

    Raises
    ------
    ConfigurationError
        If `quant_type` is missing, or a value does not fit it.

    Examples
    --------
    >>> from quantlib.model.configuration import CommonQuant, Configuration
    >>> config = Configuration(CommonQuant(quant_type="FULL_QUANT", bit_num=4))
    >>> config.full.activation_quant_method
    'MAX_MIN'
    >>> config.quant_config().method
    'minmax'
    """

    common: CommonQuant
    mixed_bit: MixedBitWeightQuant = field(default_factory=MixedBitWeightQuant)
    weight: WeightQuant = field(default_factory=WeightQuant)
    full: FullQuant = field(default_factory=FullQuant)
    data: DataPreprocess = field(default_factory=DataPreprocess)
    dynamic: DynamicQuant = field(default_factory=DynamicQuant)
    transform: TransformQuant = field(default_factory=TransformQuant)

    def __post_init__(self) -> None:
        common = self.common
        if common.quant_type is None:
            key = common.table()["quant_type"]
            raise ConfigurationError(
                key.section, key.name, f" is missing; it must be {key.kind.allowed}"
            )
        bits = Integer(*_BITS[common.quant_type])
        try:
            bits.check(common.bit_num)
        except ValueError:
            key = replace(common.table()["bit_num"], kind=bits)
            condition = f"with quant_type {common.quant_type} "
            raise key.error(common.bit_num, condition) from None
        if self._lacks_encoding:
            raise ConfigurationError(
                common.section, "enable_encode",
                f" is false; with quant_type WEIGHT_QUANT and bit_num {common.bit_num} it must be "
                "true: only 8 and 16 bits are stored without",
            )  # fmt: skip

    def quant_config(self) -> QuantConfig:
        """The same for `quantize`; ``docs/configuration.md`` says which key becomes which field.

        Raises
        ------
        ConfigurationError
            If a key asks for what there is not.
        """
        return quant_config(self)

    @property
    def _lacks_encoding(self) -> bool:
        common = self.common
        needs = common.quant_type == "WEIGHT_QUANT" and common.bit_num not in _PLAIN_BITS
        return needs and not common.enable_encode
