"""Blocks: operations that share one loop over the tiles (loop fusion).

The step runs block by block, and each block tile by tile. A block ends where a single tiled value is live
(the rows of the residual stream): in the forward before an operation that needs operands whole, in the
backward after one that accumulates gradients of such operands. So a block is one layer of a transformer, and
the values that it needs whole die with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph, forward_nodes
from lowpeak_compiler.ir.op_table import flops
from lowpeak_compiler.passes.tiling.axes import ZERO_COST, TokenAxes


@dataclass(frozen=True)
class Block:
    """Tiled operations, in order. `first`: those that define values which the block needs whole; all of their
    tiles run before those of the `rest`.
    """

    first: tuple[fx.Node, ...]
    rest: tuple[fx.Node, ...]
    forward: bool


def find_blocks(graph: TrainGraph, axes: TokenAxes) -> list[Block]:
    """The blocks, in the order of the step."""
    forward = forward_nodes(graph)
    order = graph.operations()
    position = {node: index for index, node in enumerate(order)}
    result = []
    for is_forward in (True, False):
        members = [node for node in order if (node in forward) == is_forward]
        tiled = [node for node in members if node in axes.splits]
        cuts = _cuts(members, tiled, position, axes)
        if is_forward:
            needers = [position[node] for node in members if axes.reads_whole(node)]
            ends = [max((cut for cut in cuts if cut < needer), default=-1) for needer in needers]
        else:
            carriers = [
                position[node]
                for node in tiled
                if any(axes.splits[node].axes[output] is not None for output in axes.splits[node].carried)
            ]
            ends = [min((cut for cut in cuts if cut >= carrier), default=len(order)) for carrier in carriers]
        result += [_block(nodes, axes, is_forward) for nodes in _divided(tiled, set(ends), position)]
    return result


def _cuts(
    members: list[fx.Node], tiled: list[fx.Node], position: dict[fx.Node, int], axes: TokenAxes
) -> list[int]:
    """Positions across which at most one tiled value is live, and none that is also needed as a whole."""
    change = [0] * (len(position) + 1)
    inside = set(members)
    for node in tiled:
        if node.target in ZERO_COST or all(axis is None for axis in axes.splits[node].axes):
            continue
        last, whole = position[node], bool(axes.splits[node].carried)
        for name in _names(node):
            for reader in name.users:
                if reader in inside:
                    last = max(last, position[reader])
                    whole |= name in axes.reads_whole(reader)
        change[position[node]] += 1 + whole
        change[last] -= 1 + whole
    cuts, live = [], 0
    for index, delta in enumerate(change[:-1]):
        live += delta
        if live <= 1:
            cuts.append(index)
    return cuts


def _names(node: fx.Node) -> Iterable[fx.Node]:
    """The node and all of its aliases."""
    pending = [node]
    while pending:
        name = pending.pop()
        yield name
        pending.extend(user for user in name.users if user.target in ZERO_COST)


def _divided(tiled: list[fx.Node], ends: set[int], position: dict[fx.Node, int]) -> list[list[fx.Node]]:
    groups: list[list[fx.Node]] = [[]]
    bounds = sorted(ends)
    for node in tiled:
        while bounds and position[node] > bounds[0]:
            bounds.pop(0)
            groups.append([])
        groups[-1].append(node)
    return [group for group in groups if group]


def _block(nodes: list[fx.Node], axes: TokenAxes, forward: bool) -> Block:
    inside = set(nodes)
    first: set[fx.Node] = set()
    pending = [node for node in nodes if any(node in axes.reads_whole(user) for user in node.users)]
    while pending:
        node = pending.pop()
        if node in inside and node not in first:
            first.add(node)
            pending.extend(node.all_input_nodes)
    return Block(
        tuple(node for node in nodes if node in first),
        tuple(node for node in nodes if node not in first),
        forward,
    )


def repeat_what_is_cheap(graph: TrainGraph, axes: TokenAxes) -> int:
    """Duplicates operations, other than matrix products, whose result both parts of a forward block read:

        n = norm(h); K = k(n); attention(q(n), K)  ->  K = k(norm(h)); attention(q(norm(h)), K)

    Otherwise the result would be live for all tiles while the first part runs. Returns the number of
    duplicates.
    """
    forward = forward_nodes(graph)
    count = 0
    for block in find_blocks(graph, axes):
        if not block.forward:
            continue
        first = set(block.first)
        copies: dict[fx.Node, fx.Node] = {}
        wanted: set[fx.Node] = set()
        for node in reversed(block.first):
            read_later = any(user in forward and (user not in first or user in wanted) for user in node.users)
            if read_later and flops(node) == 0 and not any(node in axes.reads_whole(u) for u in node.users):
                wanted.add(node)
        for node in block.first:
            if node.target in ZERO_COST and node.args[0] in wanted:
                wanted.add(node)
        for node in block.first:
            if node in wanted:
                with graph.graph.inserting_before(node):
                    copies[node] = graph.graph.node_copy(node, partial(_get, copies))
        for node, copy in copies.items():
            for user in list(node.users):
                if user in first and user not in wanted:
                    user.replace_input_with(node, copy)
        count += len(copies)
    return count


def _get(copies: dict[fx.Node, fx.Node], node: fx.Node) -> fx.Node:
    return copies.get(node, node)
