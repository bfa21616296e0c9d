"""Memory and time of a training step from a model's config alone, by technique as in the paper's Table 1.

    lora             float32 weights, all that the backward needs kept, the loss over all logits at once
    +int4            frozen matrices quantized, dequantized where they are used
    +recompute       the smallest plan that keeps less
    +chunked loss    logits and attention scores in tiles
    +subset softmax  the loss over a subset of the vocabulary, if the options say so
    +masking         logits only for the tokens that can have a label, if the options limit them

Each row has the techniques of those above it. Attention probabilities are recomputed in all of them.
Nothing is placed in an arena; an arena is within a percent of these live bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.budget.devices import device
from lowpeak_compiler.budget.footprint import footprint_of
from lowpeak_compiler.budget.search import BudgetSearch
from lowpeak_compiler.budget.targets import target
from lowpeak_compiler.budget.variants import UNBOUNDED, Variant
from lowpeak_compiler.config import MEGABYTE, TargetOptions, TrainingOptions
from lowpeak_compiler.frontend.intake import Intake
from lowpeak_compiler.ir.graph import Quantized, TrainGraph
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.pipeline import build_joint
from lowpeak_compiler.plan.liveness import peak_by_kind
from lowpeak_compiler.plan.measure import Plan
from lowpeak_compiler.plan.planner import Planner
from lowpeak_compiler.plan.program import Program
from lowpeak_compiler.plan.timeline import step_seconds

LORA, INT4, RECOMPUTE = "lora", "+int4", "+recompute"
CHUNKED_LOSS, SUBSET_SOFTMAX, MASKING = "+chunked loss", "+subset softmax", "+masking"
NARROW_WORKSPACE = 12_000_000
"""Bytes for a tile of logits or scores; smaller tiles gain little, for what is dequantized is then larger."""


@dataclass(frozen=True)
class Estimate:
    """`by_category`: bytes at the step's peak, all categories in each; `step_seconds` on the device."""

    seq_len: int
    technique: str
    by_category: dict[str, int]
    step_seconds: float

    @property
    def peak_bytes(self) -> int:
        return sum(self.by_category.values())


def estimate(
    intake: Intake,
    training: TrainingOptions,
    for_target: TargetOptions,
    *,
    budgets: Sequence[int] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> list[Estimate]:
    """Techniques from none to all; then the fastest plan with all of them within each of `budgets` bytes.

    A budget without a plan has no row. No weight is read. Raises ModelError and UnsupportedOperator.
    """
    plain = replace(training, loss="exact", trainable_ratio=1.0)
    stages = [(plain, CHUNKED_LOSS)]
    if training.loss == "subset":
        stages.append((replace(plain, loss="subset"), SUBSET_SOFTMAX))
    if training.rows is not None:
        stages.append((training, MASKING))
    result: list[Estimate] = []
    for stage, technique in stages:
        progress("capturing and differentiating the model")
        joint, _ = build_joint(intake, stage, for_target, Runner())
        progress("planning memory")
        if not result:
            wide = _lowered(joint, for_target, UNBOUNDED)
            result.append(_without_quantization(wide, stage))
            result.append(_of_plan(wide, stage, INT4, wide.planner.fastest()))
            progress("searching the smallest plan")
            result.append(_of_plan(wide, stage, RECOMPUTE, smallest_plan(wide.planner)))
            del wide
        progress("searching the smallest plan with tiles")
        narrow = _lowered(joint, for_target, NARROW_WORKSPACE)
        result.append(_of_plan(narrow, stage, technique, smallest_plan(narrow.planner)))
        del narrow
    if budgets:
        planning = BudgetSearch(joint, stage, for_target, progress)
        for budget in budgets:
            progress(f"planning for {budget / MEGABYTE:g} MB")
            chosen = planning.plan(budget)
            if chosen is not None:
                result.append(_of_plan(chosen.variant, stage, within(budget), chosen.plan))
    return result


def within(budget: int) -> str:
    """What stands for the technique in the plan for a budget."""
    return f"within {budget / MEGABYTE:g} MB"


def smallest_plan(planner: Planner) -> Plan:
    """The fastest plan within the smallest budget that has one."""
    plan = planner.plan(planner.smallest().needed_bytes)
    assert plan is not None
    return plan


def _lowered(joint: TrainGraph, for_target: TargetOptions, workspace: int) -> Variant:
    runtime = target(for_target.target, for_target.kernels)
    return Variant(joint, runtime, device(for_target.device), workspace)


def _without_quantization(wide: Variant, training: TrainingOptions) -> Estimate:
    """Every dequantized matrix resident as float32 instead of its stored form, and no time spent on it."""
    program = with_resident_weights(wide.planner.fastest().program)
    return _of_program(wide, training, LORA, program, _dense_bytes_beyond(wide.graph))


def with_resident_weights(program: Program) -> Program:
    """The program without its dequantizations: what reads their results reads a file."""
    resident = {index for index, value in enumerate(program.values) if value.kind is Kind.WEIGHT}
    kept = [op for op in program.ops if not resident.intersection(op.writes)]
    ops = tuple(
        replace(
            op,
            reads=tuple(v for v in op.reads if v not in resident),
            in_place=tuple(pair for pair in op.in_place if resident.isdisjoint(pair)),
        )
        for op in kept
    )
    return replace(program, ops=ops)


def _dense_bytes_beyond(graph: TrainGraph) -> int:
    """Bytes of the quantized matrices as float32, less those of their stored parts."""
    beyond = 0
    for node, role in graph.inputs():
        if isinstance(role, Quantized):
            value = node.meta["val"]
            nbytes = value.numel() * value.element_size()
            beyond -= nbytes
            if role.part == "data":
                beyond += nbytes * 8 // role.format.bits * 4
    return beyond


def _of_plan(of: Variant, training: TrainingOptions, technique: str, plan: Plan) -> Estimate:
    return _of_program(of, training, technique, plan.program, 0)


def _of_program(
    of: Variant, training: TrainingOptions, technique: str, program: Program, more_weights: int
) -> Estimate:
    kinds = peak_by_kind(program, of.target.alignment)
    footprint = footprint_of(of.graph, of.target, training.optimizer, 0, len(program.ops))
    categories = {str(kind): kinds.get(kind, 0) for kind in Kind}
    categories.update(
        weights=footprint.weights + more_weights,
        optimizer=footprint.optimizer,
        runtime=footprint.runtime + footprint.code,
    )
    if footprint.gradients:
        categories[str(Kind.GRADIENT)] += footprint.gradients
    return Estimate(training.seq_len, technique, categories, step_seconds(program))
