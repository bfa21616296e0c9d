"""The head of a language model in a forward graph: hidden rows, output matrix, labels,
and the cross-entropy of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph, operator_name
from lowpeak_compiler.ir.nodes import call_args, depends_on_adapter, operand, operands

aten = torch.ops.aten
SHAPE_ONLY = (aten.view.default, aten.reshape.default, aten.flatten.using_ints, aten.unsqueeze.default)
MEAN = 1


@dataclass(frozen=True)
class Head:
    """loss = cross_entropy(linear(hidden, weight, bias), labels),
    mean over the labels that are not ignore_index.
    """

    linear: fx.Node
    hidden: fx.Node
    weight: fx.Node
    bias: fx.Node | None
    labels: fx.Node
    loss: fx.Node
    ignore_index: int


def find_head(graph: TrainGraph) -> Head | None:
    """The head whose loss is the graph's result, or None."""
    head = head_or_problem(graph)
    return head if isinstance(head, Head) else None


def head_or_problem(graph: TrainGraph) -> Head | str:
    """The head whose loss is the graph's result, or why there is none: other losses, class weights,
    smoothing, a trainable head.
    """
    loss = through_shapes(graph.results[0])
    if loss.target is not aten.cross_entropy_loss.default:
        return f"the loss is {operator_name(loss)}, not a cross-entropy"
    arguments: dict[str, Any] = operands(loss)
    if arguments["weight"] is not None:
        return "the cross-entropy has class weights"
    if arguments["reduction"] != MEAN:
        return "the cross-entropy is no mean"
    if arguments["label_smoothing"]:
        return f"the cross-entropy has label smoothing {arguments['label_smoothing']}"
    linear = through_shapes(arguments["self"])
    if linear.target is not aten.linear.default:
        return f"its logits come from {operator_name(linear)}, not from an output matrix"
    if arguments["self"].meta["val"].dim() != 2:
        return f"its logits are {list(arguments['self'].meta['val'].shape)}, not [tokens, vocabulary]"
    hidden, weight, *bias = call_args(linear)
    head = Head(
        linear,
        hidden,
        weight,
        bias[0] if bias else None,
        arguments["target"],
        loss,
        arguments["ignore_index"],
    )
    constant = [head.weight] + ([head.bias] if head.bias else [])
    trained = any(depends_on_adapter(graph, node) for node in constant)
    return "its output matrix is trained" if trained else head


def through_shapes(node: fx.Node) -> fx.Node:
    while node.target in SHAPE_ONLY:
        node = operand(node)
    return node
