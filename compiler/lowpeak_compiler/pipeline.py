"""The whole story: model in, planned graph out.

capture -> attention, quantize, mask_logits, loss -> differentiate -> normalize -> lower, fuse, tile -> decide
-> recompute, offload, reorder -> arena
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lowpeak_artifact.batch import BatchSpec
from lowpeak_artifact.batch_input import BatchInput
from lowpeak_artifact.errors import told_as_model_error
from lowpeak_compiler.budget.fitting import fitting_step
from lowpeak_compiler.budget.footprint import Footprint
from lowpeak_compiler.budget.planned import PlannedStep
from lowpeak_compiler.budget.search import Planning, Progress
from lowpeak_compiler.budget.targets import target
from lowpeak_compiler.config import Budget, TargetOptions, TrainingOptions, as_record
from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.frontend.differentiate import differentiate
from lowpeak_compiler.frontend.intake import Intake
from lowpeak_compiler.ir.graph import Batch, Frozen, TrainGraph
from lowpeak_compiler.ir.id_ranges import mark_id_ranges
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.fuse.rms_norm import RmsNorm
from lowpeak_compiler.passes.fuse.rotary import Rotary
from lowpeak_compiler.passes.fuse.swiglu import Swiglu
from lowpeak_compiler.passes.fuse.token_major import TokenMajor
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.loss.head import find_head
from lowpeak_compiler.passes.loss.mask_logits import MaskLogits
from lowpeak_compiler.passes.loss.subset_softmax import SubsetSoftmax
from lowpeak_compiler.passes.lower.dequantize_per_use import DequantizePerUse
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Observer, Pass, Runner
from lowpeak_compiler.plan.measure import Plan


@dataclass(frozen=True)
class Compiled:
    """The planned step and what it was made from."""

    intake: Intake
    training: TrainingOptions
    for_target: TargetOptions
    budget: Budget
    batch: BatchSpec
    step: PlannedStep
    plan: Plan
    footprint: Footprint
    head: str | None
    """Name of the output matrix, if the loss is a token loss over one."""
    applied: dict[str, int]

    @property
    def options(self) -> dict[str, Any]:
        """By the names that compile_for_device has for them."""
        return as_record(self.training, self.for_target, self.budget)

    @property
    def inputs(self) -> list[BatchInput]:
        """What the step takes, in order."""
        return [
            BatchInput(role.name, list(value.shape), str(value.dtype).removeprefix("torch."), role.ids)
            for node, role in self.step.graph.inputs()
            for value in (node.meta["val"],)
            if isinstance(role, Batch)
        ]


COMPOSITES: tuple[tuple[str, Callable[[], Pass]], ...] = (
    ("rms_norm", RmsNorm),
    ("swiglu", Swiglu),
    ("rotary", Rotary),
    ("causal_attention", TokenMajor),
)
"""Passes that make operators which only targets with a kernel for them can run."""


def build_joint(
    intake: Intake, training: TrainingOptions, for_target: TargetOptions, runner: Runner
) -> tuple[TrainGraph, str | None]:
    """Capture, forward passes, differentiation, normalization; also gives the name of the head."""
    forward = capture(intake.module, intake.batch, prefix=intake.prefix)
    runner.saw("Capture", forward)
    head = find_head(forward)
    head_role = forward.roles.get(head.weight.name) if head else None
    runner.run(forward, forward_passes(intake, training, for_target, forward))
    mark_id_ranges(forward)
    joint = differentiate(forward)
    runner.saw("Differentiate", joint)
    runner.run(joint, [Normalize(), DequantizePerUse()])
    return joint, head_role.name if head_role else None


def forward_passes(
    intake: Intake, training: TrainingOptions, for_target: TargetOptions, forward: TrainGraph
) -> list[Pass]:
    passes = model_passes(intake, training, for_target, forward)
    if training.rows is not None:
        passes.append(MaskLogits(training.rows))
    if training.loss == "subset":
        passes.append(SubsetSoftmax(training.subset_size))
    return [*passes, ChunkedLoss()]


def model_passes(
    intake: Intake, training: TrainingOptions, for_target: TargetOptions, forward: TrainGraph
) -> list[Pass]:
    """The forward passes that the loss has no part in."""
    frozen = [role.name for _, role in forward.inputs() if isinstance(role, Frozen)]
    stored = {name: format for name in frozen if (format := intake.weights.format_of(name))}
    fused = target(for_target.target, for_target.kernels).fused
    passes: list[Pass] = [Attention(), *(make() for name, make in COMPOSITES if name in fused)]
    if training.quantization != "none":
        passes.append(Quantize(4 if training.quantization == "int4" else 8, training.group_size, stored))
    elif stored:
        passes.append(Quantize(stored=stored, only_stored=True))
    return passes


def plan_model(
    intake: Intake,
    training: TrainingOptions,
    for_target: TargetOptions,
    *,
    progress: Progress = lambda _: None,
) -> Planning:
    """Everything up to the plan, for questions about budgets."""
    with told_as_model_error("the model cannot be planned"):
        joint, _ = build_joint(intake, training, for_target, Runner())
        return Planning(joint, training, for_target, progress)


def compile_step(
    intake: Intake,
    training: TrainingOptions,
    for_target: TargetOptions,
    budget: Budget,
    *,
    check: Callable[[TrainGraph], None] = lambda _: None,
    progress: Progress = lambda _: None,
    observe: Observer | None = None,
) -> Compiled:
    """`check` sees the lowered graph before anything is planned, and refuses what the target has no kernel
    for, or the disk no room.

    Raises BudgetTooSmall with the smallest budget, ModelError and UnsupportedOperator.
    """
    runner = Runner(observe)
    progress("capturing and differentiating the model")
    with told_as_model_error("the model cannot be differentiated"):
        joint, head = build_joint(intake, training, for_target, runner)
    progress("planning memory")
    with told_as_model_error("the step cannot be planned"):
        planning = Planning(joint, training, for_target, progress)
        check(planning.variants[0].graph)
        step, plan, footprint = fitting_step(planning, budget, runner)
    batch = BatchSpec(
        intake.model_config is not None,
        training.batch_size,
        training.seq_len,
        training.rows,
        training.subset_size if training.loss == "subset" else None,
        intake.token_types,
    )
    return Compiled(intake, training, for_target, budget, batch, step, plan, footprint, head, runner.applied)
