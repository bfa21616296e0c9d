"""The whole story: model in, planned graph out.

The list of passes is data (passes/pipeline.py); here it is run: forward graph, joint graph, its variants, and
the chosen plan on the chosen variant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lowpeak_artifact.batch import BatchSpec
from lowpeak_artifact.errors import told_as_model_error
from lowpeak_compiler.budget.fitting import fitting_step
from lowpeak_compiler.budget.footprint import Footprint
from lowpeak_compiler.budget.partial import graph_of_rest
from lowpeak_compiler.budget.planned import PlannedStep
from lowpeak_compiler.budget.search import BudgetSearch, Progress
from lowpeak_compiler.budget.targets import target
from lowpeak_compiler.config import Budget, TargetOptions, TrainingOptions
from lowpeak_compiler.frontend.intake import Intake
from lowpeak_compiler.frontend.joint import run_joint
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.pipeline import training_pipeline
from lowpeak_compiler.passes.runner import Observer, Runner
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


def build_joint(
    intake: Intake, training: TrainingOptions, for_target: TargetOptions, runner: Runner
) -> tuple[TrainGraph, str | None]:
    """Loss and gradients in one graph, which every variant starts from; and the name of the head."""
    pipeline = training_pipeline(training, target(for_target.target, for_target.kernels))
    return run_joint(pipeline, intake, training, runner)


def budget_search(
    intake: Intake,
    training: TrainingOptions,
    for_target: TargetOptions,
    *,
    progress: Progress = lambda _: None,
) -> BudgetSearch:
    """Everything up to the plan, for questions about budgets."""
    with told_as_model_error("the model cannot be planned"):
        joint, _ = build_joint(intake, training, for_target, Runner())
        return BudgetSearch(joint, training, for_target, progress)


def graph_after(
    name: str,
    intake: Intake,
    training: TrainingOptions,
    for_target: TargetOptions,
    budget: Budget,
    runner: Runner,
    *,
    progress: Progress = lambda _: None,
) -> TrainGraph:
    """The graph after the pass of this name: the list is run until there.

    Raises ValueError for a name that is not in the list, and what compile_step raises.
    """
    whole = training_pipeline(training, target(for_target.target, for_target.kernels))
    cut = whole.until(name)
    with told_as_model_error("the step cannot be compiled so far"):
        graph, _ = run_joint(cut, intake, training, runner)
        if cut.variant:
            graph = graph_of_rest(BudgetSearch(graph, training, for_target, progress), budget, runner, cut)
        return graph


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
        planning = BudgetSearch(joint, training, for_target, progress)
        check(planning.variants[0].graph)
        step, plan, footprint = fitting_step(planning, budget, runner)
    batch = intake.batch_spec(training)
    return Compiled(intake, training, for_target, budget, batch, step, plan, footprint, head, runner.applied)
