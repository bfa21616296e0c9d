"""Rows that are added to a tensor, as the gradient of an embedding is.

index_put(x, [ids], rows, accumulate)  ->  scatter_add(x, 0, ids of every element, rows)

The kernel of the first adds in several threads at once: of rows for one place it loses terms, others at every
run. The second adds one after the other.
"""

from __future__ import annotations

import math

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import dtype_of, operands, shape_of
from lowpeak_compiler.passes.lower.inexact.replaces import replaces
from lowpeak_compiler.passes.rewrite import Rewriter

aten = torch.ops.aten


@replaces(aten.index_put.default)
def added_rows(graph: TrainGraph, node: fx.Node) -> bool:
    arguments = operands(node)
    source, values, shape = arguments["self"], arguments["values"], shape_of(arguments["self"])
    indices = arguments["indices"]
    if not arguments["accumulate"] or len(indices) != 1 or not isinstance(indices[0], fx.Node):
        return False
    if dtype_of(indices[0]) != torch.int64:
        return False
    rows = shape_of(indices[0])
    elements = [math.prod(rows), *shape[1:]]
    new = Rewriter(graph, node)
    if shape_of(values) != (*rows, *shape[1:]):
        values = new.call(aten.expand.default, values, [*rows, *shape[1:]])
    values = new.call(aten.view.default, values, elements)
    places = new.call(aten.view.default, indices[0], [elements[0], *(1 for _ in shape[1:])])
    places = new.call(aten.expand.default, places, elements)
    return new.replace_with(new.call(aten.scatter_add.default, source, 0, places, values))
