"""Decisions next to given ones."""

from __future__ import annotations

import pytest

from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.decide.decide import Decider
from lowpeak_compiler.plan.local_search import Neighbourhood, faster, reached
from lowpeak_compiler.plan.measure import Measurer, Memory
from lowpeak_compiler.plan.rematerialize import Decisions
from tests.plan.networks import small_networks
from tests.plan.test_decide import MB, RATES, chain

SECONDS = {"a": 1.0, "b": 2.0, "c": 4.0}


def search(rates: Rates = RATES, *, offload: bool = False) -> tuple[Measurer, Neighbourhood]:
    run = chain(SECONDS)
    decider = Decider(run, rates, offload)
    return Measurer(run, rates, Memory(1), decider), Neighbourhood(decider)


def names(result: list[tuple[float, Decisions]]) -> list[tuple[float, str, str]]:
    return [(seconds, "".join(sorted(d.recompute)), "".join(sorted(d.offload))) for seconds, d in result]


def test_one_or_two_changes_the_dearest_first():
    _, neighbourhood = search()
    assert names(list(neighbourhood.around(Decisions()))) == [(4.0, "c", ""), (2.0, "b", ""), (1.0, "a", "")]
    around_b = names(list(neighbourhood.around(Decisions(frozenset("b")))))
    assert around_b == [(6.0, "bc", ""), (4.0, "c", ""), (3.0, "ab", ""), (1.0, "a", ""), (0.0, "", "")]
    around_ab = names(list(neighbourhood.around(Decisions(frozenset("ab")))))
    # Two that run again for one that does.
    assert (4.0, "c", "") in around_ab and len(around_ab) == len(set(around_ab))


def test_a_value_is_not_both_stored_and_made_again():
    _, neighbourhood = search(offload=True)
    around = [decisions for _, decisions in neighbourhood.around(Decisions(frozenset("b")))]
    assert Decisions(frozenset(), frozenset("b")) in around
    assert all(not decisions.recompute & decisions.offload for decisions in around)


def test_a_plan_within_the_budget_is_reached_from_one_near_it():
    run = small_networks()["even chain of 6"]
    decider = Decider(run, RATES, offload=False)
    measurer, neighbourhood = Measurer(run, RATES, Memory(1), decider), Neighbourhood(decider)
    kept = measurer.unbounded
    budget = int(0.9 * kept.needed_bytes)
    found, left = reached(measurer, neighbourhood, budget, [kept], 1000)
    assert found is not None and found.needed_bytes <= budget and 0 <= left < 1000
    # One that is not near, and none at all.
    assert reached(measurer, neighbourhood, kept.needed_bytes // 2, [kept], 1000) == (None, 1000)
    assert reached(measurer, neighbourhood, budget, [kept], 0) == (None, 0)


def test_a_faster_plan_within_the_budget():
    measurer, neighbourhood = search()
    slow = measurer.measure(Decisions(frozenset("abc")))
    found, _ = faster(measurer, neighbourhood, slow, 50 * MB, 1000)
    assert found is not None and found.seconds < slow.seconds and found.needed_bytes <= 50 * MB
    fastest = measurer.unbounded
    assert faster(measurer, neighbourhood, fastest, 50 * MB, 1000)[0] is None


@pytest.mark.parametrize("effort", [0, -5])
def test_no_effort_no_search(effort: int):
    measurer, neighbourhood = search()
    slow = measurer.measure(Decisions(frozenset("abc")))
    assert faster(measurer, neighbourhood, slow, 50 * MB, effort) == (None, effort)
