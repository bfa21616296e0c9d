"""The properties that passes require, ensure and end (ir/property.py)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph, operator_name, tensors_of
from lowpeak_compiler.ir.property import Property

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
PRODUCTS = frozenset({aten.mm.default, aten.bmm.default, aten.linear.default})
ATTENTION = frozenset({lowpeak.causal_attention.default, lowpeak.causal_attention_backward.default})


def _no(unwanted: Callable[[fx.Node], bool]) -> Callable[[TrainGraph], str | None]:
    """A violation: the first operation that is unwanted."""

    def violation(graph: TrainGraph) -> str | None:
        node = next(filter(unwanted, graph.operations()), None)
        return None if node is None else f"{node.name} is {operator_name(node)}"

    return violation


def _gradients(graph: TrainGraph) -> str | None:
    return f"it has {len(graph.gradients)} gradients" if graph.gradients else None


def _no_gradients(graph: TrainGraph) -> str | None:
    return None if graph.gradients else "it has no gradients"


def _strided(graph: TrainGraph) -> str | None:
    for node in graph.operations():
        if not all(tensor.is_contiguous() for tensor in tensors_of(node)):
            return f"{node.name} is not contiguous"
    return None


def _shared_matrix(graph: TrainGraph) -> str | None:
    for node in graph.operations():
        if node.target is lowpeak.dequantize.default and len(node.users) > 1:
            return f"{node.name} has {len(node.users)} readers"
    return None


def _is_product(node: fx.Node) -> bool:
    biased = node.target is aten.linear.default and len(node.args) > 2
    return node.target in PRODUCTS and node.meta["val"].dtype == torch.float32 and not biased


FORWARD = Property("forward", "the model's own operators, from its batch to its loss", _gradients)
HEAD = Property("head", "the loss is a cross-entropy of logits, where the model has such a loss")
CAUSAL_ATTENTION = Property("causal_attention", "attention is one operator where it is causal")
ROTARY = Property("rotary", "a rotary embedding is one operator")
CORE = Property("core", "core ATen and lowpeak:: operators only")
JOINT = Property("joint", "a loss, and a gradient for each adapter tensor", _no_gradients)
NORMAL = Property("normal", "one form of each operation, every value contiguous", _strided)
PLAIN_PRODUCTS = Property("plain_products", "products are those of core ATen")
OWN_MATRIX = Property("own_matrix", "no two operations read one dequantized matrix", _shared_matrix)
LOWERED_ATTENTION = Property(
    "lowered_attention", "attention is core ATen", _no(lambda node: node.target in ATTENTION)
)
LOWERED_LOSS = Property(
    "lowered_loss",
    "the loss is core ATen",
    _no(lambda node: node.target is lowpeak.linear_cross_entropy.default),
)
FUSED_QUANTIZED = Property("fused_quantized", "products read quantized matrices as they are stored")
FUSED_MATMUL = Property(
    "fused_matmul", "float32 products without a bias are lowpeak::matmul", _no(_is_product)
)
TILED = Property("tiled", "the tokens are in tiles, where they can be")
LOWERED = Property("lowered", "operators of the target only")
RECOMPUTED = Property("recomputed", "the backward reads copies of what the plan does not keep")
OFFLOADED = Property("offloaded", "the backward reads from the file what the plan stores there")
ORDERED = Property("ordered", "operations are in the plan's order")
PLACED = Property("placed", "every value has its bytes in the arena")
CACHED = Property("cached", "attention reads caches of keys and values")
