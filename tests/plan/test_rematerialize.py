from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.program import Io, Program
from lowpeak_compiler.plan.rematerialize import Decisions, carry_out
from tests.plan.programs import expressions, program, random_programs

RATES = Rates(flops=1, memory_bytes=1, disk_read_bytes=4.0, disk_write_bytes=2.0, seconds_per_op=0)


def chain() -> Program:
    """x -> a -> b -> c, and back: C reads b and c, B reads a, A reads x."""
    ops = [
        ("a", "x", "a"),
        ("b", "a", "b"),
        ("c", "b", "c"),
        ("C", "bc", "C"),
        ("B", "aC", "B"),
        ("A", "xB", "A"),
    ]
    return program(dict.fromkeys("xabcCBA", 8), ops, "A", 3)


def listing(run: Program) -> list[str]:
    """`name(reads) -> writes` of every operation."""
    names = [value.name for value in run.values]
    return [
        f"{op.name}({', '.join(names[v] for v in op.reads)}) -> {', '.join(names[v] for v in op.writes)}"
        for op in run.ops
    ]


def test_nothing_decided_changes_nothing():
    assert carry_out(chain(), Decisions(), RATES) == chain()


def test_recomputation_stands_before_its_first_use():
    run = carry_out(chain(), Decisions(recompute=frozenset({"b"})), RATES)
    assert listing(run) == [
        "a(x) -> a", "b(a) -> b", "c(b) -> c",
        "b_recomputed(a) -> b_recomputed", "C(b_recomputed, c) -> C", "B(a, C) -> B", "A(x, B) -> A",
    ]  # fmt: skip
    copy = next(op for op in run.ops if op.copy_of)
    assert (copy.copy_of, copy.forward, copy.seconds) == ("b", False, 1.0)


def test_recomputation_of_what_is_recomputed():
    run = carry_out(chain(), Decisions(recompute=frozenset("abc")), RATES)
    assert listing(run)[3:] == [
        "a_recomputed(x) -> a_recomputed", "b_recomputed(a_recomputed) -> b_recomputed",
        "c_recomputed(b_recomputed) -> c_recomputed", "C(b_recomputed, c_recomputed) -> C",
        "B(a_recomputed, C) -> B", "A(x, B) -> A",
    ]  # fmt: skip


def test_offloading_stores_what_is_made_and_loads_before_use():
    run = carry_out(chain(), Decisions(offload=frozenset({"a"})), RATES)
    assert listing(run) == [
        "a(x) -> a", "a_store(a) -> a_store", "b(a) -> b", "c(b) -> c",
        "C(b, c) -> C", "a_load(a_store) -> a_load", "a_loaded(a_load) -> a_loaded", "B(a_loaded, C) -> B",
        "A(x, B) -> A",
    ]  # fmt: skip
    sizes = {value.name: value.nbytes for value in run.values}
    disk = {op.name: (op.io, op.disk_seconds) for op in run.ops if op.io}
    assert (sizes["a_store"], sizes["a_load"], sizes["a_loaded"]) == (0, 8, 8)
    assert disk == {"a_store": (Io.WRITE, 4.0), "a_load": (Io.READ, 2.0), "a_loaded": (Io.WAIT, 0.0)}


def test_what_no_backward_operation_needs_is_not_stored():
    run = carry_out(chain(), Decisions(recompute=frozenset("a"), offload=frozenset("abx")), RATES)
    assert [op.name for op in run.ops if op.io is Io.WRITE] == ["a_store", "b_store"]
    unread = program(dict.fromkeys("xabB", 8), [("a", "x", "a"), ("b", "a", "b"), ("B", "xb", "B")], "B", 2)
    assert carry_out(unread, Decisions(offload=frozenset("a")), RATES) == unread


def test_recomputation_from_what_was_offloaded():
    run = carry_out(chain(), Decisions(frozenset({"b"}), frozenset({"a"})), RATES)
    assert listing(run)[4:8] == [
        "a_load(a_store) -> a_load", "a_loaded(a_load) -> a_loaded", "b_recomputed(a_loaded) -> b_recomputed",
        "C(b_recomputed, c) -> C",
    ]  # fmt: skip


def test_in_place_reads_follow():
    original = program(
        dict.fromkeys("xabG", 8), [("a", "x", "a"), ("b", "a", "b"), ("G", "ab", "G")], "G", 2, in_place=True
    )
    run = carry_out(original, Decisions(recompute=frozenset({"a"})), RATES)
    for op in run.ops:
        assert all(written in op.writes and read in op.reads for written, read in op.in_place)
    assert run.values[run.ops[-1].in_place[0][1]].name == "a_recomputed"


@given(random_programs(), st.data())
def test_every_value_is_computed_from_the_same_expression(run, data):
    forward = [op for op in run.ops if op.forward]
    recompute = {op.name for op in forward if data.draw(st.booleans())}
    inside = {v for op in forward for v in op.writes} - run.results
    offload = {run.values[v].name for v in sorted(inside) if data.draw(st.booleans())}
    decided = carry_out(run, Decisions(frozenset(recompute), frozenset(offload)), RATES)
    before, after = expressions(run), expressions(decided)
    assert {v: after[v] for v in before} == before
    for op in decided.ops:
        if not op.forward:
            for value in op.reads:
                # What the backward reads of the forward is kept, a copy, or was loaded.
                assert decided.values[value].name not in offload or decided.values[value].kind is Kind.BATCH
