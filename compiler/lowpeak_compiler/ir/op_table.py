"""What the planner asks about a node, answered by its operator's record (lowpeak_artifact/ops/record.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from lowpeak_artifact.kind import Kind
from lowpeak_artifact.ops.costs import all_bytes
from lowpeak_artifact.ops.record import OPERATORS
from lowpeak_compiler.ir.graph import tensors_of
from lowpeak_compiler.ir.nodes import argument

VIEWS = frozenset(operator for operator, record in OPERATORS.items() if record.view)
"""The result may be another name for bytes of operand 0, if these are neighbours there."""


@dataclass(frozen=True)
class NodeCall:
    """A node as its record sees it."""

    node: fx.Node

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return tuple(t for operand in self.node.all_input_nodes for t in tensors_of(operand))

    @property
    def results(self) -> tuple[Tensor, ...]:
        return tensors_of(self.node)

    def __getitem__(self, name: str) -> Any:
        value = argument(self.node, name)
        return value.meta["val"] if isinstance(value, fx.Node) else value


def view_offset(node: fx.Node) -> int | None:
    """Bytes from the start of operand 0 at which the result lies, if the node is a view of it; else None."""
    record = OPERATORS.get(node.target)
    return record.view.offset(NodeCall(node)) if record and record.view else None


def in_place_operands(node: fx.Node) -> list[tuple[int, fx.Node]]:
    """(output, operand) for every operand whose memory an output of an in-place operator may take over."""
    accumulates = OPERATORS[node.target].accumulates
    if accumulates:
        pairs = [(output, argument(node, name)) for output, name in accumulates.items()]
        return [(output, operand) for output, operand in pairs if operand is not None]
    return [
        (output, operand)
        for output, result in enumerate(tensors_of(node))
        for operand in node.all_input_nodes
        if any(t.shape == result.shape and t.dtype == result.dtype for t in tensors_of(operand)[:1])
    ]


def flops(node: fx.Node) -> int:
    """Floating-point operations of matrix products, 2 a multiply-add; 0 for what is bound by memory."""
    record = OPERATORS.get(node.target)
    return record.flops(NodeCall(node)) if record and record.flops else 0


def moved_bytes(node: fx.Node) -> int:
    """Bytes read and written."""
    record = OPERATORS.get(node.target)
    return (record.moved_bytes if record else all_bytes)(NodeCall(node))


def workspace(node: fx.Node) -> int:
    """Bytes that our kernel holds beside operands and results, where they grow with these."""
    record = OPERATORS.get(node.target)
    return record.workspace(NodeCall(node)) if record and record.workspace else 0


def category(node: fx.Node) -> Kind:
    """Why the node's results are in memory."""
    record = OPERATORS.get(node.target)
    return record.category if record else Kind.ACTIVATION


def io(node: fx.Node) -> str | None:
    """What the node does with the offload file: write, read, or wait for what is read."""
    record = OPERATORS.get(node.target)
    return record.io if record and record.io else None
