"""Plans for a budget over all variants; answers do not depend on the questions before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest

from lowpeak_artifact.errors import BudgetTooSmall
from lowpeak_compiler.budget.footprint import with_gaps, without_gaps
from lowpeak_compiler.budget.search import BudgetSearch, VariantPlan
from lowpeak_compiler.config import MEGABYTE, Budget, TargetOptions, TrainingOptions
from lowpeak_compiler.frontend.intake import Intake, take_in
from lowpeak_compiler.pipeline import budget_search, compile_step
from tests.tiny import tiny_llama

MODELS = {
    "tiled": (TrainingOptions(200), TargetOptions(kernels="lowpeak"), {"num_hidden_layers": 2}),
    "stock": (TrainingOptions(96), TargetOptions(), {"num_hidden_layers": 3}),
    "onnxruntime": (TrainingOptions(64), TargetOptions("onnxruntime"), {"num_hidden_layers": 2}),
}
NAMES = [pytest.param(name, marks=pytest.mark.thorough) if name == "tiled" else name for name in MODELS]


@cache
def intake(name: str) -> Intake:
    training, _, shape = MODELS[name]
    model = tiny_llama(max_position_embeddings=256, **shape)
    return take_in(model, seq_len=training.seq_len, batch_size=1, lora=None, example_batch=None, seed=0)


def planning(name: str) -> BudgetSearch:
    return budget_search(intake(name), *MODELS[name][:2])


def described(found: VariantPlan | None) -> tuple[object, ...] | None:
    return found and (found.variant.passes, found.plan.decisions, found.plan.program)


@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_planning_accepts_the_smallest_budget_and_refuses_one_megabyte_less(name: str):
    smallest = planning(name).minimum()
    assert smallest.budget % MEGABYTE == 0
    fresh = planning(name)
    assert fresh.plan(smallest.budget - MEGABYTE) is None
    assert fresh.plan(smallest.budget) is not None
    assert described(fresh.minimum().chosen) == described(smallest.chosen)


@pytest.mark.parametrize("name", NAMES)
def test_plans_are_the_same_in_any_order_of_questions_and_on_any_number_of_threads(name: str):
    asked = planning(name)
    least, most = asked.minimum().budget, asked.enough()
    budgets = [least - MEGABYTE, *(least + (most - least) * share // 4 for share in range(5))]
    plans = [described(asked.plan(budget)) for budget in budgets]
    shared = planning(name)
    for variant in shared.variants:
        assert variant.planner  # Lowered: torch's fake tensors are not made for threads.
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(shared.plan, reversed(budgets)))
    assert [described(each) for each in found] == plans[::-1]
    assert plans[0] is None and None not in plans[1:]


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_budget_that_is_named_compiles_and_one_megabyte_less_is_refused(name: str):
    training, for_target, _ = MODELS[name]

    def refused(budget: int) -> int:
        with pytest.raises(BudgetTooSmall) as caught:
            compile_step(intake(name), training, for_target, Budget(budget / MEGABYTE))
        return int(caught.value.numbers["minimum_bytes"])

    named = refused(MEGABYTE)
    compiled = compile_step(intake(name), training, for_target, Budget(named / MEGABYTE))
    assert compiled.footprint.total <= named
    assert refused(named - MEGABYTE) == named


@pytest.mark.parametrize("nbytes", [0, 1, 499, 500, 501, 1_000_000, 123_456_789])
def test_room_for_gaps_is_neither_forgotten_nor_counted_twice(nbytes: int):
    assert without_gaps(with_gaps(nbytes)) == nbytes
    assert with_gaps(nbytes) - nbytes == pytest.approx(0.002 * nbytes, abs=1)
    assert with_gaps(without_gaps(nbytes)) <= nbytes
