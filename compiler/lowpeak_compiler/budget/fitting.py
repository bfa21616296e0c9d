"""A plan carried out on the graph, so that all of the process fits the budget; or the refusal."""

from __future__ import annotations

from dataclasses import replace

from lowpeak_artifact.errors import BudgetTooSmall
from lowpeak_compiler.budget.devices import DeviceProfile
from lowpeak_compiler.budget.footprint import Footprint, footprint_of, with_gaps
from lowpeak_compiler.budget.planned import PlannedStep, place
from lowpeak_compiler.budget.program_view import program_view
from lowpeak_compiler.budget.search import BudgetSearch, Smallest, VariantPlan
from lowpeak_compiler.budget.targets import EXECUTORCH, Target
from lowpeak_compiler.budget.variants import Variant
from lowpeak_compiler.config import MEGABYTE, Budget
from lowpeak_compiler.passes.apply.offload import Offload
from lowpeak_compiler.passes.apply.recompute import Recompute
from lowpeak_compiler.passes.apply.reorder import Reorder
from lowpeak_compiler.passes.contract import made
from lowpeak_compiler.passes.pipeline import plan_passes
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.passes.stage import Pass
from lowpeak_compiler.passes.stages import Place
from lowpeak_compiler.plan.liveness import live_bytes, peak_by_kind
from lowpeak_compiler.plan.measure import Plan

PLACEMENTS = 4
"""Plans that are tried until the offsets of one fit the budget."""


def fitting_step(
    planning: BudgetSearch, budget: Budget, runner: Runner
) -> tuple[PlannedStep, Plan, Footprint]:
    """The fastest plan carried out; if its offsets leave gaps that there is no room for, one for less, and
    the smallest at last.
    """
    asked = budget.nbytes
    for _ in range(PLACEMENTS):
        chosen = planning.plan(asked)
        if chosen is None:
            break
        attempt = Runner(runner.observe)
        step, footprint = _placed(planning, chosen, attempt)
        if footprint.total <= budget.nbytes:
            _take_over(runner, attempt)
            return step, chosen.plan, footprint
        planning.progress("planning again: the values fit, their offsets do not")
        asked -= footprint.total - budget.nbytes
    smallest = planning.minimum()
    attempt = Runner(runner.observe)
    step, footprint = _placed(planning, smallest.chosen, attempt)
    if smallest.budget <= budget.nbytes and footprint.total <= budget.nbytes:
        _take_over(runner, attempt)
        return step, smallest.chosen.plan, footprint
    placed = -(-footprint.total // MEGABYTE) * MEGABYTE
    raise too_small(planning, budget, replace(smallest, budget=max(smallest.budget, placed)))


def _placed(planning: BudgetSearch, chosen: VariantPlan, runner: Runner) -> tuple[PlannedStep, Footprint]:
    """A plan carried out, and what it holds resident."""
    if runner.observe:
        # How the variant was lowered, for those who look on.
        Runner(runner.observe).run(chosen.variant.joint.copy(), chosen.variant.passes)
    step = carry_out_plan(chosen.variant, chosen.plan, planning.target, planning.device, runner)
    operations = len(chosen.plan.program.ops)
    optimizer = planning.training.optimizer
    return step, footprint_of(step.graph, planning.target, optimizer, step.arena_bytes, operations)


def _take_over(runner: Runner, attempt: Runner) -> None:
    """The manifest counts what passes did to a graph, not that values were placed."""
    del attempt.applied[Place.__name__]
    runner.applied.update(attempt.applied)
    runner.records.extend(attempt.records)


def carry_out_plan(
    variant: Variant, plan: Plan, target: Target, device: DeviceProfile, runner: Runner
) -> PlannedStep:
    """Applies the plan's decisions and order to the variant's graph, and places its values."""
    graph = runner.run(variant.graph.copy(), passes_of_plan(variant, plan, target))
    view = program_view(graph, target, device)
    peak = max(live_bytes(view.program, target.alignment), default=0)
    assert peak == plan.peak_bytes, f"the graph's peak is {peak}, the plan's {plan.peak_bytes}"
    step = place(graph, view, target, with_gaps(peak))
    runner.passed(Place(target.alignment), graph)
    return step


def passes_of_plan(variant: Variant, plan: Plan, target: Target) -> tuple[Pass, ...]:
    """Those that make the plan's graph of the variant's."""
    views = variant.view.views
    decided: dict[type[Pass], Pass | None] = {
        Recompute: Recompute(plan.carried_out.recompute, views),
        Offload: Offload(tuple(sorted(plan.carried_out.offload)), views),
        Reorder: Reorder(tuple(op.name for op in plan.program.ops)),
    }
    return made(plan_passes(target), decided)


def too_small(planning: BudgetSearch, budget: Budget, smallest: Smallest) -> BudgetTooSmall:
    minimum, seq_len = smallest.budget, planning.training.seq_len
    variant, plan = smallest.chosen.variant, smallest.chosen.plan
    live = live_bytes(plan.program, planning.target.alignment)
    worst = live.index(max(live))
    fixed = planning.footprint(variant, 0, len(plan.program.ops)).beside_arena
    kinds = sorted(peak_by_kind(plan.program).items(), key=lambda item: -item[1])[:3]
    untiled = f"The tokens stay in one tile: {planning.untiled}. " if planning.untiled else ""
    smaller = "kernels='lowpeak', " if planning.target is EXECUTORCH else ""
    largest = ", ".join(f"{nbytes / 1e6:.1f} MB of {kind}" for kind, nbytes in kinds)
    return BudgetTooSmall(
        f"the smallest budget for this model at seq_len {seq_len} is {minimum // MEGABYTE} MB, asked "
        f"were {budget.megabytes:g} MB. {fixed / 1e6:.1f} MB are weights, optimizer state and runtime; the "
        f"arena's peak ({live[worst] / 1e6:.1f} MB) is at {plan.program.ops[worst].name} (step {worst} of "
        f"{len(live)}), with {largest}. {untiled}Try {smaller}a smaller seq_len, LoRA rank or fewer target "
        "modules, or loss='subset'.",
        minimum_bytes=minimum,
        budget_bytes=budget.nbytes,
        fixed_bytes=fixed,
        arena_peak_bytes=live[worst],
    )
