"""Which ONNX nodes an operation of the graph is: a table keyed by operator, shapes static.

Operations stand for what they read and write, so a mapping makes no temporary that is larger than its
result.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import getitem

from torch import fx

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_artifact.ops.record import attached
from lowpeak_compiler.ir.graph import operator_name, place_of
from lowpeak_export.onnx import arithmetic, creation, logic, movement, products, reductions  # noqa: F401
from lowpeak_export.onnx.emits import Mapping

MAPPINGS: dict[object, Mapping] = attached("onnx")
"""Operator -> how its nodes are built."""


def check_operators(graph_operations: Iterable[fx.Node]) -> None:
    """Raises UnsupportedOperator naming the first operator without a mapping, and its place in the model."""
    for node in graph_operations:
        if node.target is not getitem and node.target not in MAPPINGS:
            raise UnsupportedOperator(
                f"{operator_name(node)}, used in {place_of(node)!r}, has no mapping to ONNX; change that "
                "part of the model, or compile for target='executorch'",
                operator=operator_name(node),
                place=place_of(node),
            )
