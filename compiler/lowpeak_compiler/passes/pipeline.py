"""The whole list of passes, as data: from options and abilities of a target to a tuple of stages.

Nothing is run here. A list whose contracts do not fit each other is refused when it is made.
"""

from __future__ import annotations

from typing import Protocol

from lowpeak_compiler.config import TrainingOptions
from lowpeak_compiler.passes.apply.offload import Offload
from lowpeak_compiler.passes.apply.recompute import Recompute
from lowpeak_compiler.passes.apply.reorder import Reorder
from lowpeak_compiler.passes.contract import Passes, Pipeline
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.fuse.fuse_add import FuseAdd
from lowpeak_compiler.passes.fuse.fuse_matmul import FuseMatmul
from lowpeak_compiler.passes.fuse.fuse_quantized import FuseQuantized
from lowpeak_compiler.passes.fuse.rms_norm import RmsNorm
from lowpeak_compiler.passes.fuse.rotary import Rotary
from lowpeak_compiler.passes.fuse.swiglu import Swiglu
from lowpeak_compiler.passes.fuse.token_major import TokenMajor
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.loss.lower_loss import LowerLoss
from lowpeak_compiler.passes.loss.mask_logits import MaskLogits
from lowpeak_compiler.passes.loss.subset_softmax import SubsetSoftmax
from lowpeak_compiler.passes.lower.blocked_dequantization import BlockedDequantization
from lowpeak_compiler.passes.lower.cached_attention import CachedAttention
from lowpeak_compiler.passes.lower.check_operators import DEQUANTIZE, DEQUANTIZE_ROWS, CheckOperators
from lowpeak_compiler.passes.lower.dequantize_per_use import DequantizePerUse
from lowpeak_compiler.passes.lower.lower_attention import LowerAttention
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.lower.replace_inexact import ReplaceInexact
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.stage import Later, Listed, Pass
from lowpeak_compiler.passes.stages import Capture, Differentiate, LowerForward, Place
from lowpeak_compiler.passes.tiling.tile import Tile


class Abilities(Protocol):
    """What a list depends on of a target (budget/targets.py)."""

    @property
    def fused(self) -> frozenset[str]: ...
    @property
    def inexact(self) -> frozenset[object]: ...
    @property
    def blocked_dequantization(self) -> bool: ...
    @property
    def tiles(self) -> bool: ...
    @property
    def alignment(self) -> int: ...


def training_pipeline(training: TrainingOptions, target: Abilities) -> Pipeline:
    """Of one training step."""
    loss: list[Listed] = []
    if training.rows is not None:
        loss.append(MaskLogits(training.rows))
    if training.loss == "subset":
        loss.append(SubsetSoftmax(training.subset_size))
    capture = Capture(training.seq_len, training.batch_size)
    return Pipeline(
        (capture, *model_passes(training, target), *loss, ChunkedLoss()),
        (Differentiate(), Normalize(), DequantizePerUse()),
        lowering_passes(target),
        plan_passes(target),
    )


def generation_pipeline(training: TrainingOptions, target: Abilities) -> Pipeline:
    """Of the program that generates with the trained model."""
    return Pipeline(
        (Capture(), *model_passes(training, target)),
        (LowerForward(), Normalize(), DequantizePerUse()),
        tuple(stage for stage in lowering_passes(target) if stage.name != Tile.name),
        (
            Later(CachedAttention, "the longest cache within the budget"),
            Later(Reorder, "by live bytes"),
            Place(target.alignment),
        ),
    )


def model_passes(training: TrainingOptions, target: Abilities) -> Passes:
    """The forward passes that the loss has no part in."""
    composites: tuple[tuple[str, Pass], ...] = (
        ("rms_norm", RmsNorm()),
        ("swiglu", Swiglu()),
        ("rotary", Rotary()),
        ("causal_attention", TokenMajor()),
    )
    fused = (each for operator, each in composites if operator in target.fused)
    how = {"none": "what the checkpoint stores quantized, if anything"}
    text = how.get(
        training.quantization,
        f"{training.quantization}, a scale for {training.group_size} columns; what the checkpoint stores "
        "quantized keeps its format",
    )
    return (Attention(), *fused, Later(Quantize, text))


def lowering_passes(target: Abilities) -> Passes:
    """From the joint graph to operators of the target."""
    fused = target.fused
    rows = "rows by the variant's workspace"
    passes: list[Listed] = []
    if "causal_attention" not in fused:
        passes.append(Later(LowerAttention, rows))
    if "linear_cross_entropy" not in fused:
        some = "a head without a kernel; " if "quantized_linear_cross_entropy" in fused else ""
        passes.append(Later(LowerLoss, some + rows))
    if target.blocked_dequantization:
        passes.append(BlockedDequantization())
    if target.inexact:
        passes.append(ReplaceInexact(target.inexact))
    if any(name.startswith("quantized_") for name in fused):
        passes.append(FuseQuantized(fused))
    if "matmul" in fused:
        passes.append(FuseMatmul())
    if "matmul_add" in fused:
        passes.append(FuseAdd(fused))
    if target.tiles:
        passes.append(Later(Tile, "in some variants; rows by the number of tiles"))
    dequantize = {DEQUANTIZE} if target.blocked_dequantization else {DEQUANTIZE, DEQUANTIZE_ROWS}
    return (*passes, CheckOperators(fused | dequantize))


def plan_passes(target: Abilities) -> Passes:
    """A plan carried out on the variant that it is for."""
    return (
        Later(Recompute, "what the plan does not keep"),
        Later(Offload, "what the plan stores in a file"),
        Later(Reorder, "the plan's order"),
        Place(target.alignment),
    )
