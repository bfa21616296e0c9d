"""Causal attention and its backward for targets without kernels for them: blocks of queries, in core ATen.

    for each block of queries q [heads, b, dim], keys k and values v up to the block's end e:
        p = softmax(q k' * scale + mask) ;  out = p v
    backward, for each block:
        p again ;  dp = dout v' ;  ds = p * (dp - rowsum(dp * p)) * scale
        dq = ds k ;  dk += ds' q ;  dv += p' dout

No probability crosses from forward to backward, and only heads x b x e of them live at a time. Query heads
that share a key head are rows of one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import getitem

import torch
from torch import fx

from lowpeak_artifact.ops.attention import CAUSAL_MASK_VALUE
from lowpeak_artifact.ops.record import attach
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import call_args, operand, operands, shape_of
from lowpeak_compiler.passes.properties import (
    FUSED_MATMUL,
    LOWERED,
    LOWERED_ATTENTION,
    NORMAL,
    PLAIN_PRODUCTS,
)
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Pass

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak


@attach("lowering", lowpeak.causal_attention.default, lowpeak.causal_attention_backward.default)
@dataclass(frozen=True)
class LowerAttention(Pass):
    """Lowers attention to core ATen, a block of queries at a time.

    `query_block`: tokens whose scores live at a time.
    """

    requires = frozenset({NORMAL})
    ensures = frozenset({LOWERED_ATTENTION, PLAIN_PRODUCTS})
    ends = frozenset({FUSED_MATMUL, LOWERED})

    query_block: int

    def run(self, graph: TrainGraph) -> int:
        count = 0
        masks: dict[tuple[int, int], fx.Node] = {}
        # A backward reads the logsumexp of its forward, so it goes first.
        for node in reversed(graph.operations()):
            if node.target is lowpeak.causal_attention.default:
                _Lowering(graph, node, self.query_block, masks).forward()
            elif node.target is lowpeak.causal_attention_backward.default:
                _Lowering(graph, node, self.query_block, masks).backward()
            else:
                continue
            count += 1
        return count


class _Lowering:
    """`masks`: the constants of query blocks (start, end), shared by all layers."""

    def __init__(
        self, graph: TrainGraph, node: fx.Node, query_block: int, masks: dict[tuple[int, int], fx.Node]
    ) -> None:
        self.new = Rewriter(graph, node)
        self.masks = masks
        self.node = node
        arguments = operands(node)
        self.query, self.key, self.value = (arguments[name] for name in ("query", "key", "value"))
        self.scale = arguments["scale"]
        assert arguments["heads_axis"] == 1, "only made for targets with a kernel for it"
        self.batch, self.heads, self.tokens, self.dim = shape_of(self.query)
        self.key_heads = shape_of(self.key)[1]
        self.shared = self.heads // self.key_heads
        self.blocks = [
            (start, min(start + query_block, self.tokens)) for start in range(0, self.tokens, query_block)
        ]

    def forward(self) -> None:
        call = self.new.call
        outs = []
        for start, end in self.blocks:
            probabilities = self._probabilities(self._queries(self.query, start, end), start, end)
            out = call(aten.bmm.default, probabilities, self._keys(self.value, end))
            outs.append(self._to_heads(out, start, end))
        self._replace([outs[0] if len(outs) == 1 else call(aten.cat.default, outs, 2)])

    def backward(self) -> None:
        call = self.new.call
        grad_out = operand(self.node)
        grad_queries: list[fx.Node] = []
        grad_keys: list[tuple[int, fx.Node]] = []
        grad_values: list[tuple[int, fx.Node]] = []
        for start, end in self.blocks:
            queries = self._queries(self.query, start, end)
            grad = self._queries(grad_out, start, end)
            probabilities = self._probabilities(queries, start, end)
            grad_values.append((end, call(aten.bmm.default, self._swap(probabilities), grad)))
            grad_probabilities = call(aten.bmm.default, grad, self._swap(self._keys(self.value, end)))
            product = call(aten.mul.Tensor, grad_probabilities, probabilities)
            delta = call(aten.sum.dim_IntList, product, [2], True)
            scores = call(aten.mul.Tensor, call(aten.sub.Tensor, grad_probabilities, delta), probabilities)
            scores = call(aten.mul.Scalar, scores, self.scale)
            out = call(aten.bmm.default, scores, self._keys(self.key, end))
            grad_queries.append(self._to_heads(out, start, end))
            grad_keys.append((end, call(aten.bmm.default, self._swap(scores), queries)))
        grad_query = grad_queries[0] if len(grad_queries) == 1 else call(aten.cat.default, grad_queries, 2)
        self._replace([grad_query, self._accumulate(grad_keys), self._accumulate(grad_values)])

    def _probabilities(self, queries: fx.Node, start: int, end: int) -> fx.Node:
        """[batch x key heads, shared x block, end] softmax of the masked scores."""
        call = self.new.call
        scores = call(aten.bmm.default, queries, self._swap(self._keys(self.key, end)))
        scores = call(aten.mul.Scalar, scores, self.scale)
        scores = call(aten.view.default, scores, [self.batch * self.heads, end - start, end])
        scores = call(aten.add.Tensor, scores, self._mask(start, end))
        probabilities = call(aten._softmax.default, scores, -1, False)
        shape = [self.batch * self.key_heads, self.shared * (end - start), end]
        return call(aten.view.default, probabilities, shape)

    def _mask(self, start: int, end: int) -> fx.Node:
        """float [block, end]: 0 where a query may look, -inf on later keys."""
        if (start, end) not in self.masks:
            later = torch.arange(end)[None, :] > torch.arange(start, end)[:, None]
            mask = torch.zeros(end - start, end).masked_fill(later, CAUSAL_MASK_VALUE)
            self.masks[start, end] = self.new.constant(f"causal_mask_{start}_{end}", mask)
        return self.masks[start, end]

    def _queries(self, tensor: fx.Node, start: int, end: int) -> fx.Node:
        """[batch, heads, tokens, dim] -> [batch x key heads, shared x block, dim]"""
        if (start, end) != (0, self.tokens):
            tensor = self.new.call(aten.slice.Tensor, tensor, 2, start, end)
        shape = [self.batch * self.key_heads, self.shared * (end - start), self.dim]
        return self.new.call(aten.view.default, tensor, shape)

    def _keys(self, tensor: fx.Node, end: int) -> fx.Node:
        """[batch, key heads, tokens, dim] -> [batch x key heads, end, dim]"""
        if end != self.tokens:
            tensor = self.new.call(aten.slice.Tensor, tensor, 2, 0, end)
        return self.new.call(aten.view.default, tensor, [self.batch * self.key_heads, end, self.dim])

    def _swap(self, tensor: fx.Node) -> fx.Node:
        return self.new.call(aten.permute.default, tensor, [0, 2, 1])

    def _to_heads(self, block: fx.Node, start: int, end: int) -> fx.Node:
        return self.new.call(aten.view.default, block, [self.batch, self.heads, end - start, self.dim])

    def _accumulate(self, parts: list[tuple[int, fx.Node]]) -> fx.Node:
        """Sum of blocks of different length, [batch, key heads, tokens, dim]: the last one is whole."""
        call = self.new.call
        _, total = parts[-1]
        for end, part in parts[:-1]:
            padded = call(aten.constant_pad_nd.default, part, [0, 0, 0, self.tokens - end], 0.0)
            total = call(aten.add.Tensor, total, padded)
        return call(aten.view.default, total, list(shape_of(self.key)))

    def _replace(self, results: list[fx.Node]) -> None:
        for user in list(self.node.users):
            assert user.target is getitem
            output = call_args(user)[1]
            if output >= len(results):
                assert not user.users, "the logsumexp of lowered attention has a user"
            else:
                user.replace_all_uses_with(results[output])
            user.graph.erase_node(user)
        self.node.graph.erase_node(self.node)
