"""The graph part of the way: after a pass of a variant, or of a plan carried out."""

from __future__ import annotations

from lowpeak_compiler.budget.fitting import carry_out_plan, passes_of_plan, too_small
from lowpeak_compiler.budget.search import BudgetSearch
from lowpeak_compiler.config import Budget
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.contract import Pipeline
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.passes.stages import Place


def graph_of_rest(planning: BudgetSearch, budget: Budget, runner: Runner, cut: Pipeline) -> TrainGraph:
    """The joint graph after those passes over variants and plans that the list still has."""
    return _of_plan(planning, budget, runner, cut) if cut.plan else _of_variant(planning, runner, cut)


def _of_variant(planning: BudgetSearch, runner: Runner, cut: Pipeline) -> TrainGraph:
    """Nothing is planned: the first variant whose passes have the last one of the list that is left; without
    one, the variant with the most working memory, in which the pass has nothing to do.
    """
    wanted = {stage.name for stage in cut.variant}
    last = cut.variant[-1].name
    having = (each for each in planning.variants if any(p.name == last for p in each.passes))
    variant = next(having, planning.variants[0])
    return runner.run(variant.joint.copy(), [each for each in variant.passes if each.name in wanted])


def _of_plan(planning: BudgetSearch, budget: Budget, runner: Runner, cut: Pipeline) -> TrainGraph:
    """Of the first plan that is tried for the budget. Raises BudgetTooSmall."""
    chosen = planning.plan(budget.nbytes)
    if chosen is None:
        raise too_small(planning, budget, planning.minimum())
    variant, plan = chosen.variant, chosen.plan
    joint = runner.run(variant.joint.copy(), variant.passes)
    if cut.plan[-1].name == Place.name:
        return carry_out_plan(variant, plan, planning.target, planning.device, runner).graph
    wanted = {stage.name for stage in cut.plan}
    passes = passes_of_plan(variant, plan, planning.target)
    return runner.run(joint, [each for each in passes if each.name in wanted])
