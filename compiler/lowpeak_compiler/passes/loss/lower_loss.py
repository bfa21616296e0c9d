"""linear_cross_entropy for targets without a kernel for it: chunks of tokens, and in each,
tiles of the vocabulary.

    for each chunk of tokens h [c, width]:
        for each tile w [v, width] of the head:  logits = h w'; running maximum m and sum s of exp(logits - m)
        loss += share * (log s + m - h . w[label])
        for each tile:                           dh += exp(h w' - log s - m) w
        dh = share * (dh - w[label])

With one tile the logits are computed once, else twice; they never live beyond their tile. `share` is 1 /
counted tokens, 0 for a token without a label. A quantized head is dequantized tile by tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import getitem

import torch
from torch import fx

from lowpeak_artifact.ops.record import attach
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import call_args, shape_of
from lowpeak_compiler.passes.properties import (
    FUSED_MATMUL,
    FUSED_QUANTIZED,
    LOWERED,
    LOWERED_LOSS,
    NORMAL,
    PLAIN_PRODUCTS,
)
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Pass

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak


@attach("lowering", lowpeak.linear_cross_entropy.default)
@dataclass(frozen=True)
class LowerLoss(Pass):
    """Lowers the loss to core ATen, chunks of tokens by tiles of the vocabulary.

    `token_chunk` rows and `vocabulary_tile` columns of logits live at a time.
    """

    requires = frozenset({NORMAL})
    ensures = frozenset({LOWERED_LOSS, PLAIN_PRODUCTS})
    ends = frozenset({FUSED_MATMUL, FUSED_QUANTIZED, LOWERED})

    token_chunk: int
    vocabulary_tile: int

    def run(self, graph: TrainGraph) -> int:
        nodes = [n for n in graph.operations() if n.target is lowpeak.linear_cross_entropy.default]
        for node in nodes:
            _Lowering(graph, node, self).replace()
        return len(nodes)


class _Lowering:
    def __init__(self, graph: TrainGraph, node: fx.Node, options: LowerLoss) -> None:
        self.new = Rewriter(graph, node)
        self.node = node
        self.hidden, self.weight, self.bias, self.labels, self.ignore_index = call_args(node)
        self.options = options
        self.vocabulary = shape_of(self.weight)[0]

    def replace(self) -> None:
        call = self.new.call
        rows = shape_of(self.hidden)[0]
        counted = call(aten.ne.Scalar, self.labels, self.ignore_index)
        weights = call(aten._to_copy.default, counted, dtype=torch.float32)
        total = call(aten.clamp.default, call(aten.sum.dim_IntList, weights, [0], True), 1)
        share = call(aten.div.Tensor, weights, total)
        labels = call(aten.mul.Tensor, self.labels, counted)
        losses, gradients = [], []
        for start in range(0, rows, self.options.token_chunk):
            end = min(start + self.options.token_chunk, rows)
            hidden, chunk_share, chunk_labels = (
                self._rows(x, start, end) for x in (self.hidden, share, labels)
            )
            loss, gradient = self._chunk(hidden, chunk_labels, call(aten.view.default, chunk_share, [-1, 1]))
            losses.append(loss)
            gradients.append(gradient)
        loss = losses[0]
        for other in losses[1:]:
            loss = call(aten.add.Tensor, loss, other)
        gradient = gradients[0] if len(gradients) == 1 else call(aten.cat.default, gradients, 0)
        results = (call(aten.view.default, loss, []), gradient)
        for user in list(self.node.users):
            assert user.target is getitem
            user.replace_all_uses_with(results[call_args(user)[1]])
            user.graph.erase_node(user)
        self.node.graph.erase_node(self.node)

    def _chunk(self, hidden: fx.Node, labels: fx.Node, share: fx.Node) -> tuple[fx.Node, fx.Node]:
        """Weighted loss [1, 1] and gradient by `hidden` [c, width] of one chunk of tokens."""
        call = self.new.call
        of_label = self._weight_of(labels)
        picked = call(aten.sum.dim_IntList, call(aten.mul.Tensor, hidden, of_label), [1], True)
        if self.bias is not None:
            picked = call(aten.add.Tensor, picked, call(aten.view.default, self._bias_of(labels), [-1, 1]))
        tiles = [
            (start, min(start + self.options.vocabulary_tile, self.vocabulary))
            for start in range(0, self.vocabulary, self.options.vocabulary_tile)
        ]
        if len(tiles) == 1:
            logsumexp, gradient = self._single_tile(hidden, tiles[0])
        else:
            logsumexp = self._logsumexp(hidden, tiles)
            gradient = self._gradient(hidden, tiles, logsumexp)
        rows = call(aten.mul.Tensor, call(aten.sub.Tensor, logsumexp, picked), share)
        gradient = call(aten.mul.Tensor, call(aten.sub.Tensor, gradient, of_label), share)
        return call(aten.sum.dim_IntList, rows, [0], True), gradient

    def _single_tile(self, hidden: fx.Node, tile: tuple[int, int]) -> tuple[fx.Node, fx.Node]:
        call = self.new.call
        logits = self._logits(hidden, tile)
        maximum = call(aten.amax.default, logits, [1], True)
        exponentials = call(aten.exp.default, call(aten.sub.Tensor, logits, maximum))
        total = call(aten.sum.dim_IntList, exponentials, [1], True)
        logsumexp = call(aten.add.Tensor, call(aten.log.default, total), maximum)
        gradient = call(aten.div.Tensor, call(aten.mm.default, exponentials, self._weight(*tile)), total)
        return logsumexp, gradient

    def _logsumexp(self, hidden: fx.Node, tiles: list[tuple[int, int]]) -> fx.Node:
        """[c, 1]; a tile's own sum of exponentials is merged into the running one."""
        call = self.new.call
        running: fx.Node | None = None
        for tile in tiles:
            logits = self._logits(hidden, tile)
            maximum = call(aten.amax.default, logits, [1], True)
            exponentials = call(aten.exp.default, call(aten.sub.Tensor, logits, maximum))
            total = call(aten.sum.dim_IntList, exponentials, [1], True)
            here = call(aten.add.Tensor, call(aten.log.default, total), maximum)
            running = here if running is None else self._log_add_exp(running, here)
        assert running is not None
        return running

    def _log_add_exp(self, a: fx.Node, b: fx.Node) -> fx.Node:
        call = self.new.call
        high = call(aten.maximum.default, a, b)
        terms = [call(aten.exp.default, call(aten.sub.Tensor, x, high)) for x in (a, b)]
        return call(aten.add.Tensor, call(aten.log.default, call(aten.add.Tensor, *terms)), high)

    def _gradient(self, hidden: fx.Node, tiles: list[tuple[int, int]], logsumexp: fx.Node) -> fx.Node:
        """Sum over tiles of softmax(logits) @ weight."""
        call = self.new.call
        running: fx.Node | None = None
        for tile in tiles:
            logits = self._logits(hidden, tile)
            probabilities = call(aten.exp.default, call(aten.sub.Tensor, logits, logsumexp))
            part = call(aten.mm.default, probabilities, self._weight(*tile))
            running = part if running is None else call(aten.add.Tensor, running, part)
        assert running is not None
        return running

    def _logits(self, hidden: fx.Node, tile: tuple[int, int]) -> fx.Node:
        bias = [] if self.bias is None else [self._rows(self.bias, *tile)]
        return self.new.call(aten.linear.default, hidden, self._weight(*tile), *bias)

    def _rows(self, tensor: fx.Node, start: int, end: int) -> fx.Node:
        if (start, end) == (0, shape_of(tensor)[0]):
            return tensor
        return self.new.call(aten.slice.Tensor, tensor, 0, start, end)

    def _weight(self, start: int, end: int) -> fx.Node:
        """Rows start..end of the head."""
        if self.weight.target is not lowpeak.dequantize.default:
            return self._rows(self.weight, start, end)
        if (start, end) == (0, self.vocabulary):
            return self.new.call(lowpeak.dequantize.default, *self.weight.args)
        ids = self.new.constant(f"rows_{start}_{end}", torch.arange(start, end))
        return self.new.call(lowpeak.dequantize_rows.default, *self.weight.args, ids)

    def _weight_of(self, ids: fx.Node) -> fx.Node:
        """The rows `ids` of the head, [c, width]."""
        if self.weight.target is lowpeak.dequantize.default:
            return self.new.call(lowpeak.dequantize_rows.default, *self.weight.args, ids)
        return self.new.call(aten.embedding.default, self.weight, ids)

    def _bias_of(self, ids: fx.Node) -> fx.Node:
        return self.new.call(aten.index_select.default, self.bias, 0, ids)
