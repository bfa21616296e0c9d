"""Loop tiling of the token axis, in tiles of `rows` tokens: layer by layer, and in each layer tile by tile.

y = op(x)  ->  y[0] = op(x[0]); y[1] = op(x[1]); ...

A value that an operation needs whole (keys and values in attention) is assembled tile by tile in one buffer,
and gradients of it and of weights are accumulated in place. Only such values are live for all tokens; all
others are live for one tile.

rules.py   what each operator does with the token axis
axes.py    the token axis of every value, from the token ids on
blocks.py  which operations share one loop over the tiles
build.py   the tiled graph
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

    Runs after the fusing passes. The last tile may have fewer rows. Raises CannotTile, in which case the
    graph is unchanged.
    """

    requires = frozenset({JOINT, FUSED_MATMUL})
    ensures = frozenset({TILED})
    ends = frozenset({LOWERED})

    rows: int

    def run(self, graph: TrainGraph) -> int:
        """Returns the number of operations that are tiled."""
        axes = find_token_axes(graph)
        if self.rows >= axes.tokens:
            return 0
        rewrite(graph, {layout.view: (layout.fold_view,)})
        repeat_what_is_cheap(graph, find_token_axes(graph))
        axes = find_token_axes(graph)
        graph.graph = Builder(graph, axes, self.rows).build(find_blocks(graph, axes))
        return len(axes.splits)
