"""Tiles of an operation as one candidate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.decide.candidates import (
    Result,
    TimeBuckets,
    find_candidates,
    find_saved_tensors,
    find_units,
)
from lowpeak_compiler.plan.decide.decide import Decider
from lowpeak_compiler.plan.program import Program
from tests.plan.programs import program

RATES = Rates(1e9, 1e9, 1e9, 1e9, 1e-6)


def tiled() -> Program:
    """a = f(x) and its rows b in two tiles each; w is written with a's tiles; the backward reads b and w."""
    values = {"x": 8, "a": 4, "c": 4, "v": 16, "w": 16, "b": 4, "d": 4, "G": 8, "H": 8}
    ops = [
        ("a0", "x", "a"), ("w0", "a", "v"), ("a1", "x", "c"), ("w1", "vc", "w"), ("b0", "a", "b"),
        ("b1", "c", "d"), ("G", "wb", "G"), ("H", "wdG", "H"),
    ]  # fmt: skip
    made = program(values, ops, "H", 6)
    return replace(
        made,
        ops=tuple(replace(op, tile_of=op.name[0] if op.forward else None) for op in made.ops),
    )


def test_units_are_all_tiles_of_an_operation():
    units = find_units(tiled())
    assert [unit.steps for unit in units.all] == [(0, 2), (1, 3), (4, 5)]
    assert [unit.seconds for unit in units.all] == [2.0, 2.0, 2.0]
    assert [unit.reads for unit in units.all] == [set(), {Result(0, 0)}, {Result(0, 0)}]


def test_when_the_backward_needs_a_value():
    """From the first of its readers to the last, or of what is made from it again."""
    made = tiled()
    found = {
        made.values[each.value].name: (each.defined, each.needed, each.dead, each.direct)
        for each in find_saved_tensors(made, find_units(made))
    }
    assert found == {
        "a": (0, 6, 7, False),
        "c": (2, 6, 8, False),
        "w": (3, 6, 8, True),
        "b": (4, 6, 7, True),
        "d": (5, 7, 8, True),
    }


def test_a_value_written_tile_by_tile_counts_once():
    baseline = tiled()
    units = find_units(baseline)
    saved = find_saved_tensors(baseline, units)
    buckets = TimeBuckets(6, len(baseline.ops), [c.dead for c in saved])
    candidates = find_candidates(baseline, units, saved, buckets)
    (written,) = [c for key, c in candidates.items() if key.unit == 1]
    assert [baseline.values[v].name for v in written.values] == ["w"]
    assert written.nbytes == 16 and written.direct
    assert candidates[Result(0, 0)].nbytes == 8 and not candidates[Result(0, 0)].direct
    assert written.kept.max() == 16


def test_profiles_are_the_most_bytes_live_in_a_window():
    buckets = TimeBuckets(4, 8, [8])
    assert buckets.ends.tolist()[-1] == 8
    one_after_the_other = buckets.profile([(4, 5, 3), (5, 6, 3), (6, 8, 3)])
    assert one_after_the_other.max() == 3
    assert buckets.profile([(4, 6, 3), (5, 8, 3)]).max() == 6


def test_tiles_are_decided_about_together():
    baseline = tiled()
    large = replace(baseline, values=tuple(replace(v, nbytes=v.nbytes * 1_000_000) for v in baseline.values))
    decider = Decider(large, RATES, offload=False)
    in_forward = np.where(decider.buckets.ends <= 6, 30_000_000, 0)
    found = [decider.decide(budget * 1_000_000, in_forward) for budget in range(70, 29, -1)]
    chosen = {decisions.recompute for decisions in found if decisions}
    assert frozenset() in chosen and len(chosen) > 1
    for names in chosen:
        for tiles in ({"a0", "a1"}, {"w0", "w1"}, {"b0", "b1"}):
            assert not tiles & names or tiles <= names
