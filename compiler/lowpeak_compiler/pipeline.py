"""The whole story: model in, planned graph out.

capture -> attention, quantize, mask_logits, loss -> differentiate -> normalize -> lower, fuse, tile -> decide
-> recompute, offload, reorder -> arena
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lowpeak_compiler.batch import BatchSpec
from lowpeak_compiler.batch_input import BatchInput
from lowpeak_compiler.capture import capture
from lowpeak_compiler.config import MEGABYTE, CompileOptions
from lowpeak_compiler.devices import DeviceProfile
from lowpeak_compiler.differentiate import differentiate
from lowpeak_compiler.errors import BudgetTooSmall, told_as_model_error
from lowpeak_compiler.footprint import Footprint, footprint_of, with_gaps
from lowpeak_compiler.graph import Batch, Frozen, TrainGraph
from lowpeak_compiler.id_ranges import mark_id_ranges
from lowpeak_compiler.intake import Intake
from lowpeak_compiler.passes.attention import Attention
from lowpeak_compiler.passes.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.dequantize_per_use import DequantizePerUse
from lowpeak_compiler.passes.head import find_head
from lowpeak_compiler.passes.mask_logits import MaskLogits
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.offload import Offload
from lowpeak_compiler.passes.quantize import Quantize
from lowpeak_compiler.passes.recompute import Recompute
from lowpeak_compiler.passes.reorder import Reorder
from lowpeak_compiler.passes.rms_norm import RmsNorm
from lowpeak_compiler.passes.rotary import Rotary
from lowpeak_compiler.passes.runner import Observer, Pass, Runner
from lowpeak_compiler.passes.subset_softmax import SubsetSoftmax
from lowpeak_compiler.passes.swiglu import Swiglu
from lowpeak_compiler.passes.token_major import TokenMajor
from lowpeak_compiler.plan.liveness import live_bytes, peak_by_kind
from lowpeak_compiler.plan.measure import Plan
from lowpeak_compiler.planned import PlannedStep, place
from lowpeak_compiler.planning import plan_view
from lowpeak_compiler.search import Planning, Progress, Smallest, VariantPlan
from lowpeak_compiler.targets import EXECUTORCH, Target, target
from lowpeak_compiler.variants import Variant

PLACEMENTS = 4
"""Plans that are tried until the offsets of one fit the budget."""


@dataclass(frozen=True)
class Compiled:
    """The planned step and what it was made from."""

    intake: Intake
    options: CompileOptions
    batch: BatchSpec
    step: PlannedStep
    plan: Plan
    footprint: Footprint
    head: str | None
    """Name of the output matrix, if the loss is a token loss over one."""
    applied: dict[str, int]

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


def build_joint(intake: Intake, options: CompileOptions, runner: Runner) -> tuple[TrainGraph, str | None]:
    """Capture, forward passes, differentiation, normalization; also gives the name of the head."""
    forward = capture(intake.module, intake.batch, prefix=intake.prefix)
    runner.saw("Capture", forward)
    head = find_head(forward)
    head_role = forward.roles.get(head.weight.name) if head else None
    runner.run(forward, forward_passes(intake, options, forward))
    mark_id_ranges(forward)
    joint = differentiate(forward)
    runner.saw("Differentiate", joint)
    runner.run(joint, [Normalize(), DequantizePerUse()])
    return joint, head_role.name if head_role else None


def forward_passes(intake: Intake, options: CompileOptions, forward: TrainGraph) -> list[Pass]:
    passes = model_passes(intake, options, forward)
    if options.rows is not None:
        passes.append(MaskLogits(options.rows))
    if options.loss == "subset":
        passes.append(SubsetSoftmax(options.subset_size))
    return [*passes, ChunkedLoss()]


def model_passes(intake: Intake, options: CompileOptions, forward: TrainGraph) -> list[Pass]:
    """The forward passes that the loss has no part in."""
    frozen = [role.name for _, role in forward.inputs() if isinstance(role, Frozen)]
    stored = {name: format for name in frozen if (format := intake.weights.format_of(name))}
    fused = target(options.target, options.kernels).fused
    passes: list[Pass] = [Attention(), *(make() for name, make in COMPOSITES if name in fused)]
    if options.quantization != "none":
        passes.append(Quantize(4 if options.quantization == "int4" else 8, options.group_size, stored))
    elif stored:
        passes.append(Quantize(stored=stored, only_stored=True))
    return passes


def plan_model(intake: Intake, options: CompileOptions, *, progress: Progress = lambda _: None) -> Planning:
    """Everything up to the plan, for questions about budgets."""
    with told_as_model_error("the model cannot be planned"):
        joint, _ = build_joint(intake, options, Runner())
        return Planning(joint, options, progress)


def compile_step(
    intake: Intake,
    options: CompileOptions,
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
        joint, head = build_joint(intake, options, runner)
    progress("planning memory")
    with told_as_model_error("the step cannot be planned"):
        planning = Planning(joint, options, progress)
        check(planning.variants[0].graph)
        step, plan, footprint = _fitting_step(planning, options, runner)
    batch = BatchSpec(
        intake.model_config is not None,
        options.batch_size,
        options.seq_len,
        options.rows,
        options.subset_size if options.loss == "subset" else None,
        intake.token_types,
    )
    return Compiled(intake, options, batch, step, plan, footprint, head, runner.applied)


def _fitting_step(
    planning: Planning, options: CompileOptions, runner: Runner
) -> tuple[PlannedStep, Plan, Footprint]:
    """The fastest plan carried out; if its offsets leave gaps that there is no room for, one for less, and
    the smallest at last.
    """
    asked = options.budget_bytes
    for _ in range(PLACEMENTS):
        chosen = planning.plan(asked)
        if chosen is None:
            break
        attempt = Runner(runner.observe)
        step, footprint = _placed(planning, chosen, attempt)
        if footprint.total <= options.budget_bytes:
            runner.applied.update(attempt.applied)
            return step, chosen.plan, footprint
        planning.progress("planning again: the values fit, their offsets do not")
        asked -= footprint.total - options.budget_bytes
    smallest = planning.minimum()
    attempt = Runner(runner.observe)
    step, footprint = _placed(planning, smallest.found, attempt)
    if smallest.budget <= options.budget_bytes and footprint.total <= options.budget_bytes:
        runner.applied.update(attempt.applied)
        return step, smallest.found.plan, footprint
    placed = -(-footprint.total // MEGABYTE) * MEGABYTE
    raise _too_small(planning, replace(smallest, budget=max(smallest.budget, placed)))


def _placed(planning: Planning, chosen: VariantPlan, runner: Runner) -> tuple[PlannedStep, Footprint]:
    """A plan carried out, and what it holds resident."""
    step = carry_out_plan(chosen.variant, chosen.plan, planning.target, planning.device, runner)
    operations = len(chosen.plan.program.ops)
    optimizer = planning.options.optimizer
    return step, footprint_of(step.graph, planning.target, optimizer, step.arena_bytes, operations)


def carry_out_plan(
    variant: Variant, plan: Plan, target: Target, device: DeviceProfile, runner: Runner
) -> PlannedStep:
    """Applies the plan's decisions and order to the variant's graph, and places its values."""
    graph = variant.graph.copy()
    views = variant.view.views
    runner.run(
        graph,
        [
            Recompute(plan.carried_out.recompute, views),
            Offload(tuple(sorted(plan.carried_out.offload)), views),
            Reorder(tuple(op.name for op in plan.program.ops)),
        ],
    )
    view = plan_view(graph, target, device)
    peak = max(live_bytes(view.program, target.alignment), default=0)
    assert peak == plan.peak_bytes, f"the graph's peak is {peak}, the plan's {plan.peak_bytes}"
    return place(graph, view, target, with_gaps(peak))


def _too_small(planning: Planning, smallest: Smallest) -> BudgetTooSmall:
    options, minimum = planning.options, smallest.budget
    variant, plan = smallest.found.variant, smallest.found.plan
    live = live_bytes(plan.program, planning.target.alignment)
    worst = live.index(max(live))
    fixed = planning.footprint(variant, 0, len(plan.program.ops)).beside_arena
    kinds = sorted(peak_by_kind(plan.program).items(), key=lambda item: -item[1])[:3]
    untiled = f"The tokens stay in one tile: {planning.untiled}. " if planning.untiled else ""
    smaller = "kernels='lowpeak', " if planning.target is EXECUTORCH else ""
    largest = ", ".join(f"{nbytes / 1e6:.1f} MB of {kind}" for kind, nbytes in kinds)
    return BudgetTooSmall(
        f"the smallest budget for this model at seq_len {options.seq_len} is {minimum // MEGABYTE} MB, asked "
        f"were {options.budget_mb:g} MB. {fixed / 1e6:.1f} MB are weights, optimizer state and runtime; the "
        f"arena's peak ({live[worst] / 1e6:.1f} MB) is at {plan.program.ops[worst].name} (step {worst} of "
        f"{len(live)}), with {largest}. {untiled}Try {smaller}a smaller seq_len, LoRA rank or fewer target "
        "modules, or loss='subset'.",
        minimum_bytes=minimum,
        budget_bytes=options.budget_bytes,
        fixed_bytes=fixed,
        arena_peak_bytes=live[worst],
    )
