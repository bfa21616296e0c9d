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
from lowpeak_artifact.ops.record import OPERATORS, attach
from lowpeak_compiler.ir.graph import Batch, TrainGraph
from lowpeak_compiler.ir.nodes import operands, shape_of

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak

Uses = Iterator[tuple[fx.Node, Ids]]


def mark_id_ranges(forward: TrainGraph) -> None:
    """Gives the roles of the batch's inputs their `ids`. The graph is that before differentiation: in the
    backward, indices are computed from these.
    """
    for node in forward.operations():
        for index, ids in _uses(node):
            source = _input(index)
            role = forward.roles.get(source.name)
            if isinstance(role, Batch) and not source.meta["val"].is_floating_point():
                both = ids if role.ids is None else role.ids.both(ids)
                forward.roles[source.name] = replace(role, ids=both)


def _input(node: fx.Node) -> fx.Node:
    while _restates(node):
        (node, *_) = node.all_input_nodes
    return node


def _restates(node: fx.Node) -> bool:
    record = OPERATORS.get(node.target)
    return bool(record and record.restates)


def _uses(node: fx.Node) -> Uses:
    record = OPERATORS.get(node.target)
    return record.indexes(node) if record and record.indexes else iter(())


def _rows(matrix: str, index: str) -> Callable[[fx.Node], Uses]:
    def uses(node: fx.Node) -> Uses:
        arguments = operands(node)
        yield arguments[index], Ids(shape_of(arguments[matrix])[0])

    return uses


@attach(
    "indexes",
    aten.index_select.default, aten.gather.default, aten.scatter.src, aten.scatter.value,
    aten.scatter_add.default, aten.scatter_reduce.two, aten.index_add.default, aten.index_copy.default,
    aten.index_fill.int_Scalar,
)  # fmt: skip
def _along_dim(node: fx.Node) -> Uses:
    arguments = operands(node)
    yield (
        arguments["index"],
        Ids(shape_of(arguments["self"])[arguments["dim"]] if shape_of(arguments["self"]) else 1),
    )


@attach("indexes", aten.index.Tensor, aten.index_put.default)
def _python_index(node: fx.Node) -> Uses:
    """x[i, j]: counted from the end if negative."""
    arguments = operands(node)
    for dim, index in enumerate(arguments["indices"]):
        if isinstance(index, fx.Node) and index.meta["val"].dtype not in (torch.bool, torch.uint8):
            size = shape_of(arguments["self"])[dim]
            yield index, Ids(size, least=-size)


@attach(
    "indexes",
    aten.cross_entropy_loss.default, aten.nll_loss.default, aten.nll_loss_nd.default,
    aten.nll_loss2d.default, aten.nll_loss_forward.default, aten.nll_loss2d_forward.default,
)  # fmt: skip
def _classes(node: fx.Node) -> Uses:
    """The classes are the second axis, or the first of a single example."""
    arguments: dict[str, Any] = operands(node)
    scores = shape_of(arguments["self"])
    yield arguments["target"], Ids(scores[1] if len(scores) > 1 else scores[0], arguments["ignore_index"])


@attach("indexes", lowpeak.linear_cross_entropy.default)
def _labels_of_head(node: fx.Node) -> Uses:
    arguments = operands(node)
    yield arguments["labels"], Ids(shape_of(arguments["weight"])[0], arguments["ignore_index"])


attach("indexes", aten.embedding.default, aten.embedding_bag.padding_idx)(_rows("weight", "indices"))
attach("indexes", lowpeak.dequantize_rows.default)(_rows("data", "ids"))
