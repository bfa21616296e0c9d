"""Operations that move elements and compute nothing, as ONNX nodes: views, slices, gathers, rows written."""

from __future__ import annotations

import math

import onnx_ir as ir
import torch
from torch import fx

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_compiler.ir.graph import operator_name, place_of
from lowpeak_compiler.ir.nodes import call_args, dtype_of, operand, operands, shape_of
from lowpeak_export.onnx.emits import emits
from lowpeak_export.onnx.nodes import Nodes

aten = torch.ops.aten

INT64_MAX = 2**63 - 1


@emits(aten.view.default)
def view(nodes: Nodes, node: fx.Node) -> ir.Value:
    return nodes.call("Reshape", nodes.value_of(operand(node)), nodes.ints(shape_of(node)))


@emits(aten.permute.default)
def permute(nodes: Nodes, node: fx.Node) -> ir.Value:
    source, order = call_args(node)
    rank = len(shape_of(source))
    return nodes.call("Transpose", nodes.value_of(source), perm=[axis % rank for axis in order])


@emits(aten.slice.Tensor)
def cut(nodes: Nodes, node: fx.Node) -> ir.Value:
    arguments = operands(node)
    start, end = arguments["start"] or 0, INT64_MAX if arguments["end"] is None else arguments["end"]
    bounds = [nodes.ints([value]) for value in (start, end, arguments["dim"], arguments["step"])]
    return nodes.call("Slice", nodes.value_of(arguments["self"]), *bounds)


@emits(aten.select.int)
def select(nodes: Nodes, node: fx.Node) -> ir.Value:
    source, axis, index = call_args(node)
    return nodes.call("Gather", nodes.value_of(source), nodes.scalar(index, torch.int64), axis=axis)


@emits(aten.cat.default)
def cat(nodes: Nodes, node: fx.Node) -> ir.Value:
    arguments = operands(node)
    parts = [nodes.cast(part, dtype_of(node)) for part in arguments["tensors"] if math.prod(shape_of(part))]
    return nodes.call("Concat", *parts, axis=arguments["dim"])


@emits(aten.expand.default)
def expand(nodes: Nodes, node: fx.Node) -> ir.Value:
    return nodes.call("Expand", nodes.value_of(operand(node)), nodes.ints(shape_of(node)))


@emits(aten.constant_pad_nd.default)
def pad(nodes: Nodes, node: fx.Node) -> ir.Value:
    """torch's pads run from the last axis, pairs of before and after."""
    arguments = operands(node)
    rank, pads = len(shape_of(node)), arguments["pad"]
    before, after = [0] * rank, [0] * rank
    for number in range(len(pads) // 2):
        before[rank - 1 - number], after[rank - 1 - number] = pads[2 * number : 2 * number + 2]
    value = nodes.scalar(arguments["value"] or 0, dtype_of(node))
    return nodes.call("Pad", nodes.value_of(arguments["self"]), nodes.ints([*before, *after]), value)


@emits(aten.embedding.default, aten.index_select.default)
def gather_rows(nodes: Nodes, node: fx.Node) -> ir.Value:
    """embedding(weight, ids), index_select(source, axis, ids)"""
    arguments = call_args(node)
    source, *axis, ids = arguments[:2] if node.target is aten.embedding.default else arguments
    return nodes.call("Gather", nodes.value_of(source), nodes.value_of(ids), axis=axis[0] if axis else 0)


@emits(aten.gather.default)
def gather(nodes: Nodes, node: fx.Node) -> ir.Value:
    source, axis, index = call_args(node)[:3]
    return nodes.call("GatherElements", nodes.value_of(source), nodes.value_of(index), axis=axis)


@emits(aten.index_put.default)
def put(nodes: Nodes, node: fx.Node) -> ir.Value:
    """index_put(source, [rows], values): whole rows of the first axis are set."""
    arguments = operands(node)
    source, values, shape = arguments["self"], arguments["values"], shape_of(arguments["self"])
    indices = arguments["indices"]
    if len(indices) != 1 or not isinstance(indices[0], fx.Node) or dtype_of(indices[0]) != torch.int64:
        raise UnsupportedOperator(
            f"index_put in {place_of(node)!r} by more than one tensor of rows has no mapping to ONNX",
            operator=operator_name(node),
            place=place_of(node),
        )
    rows = shape_of(indices[0])
    updates = nodes.value_of(values)
    if shape_of(values) != (*rows, *shape[1:]):
        updates = nodes.call("Expand", updates, nodes.ints([*rows, *shape[1:]]))
    places = nodes.call("Reshape", nodes.value_of(indices[0]), nodes.ints([*rows, 1]))
    # ReplaceInexact has those that are added.
    assert not arguments["accumulate"]
    return nodes.call("ScatterND", nodes.value_of(source), places, updates)


@emits(aten.scatter_add.default)
def scatter_add(nodes: Nodes, node: fx.Node) -> ir.Value:
    source, axis, index, values = call_args(node)[:4]
    if shape_of(index) != shape_of(values):
        raise UnsupportedOperator(
            f"scatter_add in {place_of(node)!r} of a part of its values has no mapping to ONNX",
            operator=operator_name(node),
            place=place_of(node),
        )
    arguments = map(nodes.value_of, (source, index, values))
    return nodes.call("ScatterElements", *arguments, axis=axis, reduction="add")
