"""ONNX's backend interface over `quantlib.model`, for tools and for onnx's own test suite.

>>> import numpy as np, onnx.parser
>>> from quantlib.model import backend
>>> text = '''<ir_version: 8, opset_import: ["" : 17]>
... g (float[2] x) => (float[2] y) { y = Neg(x) }'''
>>> backend.run_model(onnx.parser.parse_model(text), [np.float32([1, -2])])
[array([-1.,  2.], dtype=float32)]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx.backend.base
from onnx import ModelProto, NodeProto, helper

from quantlib.model.model import Model, load

__all__ = [
    "PreparedModel",
    "QuantlibBackend",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]


class PreparedModel(onnx.backend.base.BackendRep):  # type: ignore[misc]
    """A loaded model behind ONNX's interface."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def run(self, inputs: Any, **keywords: Any) -> list[Any]:
        """The outputs for inputs in the model's order, or by name."""
        return self.model.run(inputs)


class QuantlibBackend(onnx.backend.base.Backend):  # type: ignore[misc]
    """The interface as ONNX defines it: https://onnx.ai/onnx/api/backend.html."""

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **keywords: Any) -> bool:
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **keywords: Any) -> PreparedModel:
        """Load and plan a model."""
        if not cls.supports_device(device):
            raise ValueError(f"device is {device!r}; quantlib runs on 'CPU'")
        loaded = load(model)
        loaded.plan()
        return PreparedModel(loaded)

    @classmethod
    def run_model(
        cls, model: ModelProto, inputs: Any, device: str = "CPU", **keywords: Any
    ) -> list[Any]:
        """Load and run a model."""
        return cls.prepare(model, device, **keywords).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        **keywords: Any,
    ) -> list[Any]:
        """Run a single node on arrays."""
        names = dict.fromkeys(name for name in node.input if name)
        declared = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for name, x in zip(names, inputs, strict=True)
        ]
        results = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = helper.make_graph([node], "node", declared, results)
        return cls.run_model(helper.make_model(graph), list(inputs), device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return bool(device.split(":")[0] == "CPU")


prepare = QuantlibBackend.prepare
run_model = QuantlibBackend.run_model
run_node = QuantlibBackend.run_node
supports_device = QuantlibBackend.supports_device
