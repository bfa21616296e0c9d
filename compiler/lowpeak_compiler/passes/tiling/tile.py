"""The token axis in tiles of `rows` tokens: one layer at a time, and in it one tile at a time.

y = op(x)  ->  y[0] = op(x[0]); y[1] = op(x[1]); ...

What an operation needs whole (keys and values in attention) is written tile by tile into one value, gradients
of it and of weights are added up in place: see passes/tiling/. Only what is whole is live for all tokens; the
rest is live for one tile.
"""

from __future__ import annotations

from dataclasses import dataclass

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.properties import FUSED_MATMUL, JOINT, LOWERED, TILED
from lowpeak_compiler.passes.rewrite import rewrite
from lowpeak_compiler.passes.rules import layout
from lowpeak_compiler.passes.stage import Pass
from lowpeak_compiler.passes.tiling.axes import find_token_axes
from lowpeak_compiler.passes.tiling.blocks import find_blocks, repeat_what_is_cheap
from lowpeak_compiler.passes.tiling.build import Builder


@dataclass(frozen=True)
class Tile(Pass):
    """Splits the tokens into tiles of `rows`, one layer and one tile at a time.

    The last tile may have fewer rows. Raises CannotTile, and leaves the graph as it was.
    """

    requires = frozenset({JOINT, FUSED_MATMUL})
    ensures = frozenset({TILED})
    ends = frozenset({LOWERED})

    rows: int

    def run(self, graph: TrainGraph) -> int:
        """How many operations are done by tiles."""
        axes = find_token_axes(graph)
        if self.rows >= axes.tokens:
            return 0
        rewrite(graph, {layout.view: (layout.fold_view,)})
        repeat_what_is_cheap(graph, find_token_axes(graph))
        axes = find_token_axes(graph)
        graph.graph = Builder(graph, axes, self.rows).build(find_blocks(graph, axes))
        return len(axes.splits)
