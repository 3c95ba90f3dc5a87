"""Configuration files: all that `quantize` is told, as text."""

from quantlib.model.configuration.configuration import Configuration
from quantlib.model.configuration.reader import read_config
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

__all__ = [
    "CommonQuant",
    "Configuration",
    "ConfigurationError",
    "DataPreprocess",
    "DynamicQuant",
    "FullQuant",
    "MixedBitWeightQuant",
    "TransformQuant",
    "WeightQuant",
    "read_config",
]
