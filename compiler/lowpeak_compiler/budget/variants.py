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
from lowpeak_compiler.budget.planning import PlanView, plan_view, rates
from lowpeak_compiler.budget.targets import Target
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.fuse.fuse_add import FuseAdd
from lowpeak_compiler.passes.fuse.fuse_matmul import FuseMatmul
from lowpeak_compiler.passes.fuse.fuse_quantized import FuseQuantized
from lowpeak_compiler.passes.loss.lower_loss import LowerLoss
from lowpeak_compiler.passes.lower.blocked_dequantization import BlockedDequantization
from lowpeak_compiler.passes.lower.lower_attention import LowerAttention
from lowpeak_compiler.passes.lower.replace_inexact import ReplaceInexact
from lowpeak_compiler.passes.runner import Pass, Runner
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
    """A lowered copy of the joint graph with its planner, made when asked for."""

    joint: TrainGraph
    passes: tuple[Pass, ...]
    target: Target
    device: DeviceProfile

    @cached_property
    def graph(self) -> TrainGraph:
        return Runner().run(self.joint.copy(), self.passes)

    @cached_property
    def view(self) -> PlanView:
        return plan_view(self.graph, self.target, self.device)

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
    lowerings = [lowering(joint, target, workspace) for workspace in WORKSPACES]
    distinct = [passes for i, passes in enumerate(lowerings) if passes not in lowerings[:i]]
    return [Variant(joint, passes, target, device) for passes in distinct]


def tiled(whole: Variant) -> list[Variant]:
    """The variant with its tokens in tiles, the largest first. Raises CannotTile."""
    tokens = find_token_axes(whole.graph).tokens
    sizes = dict.fromkeys(max(LEAST_TILE_ROWS, math.ceil(tokens / count)) for count in TILES)
    return [
        Variant(whole.joint, (*whole.passes, Tile(rows)), whole.target, whole.device)
        for rows in sizes
        if rows < tokens
    ]


def variant(joint: TrainGraph, target: Target, device: DeviceProfile, workspace: int) -> Variant:
    """The variant whose lowered operators use at most `workspace` bytes, as far as rows can be that few."""
    return Variant(joint, lowering(joint, target, workspace), target, device)


def lowering(joint: TrainGraph, target: Target, workspace: int) -> tuple[Pass, ...]:
    """The passes that bring the graph to operators of the target, sized for the workspace."""
    result: list[Pass] = []
    for node in joint.operations():
        kind = node.target
        if kind is lowpeak.causal_attention.default and "causal_attention" not in target.fused:
            batch, heads, tokens, _ = node.args[0].meta["val"].shape  # type: ignore[union-attr]
            rows = _rows(workspace, batch * heads * tokens * 4, tokens)
            if not any(isinstance(p, LowerAttention) for p in result):
                result.append(LowerAttention(rows))
        elif kind is lowpeak.linear_cross_entropy.default and not _has_kernel(node, target):
            tokens, width = node.args[0].meta["val"].shape  # type: ignore[union-attr]
            vocabulary = node.args[1].meta["val"].shape[0]  # type: ignore[union-attr]
            result.append(LowerLoss(tokens, _rows(workspace, (tokens + width) * 4, vocabulary)))
    if target.blocked_dequantization:
        result.append(BlockedDequantization())
    if target.inexact:
        result.append(ReplaceInexact(target.inexact))
    if any(name.startswith("quantized_") for name in target.fused):
        result.append(FuseQuantized(target.fused))
    if "matmul" in target.fused:
        result.append(FuseMatmul())
    if "matmul_add" in target.fused:
        result.append(FuseAdd(target.fused))
    return tuple(result)


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
