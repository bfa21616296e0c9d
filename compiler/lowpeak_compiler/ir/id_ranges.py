"""Which integers a batch may hold: of every input that operators index with, how many rows there are.

    embedding(weight [V, width], ids)            ids are 0 .. V - 1
    cross_entropy(logits [T, C], labels, -100)   labels are 0 .. C - 1, or -100

What only restates an input (views, slices, padding with the value that is ignored) is looked through; what
computes another number of it is not, so an input that it comes from has no range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from lowpeak_artifact.batch_input import Ids
from lowpeak_compiler.ir.graph import Batch, TrainGraph
from lowpeak_compiler.ir.nodes import operands, shape_of

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak

RESTATE = frozenset(
    {
        aten.alias.default, aten.clone.default, aten.constant_pad_nd.default, aten.contiguous.default,
        aten.detach.default, aten.expand.default, aten.flatten.using_ints, aten.narrow.default,
        aten.pad.default, aten.permute.default, aten.reshape.default, aten.select.int, aten.slice.Tensor,
        aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.t.default, aten.to.dtype,
        aten.transpose.int, aten.unsqueeze.default, aten.view.default, aten._to_copy.default,
    }
)  # fmt: skip

Uses = Iterator[tuple[fx.Node, Ids]]


def mark_id_ranges(forward: TrainGraph) -> None:
    """Gives the roles of the batch's inputs their `ids`. The graph is that before differentiation: in the
    backward, indices are computed from these.
    """
    for node in forward.operations():
        for index, ids in USES.get(node.target, _none)(node):
            source = _input(index)
            role = forward.roles.get(source.name)
            if isinstance(role, Batch) and not source.meta["val"].is_floating_point():
                both = ids if role.ids is None else role.ids.both(ids)
                forward.roles[source.name] = replace(role, ids=both)


def _input(node: fx.Node) -> fx.Node:
    while node.target in RESTATE:
        (node, *_) = node.all_input_nodes
    return node


def _none(_: fx.Node) -> Uses:
    yield from ()


def _rows(matrix: str, index: str) -> Callable[[fx.Node], Uses]:
    def uses(node: fx.Node) -> Uses:
        given = operands(node)
        yield given[index], Ids(shape_of(given[matrix])[0])

    return uses


def _along_dim(node: fx.Node) -> Uses:
    given = operands(node)
    yield given["index"], Ids(shape_of(given["self"])[given["dim"]] if shape_of(given["self"]) else 1)


def _python_index(node: fx.Node) -> Uses:
    """x[i, j]: counted from the end if negative."""
    given = operands(node)
    for dim, index in enumerate(given["indices"]):
        if isinstance(index, fx.Node) and index.meta["val"].dtype not in (torch.bool, torch.uint8):
            size = shape_of(given["self"])[dim]
            yield index, Ids(size, least=-size)


def _classes(node: fx.Node) -> Uses:
    """The classes are the second axis, or the first of a single example."""
    given: dict[str, Any] = operands(node)
    scores = shape_of(given["self"])
    yield given["target"], Ids(scores[1] if len(scores) > 1 else scores[0], given["ignore_index"])


def _labels_of_head(node: fx.Node) -> Uses:
    given = operands(node)
    yield given["labels"], Ids(shape_of(given["weight"])[0], given["ignore_index"])


USES: dict[object, Callable[[fx.Node], Uses]] = {
    aten.embedding.default: _rows("weight", "indices"),
    aten.embedding_bag.padding_idx: _rows("weight", "indices"),
    lowpeak.dequantize_rows.default: _rows("data", "ids"),
    aten.index_select.default: _along_dim,
    aten.gather.default: _along_dim,
    aten.scatter.src: _along_dim,
    aten.scatter.value: _along_dim,
    aten.scatter_add.default: _along_dim,
    aten.scatter_reduce.two: _along_dim,
    aten.index_add.default: _along_dim,
    aten.index_copy.default: _along_dim,
    aten.index_fill.int_Scalar: _along_dim,
    aten.index.Tensor: _python_index,
    aten.index_put.default: _python_index,
    aten.cross_entropy_loss.default: _classes,
    aten.nll_loss.default: _classes,
    aten.nll_loss_nd.default: _classes,
    aten.nll_loss2d.default: _classes,
    aten.nll_loss_forward.default: _classes,
    aten.nll_loss2d_forward.default: _classes,
    lowpeak.linear_cross_entropy.default: _labels_of_head,
}
"""For every operator that indexes: the operands it indexes with, and what they may hold."""
