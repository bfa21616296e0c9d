"""Variants of a joint graph for a target: composite operators lowered with more or less working memory, and
the tokens in more or fewer tiles.

More working memory is faster (fewer, larger products; logits computed once), less makes smaller budgets
possible. The planner is asked about every variant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import fx

from lowpeak_compiler.budget.devices import DeviceProfile
from lowpeak_compiler.budget.footprint import planners_memory
from lowpeak_compiler.budget.program_view import ProgramView, program_view, rates
from lowpeak_compiler.budget.targets import Target
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import shape_of
from lowpeak_compiler.passes.contract import made
from lowpeak_compiler.passes.loss.lower_loss import LowerLoss
from lowpeak_compiler.passes.lower.lower_attention import LowerAttention
from lowpeak_compiler.passes.pipeline import lowering_passes
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.passes.stage import Pass
from lowpeak_compiler.passes.tiling.axes import find_token_axes
from lowpeak_compiler.passes.tiling.tile import Tile
from lowpeak_compiler.plan.planner import Planner

lowpeak = torch.ops.lowpeak
UNBOUNDED = 1 << 62
WORKSPACES = (48_000_000, 12_000_000, 3_000_000)
"""Bytes that a lowered operator may use for its scores or logits, from the fastest variant to the smallest.
"""
ROW_ALIGNMENT = 16
TILES = (4, 16)
"""Parts that the tokens may be in."""
LEAST_TILE_ROWS = 64
"""Fewer tokens in a tile save little, and cost time: every tile decodes the weights again."""


@dataclass
class Variant:
    """A lowered copy of the joint graph with its planner, made when asked for.

    Its lowered operators use at most `workspace` bytes, as far as rows can be that few.
    """

    joint: TrainGraph
    target: Target
    device: DeviceProfile
    workspace: int
    tile: Tile | None = None

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        return lowering(self.joint, self.target, self.workspace, self.tile)

    @cached_property
    def graph(self) -> TrainGraph:
        return Runner().run(self.joint.copy(), self.passes)

    @cached_property
    def view(self) -> ProgramView:
        return program_view(self.graph, self.target, self.device)

    @cached_property
    def planner(self) -> Planner:
        return Planner(
            self.view.program,
            rates(self.device, self.target),
            planners_memory(self.graph, self.target),
            offload=self.target.offload,
        )


def variants(joint: TrainGraph, target: Target, device: DeviceProfile) -> list[Variant]:
    """Distinct variants with all tokens in one tile, the one with the most working memory first."""
    every = [Variant(joint, target, device, workspace) for workspace in WORKSPACES]
    return [each for i, each in enumerate(every) if each.passes not in [other.passes for other in every[:i]]]


def tiled(whole: Variant) -> list[Variant]:
    """The variant with its tokens in tiles, the largest first. Raises CannotTile."""
    tokens = find_token_axes(whole.graph).tokens
    sizes = dict.fromkeys(max(LEAST_TILE_ROWS, math.ceil(tokens / count)) for count in TILES)
    return [
        Variant(whole.joint, whole.target, whole.device, whole.workspace, Tile(rows))
        for rows in sizes
        if rows < tokens
    ]


def lowering(joint: TrainGraph, target: Target, workspace: int, tile: Tile | None = None) -> tuple[Pass, ...]:
    """The passes that bring the graph to operators of the target, sized for the workspace."""
    sized: dict[type[Pass], Pass | None] = {
        LowerAttention: _lower_attention(joint, target, workspace),
        LowerLoss: _lower_loss(joint, target, workspace),
        Tile: tile,
    }
    return made(lowering_passes(target), sized)


def _lower_attention(joint: TrainGraph, target: Target, workspace: int) -> LowerAttention | None:
    for node in joint.operations():
        if node.target is lowpeak.causal_attention.default:
            batch, heads, tokens, _ = shape_of(node.args[0])  # type: ignore[arg-type]
            return LowerAttention(_rows(workspace, batch * heads * tokens * 4, tokens))
    return None


def _lower_loss(joint: TrainGraph, target: Target, workspace: int) -> LowerLoss | None:
    for node in joint.operations():
        if node.target is lowpeak.linear_cross_entropy.default and not _has_kernel(node, target):
            (tokens, width), (vocabulary, _) = map(shape_of, node.args[:2])  # type: ignore[arg-type]
            return LowerLoss(tokens, _rows(workspace, (tokens + width) * 4, vocabulary))
    return None


def _has_kernel(loss: fx.Node, target: Target) -> bool:
    """Whether the target computes the loss of this head in one operation."""
    needs: dict[object, set[str]] = {
        lowpeak.dequantize.default: {"quantized_linear_cross_entropy"},
        lowpeak.dequantize_rows.default: {"quantized_linear_cross_entropy", "select_rows"},
    }
    head = loss.args[1].target  # type: ignore[union-attr]
    return needs.get(head, {"linear_cross_entropy"}) <= target.fused


def _rows(workspace: int, bytes_a_row: int, most: int) -> int:
    """As many rows as fit, in even shares of `most`."""
    fitting = max(ROW_ALIGNMENT, workspace // bytes_a_row)
    if fitting >= most:
        return most
    share = math.ceil(most / math.ceil(most / fitting))
    return min(most, math.ceil(share / ROW_ALIGNMENT) * ROW_ALIGNMENT)
