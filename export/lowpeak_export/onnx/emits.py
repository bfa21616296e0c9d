"""Where the function that builds an operator's ONNX nodes enters the operator's record."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
from torch import fx
from torch._ops import OpOverload

from lowpeak_artifact.ops.record import attach
from lowpeak_export.onnx.nodes import Nodes

Mapping = Callable[[Nodes, fx.Node], ir.Value]
"""Appends the nodes of one operation; the value of its result."""


def emits(*operators: OpOverload) -> Callable[[Mapping], Mapping]:
    """The decorated function builds the nodes of these operators."""
    return attach("onnx", *operators)
