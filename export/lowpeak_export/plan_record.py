"""What the manifest says of a bucket's plan."""

from __future__ import annotations

from lowpeak_artifact.manifest import PlanRecord
from lowpeak_compiler.budget.targets import target
from lowpeak_compiler.passes.apply.offload import offload_file_bytes
from lowpeak_compiler.pipeline import Compiled
from lowpeak_compiler.plan.liveness import peak_by_kind


def plan_record(compiled: Compiled) -> PlanRecord:
    footprint, plan = compiled.footprint, compiled.plan
    return PlanRecord(
        budget_bytes=compiled.budget.nbytes,
        planned_peak_bytes=footprint.total,
        planned_anonymous_bytes=footprint.anonymous,
        arena_bytes=footprint.arena,
        arena_lower_bound_bytes=compiled.step.solution.lower_bound,
        gradients_bytes=footprint.gradients,
        optimizer_bytes=footprint.optimizer,
        weights_bytes=footprint.weights,
        runtime_bytes=footprint.runtime,
        code_bytes=footprint.code,
        predicted_step_seconds=plan.seconds,
        recomputed_operations=len(plan.carried_out.recompute),
        offload=target(compiled.for_target.target, compiled.for_target.kernels).offload,
        offloaded_values=len(plan.carried_out.offload),
        offload_bytes=offload_file_bytes(compiled.step.graph),
        by_category=category_bytes(compiled),
    )


def category_bytes(compiled: Compiled) -> dict[str, int]:
    """Live bytes at the arena's worst step, by kind of value."""
    return {str(kind): nbytes for kind, nbytes in peak_by_kind(compiled.plan.program).items()}
