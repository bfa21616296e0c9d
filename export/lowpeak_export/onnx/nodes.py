"""Builds the nodes of an ONNX graph in execution order, each named after the operation that it is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, fx

OPSET = 21
MICROSOFT = "com.microsoft"
DTYPES = {
    torch.float64: ir.DataType.DOUBLE,
    torch.float32: ir.DataType.FLOAT,
    torch.float16: ir.DataType.FLOAT16,
    torch.bfloat16: ir.DataType.BFLOAT16,
    torch.int64: ir.DataType.INT64,
    torch.int32: ir.DataType.INT32,
    torch.int16: ir.DataType.INT16,
    torch.int8: ir.DataType.INT8,
    torch.uint8: ir.DataType.UINT8,
    torch.bool: ir.DataType.BOOL,
}


class Nodes:
    """`value_of(node)`: the ONNX value of an operand; `int4_of(node)`: the same bytes as a matrix of INT4."""

    def __init__(
        self, value_of: Callable[[fx.Node], ir.Value], int4_of: Callable[[fx.Node], ir.Value]
    ) -> None:
        self.nodes: list[ir.Node] = []
        self.initializers: dict[object, ir.Value] = {}
        self.value_of = value_of
        self.int4_of = int4_of
        self._taken: set[str] = set()
        self._name = ""
        self._parts = 0

    def begin(self, name: str) -> None:
        """Nodes from here on are for the operation of that name."""
        self._name, self._parts = name, 0

    def call(
        self,
        operator: str,
        *inputs: ir.Value | None,
        outputs: Sequence[ir.Value] | None = None,
        **attributes: Any,
    ) -> ir.Value:
        """A node of the standard operators; its (first) result."""
        return self._append("", operator, inputs, outputs, attributes)

    def call_microsoft(
        self,
        operator: str,
        *inputs: ir.Value | None,
        outputs: Sequence[ir.Value] | None = None,
        **attributes: Any,
    ) -> ir.Value:
        """A node of ONNX Runtime's own operators; its (first) result."""
        return self._append(MICROSOFT, operator, inputs, outputs, attributes)

    def _append(
        self,
        domain: str,
        operator: str,
        inputs: Sequence[ir.Value | None],
        outputs: Sequence[ir.Value] | None,
        attributes: dict[str, Any],
    ) -> ir.Value:
        name = f"{self._name}.{self._parts}" if self._parts else self._name
        self._parts += 1
        if outputs is None:
            outputs = [ir.Value(name=name)]
        node = ir.node(operator, inputs, attributes, domain=domain, name=name, outputs=outputs)
        self.nodes.append(node)
        return node.outputs[0]

    def scalar(self, value: float | bool, dtype: torch.dtype) -> ir.Value:
        """A constant without axes; equal ones are one initializer."""
        return self._constant(np.array(torch.tensor(value, dtype=dtype).numpy()))

    def ints(self, values: Sequence[int]) -> ir.Value:
        """A constant list: axes, a shape, starts."""
        return self._constant(np.array(values, dtype=np.int64))

    def _constant(self, value: np.ndarray) -> ir.Value:
        key = (str(value.dtype), value.shape, value.tobytes())
        if key not in self.initializers:
            name = f"constant_{len(self.initializers)}"
            tensor = ir.Tensor(value, name=name)
            self.initializers[key] = self._initializer(name, tensor, value.shape)
        return self.initializers[key]

    def external(
        self, name: str, file: str, offset: int, nbytes: int, dtype: ir.DataType, shape: Sequence[int]
    ) -> ir.Value:
        """A constant that lies in a file beside the model."""
        key = (file, offset, dtype, tuple(shape))
        if key not in self.initializers:
            if name in self._taken:
                name = f"{name}@{offset}.{dtype.name.lower()}"
            tensor = ir.ExternalTensor(file, offset, nbytes, dtype, shape=ir.Shape(shape), name=name)
            self.initializers[key] = self._initializer(name, tensor, shape)
        return self.initializers[key]

    def _initializer(self, name: str, tensor: ir.TensorProtocol, shape: Sequence[int]) -> ir.Value:
        self._taken.add(name)
        kind = ir.TensorType(tensor.dtype)
        return ir.Value(name=name, type=kind, shape=ir.Shape(shape), const_value=tensor)

    def cast(self, node: fx.Node, dtype: torch.dtype) -> ir.Value:
        """The operand's value in the type."""
        value = self.value_of(node)
        return value if node.meta["val"].dtype == dtype else self.call("Cast", value, to=DTYPES[dtype].value)


def typed(name: str, tensor: Tensor) -> ir.Value:
    """An input or output of the graph."""
    return ir.Value(name=name, type=ir.TensorType(DTYPES[tensor.dtype]), shape=ir.Shape(list(tensor.shape)))
