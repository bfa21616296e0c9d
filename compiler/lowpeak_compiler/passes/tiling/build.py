"""Builds the tiled graph, node by node, in the order of its blocks."""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from typing import Any, Literal, NamedTuple

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph, forward_nodes
from lowpeak_compiler.ir.nodes import infer, shape_of
from lowpeak_compiler.passes.tiling.axes import ZERO_COST, TokenAxes
from lowpeak_compiler.passes.tiling.blocks import Block
from lowpeak_compiler.passes.tiling.split import Piece

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
ALL = -1
Kind = Literal["tile", "carried", "written", "rows", "apart"]


class Item(NamedTuple):
    """A node of the tiled graph.

    tile     tile `tile` of an operation, or (ALL) the untiled operation
    carried  a loop-carried result of an operation with several, as it is after the tile
    written  a tiled value assembled into a whole: the rows of this tile and of those that ran before it
    rows     a slice of a whole value: the rows of the tile along `axis`
    apart    a copy of such a slice
    """

    kind: Kind
    node: fx.Node
    tile: int = ALL
    axis: int = 0


class Builder:
    """Builds every item once, after its operands."""

    def __init__(self, graph: TrainGraph, axes: TokenAxes, rows: int) -> None:
        self.source = graph
        self.axes = axes
        self.starts = range(0, axes.tokens, rows)
        self.forward = forward_nodes(graph)
        self.graph = fx.Graph()
        self.nodes: dict[Item, fx.Node] = {}
        self.values: dict[object, Any] = {}
        self.taken_apart: set[fx.Node] = set()

    def build(self, blocks: list[Block]) -> fx.Graph:
        readers = (*self.source.operations(), self.source.output)
        needed_whole = {operand for reader in readers for operand in self.axes.reads_whole(reader)}
        for node, _ in self.source.inputs():
            self.nodes[Item("tile", node)] = self.graph.node_copy(node)
        for block in blocks:
            for part in (block.first, block.rest):
                self._take_apart(part, block.forward)
                for tile in self._order(block.forward):
                    for node in part:
                        if node.target not in ZERO_COST:
                            self._make(Item("tile", node, tile))
                        if node in needed_whole and not self.axes.is_carried(node):
                            self._make(Item("written", node, tile))
        self.graph.output(tuple(self._make(self._whole(node)) for node in self.source.results))
        return self.graph

    def _take_apart(self, part: tuple[fx.Node, ...], forward: bool) -> None:
        """Copies whole values of which only slices are read from here on, so that each tile can die."""
        for node in part:
            for operand, axis in self.axes.splits[node].needs.items():
                if self._is_read_once(operand, axis):
                    self.taken_apart.add(operand)
                    for tile in self._order(forward):
                        self._make(Item("apart", operand, tile, axis))

    def _is_read_once(self, operand: fx.Node, axis: int) -> bool:
        """Whether an untiled operation defines the operand, and a single tiled one reads it."""
        if operand in self.axes.axis or any(size != 1 for size in shape_of(operand)[:axis]):
            return False
        value = operand
        while value.target in ZERO_COST and len(value.users) == 1:
            value = value.args[0]
        return value.op == "call_function" and value not in self.axes.splits and len(value.users) == 1

    def _order(self, forward: bool) -> range:
        """First tile to last in the forward; last to first in the backward, where the gradients of a key are
        complete once those of the queries after it are.
        """
        count = len(self.starts)
        return range(count) if forward else range(count - 1, -1, -1)

    def _before(self, item: Item) -> list[Item]:
        """The same item of the tile that runs before this one."""
        before = item.tile - 1 if item.node in self.forward else item.tile + 1
        return [item._replace(tile=before)] if 0 <= before < len(self.starts) else []

    def _rows(self, tile: int) -> int:
        return min(self.starts.step, self.axes.tokens - self.starts[tile])

    def _whole(self, node: fx.Node) -> Item:
        if node not in self.axes.splits:
            return Item("tile", node)
        last = self._order(node in self.forward)[-1]
        if not self.axes.is_carried(node):
            return Item("written", node, last)
        return Item("carried" if node.target is getitem else "tile", node, last)

    def _operand(self, reader: Item, operand: fx.Node) -> Item:
        needs = self.axes.splits[reader.node].needs if reader.tile != ALL else {}
        if operand not in needs:
            return self._whole(operand)
        if operand in self.axes.axis:
            return Item("tile", operand, reader.tile)
        kind: Kind = "apart" if operand in self.taken_apart else "rows"
        return Item(kind, operand, reader.tile, needs[operand])

    def _reads(self, item: Item) -> list[Item]:
        """The items that the item reads."""
        node, tile = item.node, item.tile
        match item.kind:
            case "rows":
                return [self._whole(node)]
            case "apart":
                return [item._replace(kind="rows")]
            case "written":
                return [Item("tile", node, tile), *self._before(item)]
            case "carried":
                return [Item("tile", node.args[0], tile)]
        if tile != ALL and node.target is getitem:
            carried = self.axes.is_carried(node)
            return [Item("carried", node, tile) if carried else Item("tile", node.args[0], tile)]
        before = self._before(item) if tile != ALL and self.axes.splits[node].carried else []
        return [*(self._operand(item, operand) for operand in node.all_input_nodes), *before]

    def _make(self, wanted: Item) -> fx.Node:
        pending = [wanted]
        while pending:
            item = pending[-1]
            if item in self.nodes:
                pending.pop()
                continue
            missing = [read for read in self._reads(item) if read not in self.nodes]
            if missing:
                pending.extend(reversed(missing))
            else:
                self.nodes[item] = self._call(item)
        return self.nodes[wanted]

    def _call(self, item: Item) -> fx.Node:
        node, tile = item.node, item.tile
        reads = [self.nodes[read] for read in self._reads(item)]
        if item.kind == "rows":
            return self._slice(item, reads[0], item.axis)
        if item.kind == "apart":
            return self._add(
                item, lowpeak.write_rows.default, (None, reads[0], item.axis, 0, self._rows(tile))
            )
        if item.kind == "written":
            whole = reads[1] if len(reads) > 1 else None
            arguments = (whole, reads[0], self.axes.axis[node], self.starts[tile], self.axes.tokens)
            return self._add(item, lowpeak.write_rows.default, arguments)
        if item.kind == "carried" or (tile != ALL and node.target is getitem):
            if item.kind == "tile" and self.axes.is_carried(node):
                return self._slice(item, reads[0], self.axes.axis[node])
            return self._add(item, getitem, (reads[0], node.args[1]))
        mapped = dict(zip(node.all_input_nodes, reads, strict=False))
        if tile == ALL:
            return self.graph.node_copy(node, mapped.__getitem__)
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), mapped.__getitem__)
        previous = reads[-1] if len(reads) > len(mapped) else None
        piece = Piece(
            tuple(args), self.starts[tile], self._rows(tile), previous,
            lambda target, *operands: self._add(item, target, operands, suffix="_before"),
        )  # fmt: skip
        target, arguments = self.axes.splits[node].call(node, piece)
        return self._add(item, target, arguments, kwargs)

    def _slice(self, item: Item, whole: fx.Node, axis: int) -> fx.Node:
        start = self.starts[item.tile]
        return self._add(item, aten.slice.Tensor, (whole, axis, start, start + self._rows(item.tile)))

    def _add(
        self,
        item: Item,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
        suffix: str = "",
    ) -> fx.Node:
        """A node of the tile. Nodes of tiles with equally many rows share one fake tensor."""
        name = f"{item.node.name}_{item.kind}{item.tile}{suffix}"
        node = self.graph.create_node("call_function", target, args, kwargs or {}, name=name)
        origin = item.node.meta
        if "nn_module_stack" in origin:
            node.meta["nn_module_stack"] = origin["nn_module_stack"]
        node.meta["tile_of"] = f"{item.node.name}_{item.kind}"
        output = args[1] if target is getitem else None
        key = (item.node, item.kind, item.axis, self._rows(item.tile), target, output)
        if key not in self.values:
            self.values[key] = infer(self.source, node)
        node.meta["val"] = self.values[key]
        return node
