"""Which axis of each value is that of the tokens, from the token ids on."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import getitem

import torch
from torch import fx

from lowpeak_compiler.ir.graph import Batch, TrainGraph, forward_nodes
from lowpeak_compiler.ir.nodes import call_args, shape_of
from lowpeak_compiler.passes.tiling.rules import lookup, refusal, rule_of
from lowpeak_compiler.passes.tiling.split import CannotTile, Split

aten = torch.ops.aten
ZERO_COST = (getitem, aten.view.default)


@dataclass
class TokenAxes:
    """`tokens`: how many there are; `splits`: of every operation that is done by tiles."""

    tokens: int
    splits: dict[fx.Node, Split] = field(default_factory=dict)
    axis: dict[fx.Node, int] = field(default_factory=dict)
    """Of every value that is made by tiles. Others are there as wholes."""

    def reads_whole(self, node: fx.Node) -> list[fx.Node]:
        """Operands made by tiles that the node needs as a whole."""
        needs = self.splits[node].needs if node in self.splits else {}
        return [x for x in node.all_input_nodes if x in self.axis and x not in needs]

    def is_carried(self, node: fx.Node) -> bool:
        """Whether the value is carried from tile to tile, so that a whole of it exists."""
        source, output = call_args(node) if node.target is getitem else (node, 0)
        return source in self.splits and output in self.splits[source].carried


def find_token_axes(graph: TrainGraph) -> TokenAxes:
    """Raises CannotTile if there is no token axis, an operation does not leave it as one, or a whole is
    needed whose tiles would not lie together.
    """
    axes = follow_tokens(graph)
    for node in (*graph.operations(), graph.output):
        for operand in axes.reads_whole(node):
            axis = axes.axis[operand]
            if any(size != 1 for size in shape_of(operand)[:axis]):
                raise refusal(operand, "is needed whole, but its rows do not lie together")
    return axes


def follow_tokens(graph: TrainGraph) -> TokenAxes:
    """Raises CannotTile if there is no token axis, or an operation does not leave it as one."""
    ids = _token_ids(graph)
    batch, tokens = shape_of(ids)
    if batch != 1:
        raise CannotTile(f"the tokens of {batch} sequences share an axis")
    axes = TokenAxes(tokens)
    known = {ids: 1}
    for node in graph.operations():
        split = _split_of(node, known, axes)
        if split is None:
            continue
        axes.splits[node] = split
        if len(split.axes) == 1 and split.axes[0] is not None:
            known[node] = axes.axis[node] = split.axes[0]
    forward = forward_nodes(graph)
    for node, split in axes.splits.items():
        if node in forward and any(split.axes[output] is not None for output in split.carried):
            raise refusal(node, "adds up gradients of tokens in the forward")
    return axes


def _split_of(node: fx.Node, known: dict[fx.Node, int], axes: TokenAxes) -> Split | None:
    if node.target is getitem:
        source, output = call_args(node)
        return Split((axes.splits[source].axes[output],), {}) if source in axes.splits else None
    if not any(operand in known for operand in node.all_input_nodes):
        return None
    rule = rule_of(node.target)
    if rule is None:
        raise refusal(node, "has no rule for tokens in tiles")
    return rule(node, known)


def _token_ids(graph: TrainGraph) -> fx.Node:
    """The batch's tensor that rows of a table are looked up by."""
    for node, role in graph.inputs():
        looked_up = any(rule_of(user.target) is lookup for user in node.users)
        if isinstance(role, Batch) and looked_up and len(shape_of(node)) == 2:
            return node
    raise CannotTile("no input of the batch is looked up as token ids")
