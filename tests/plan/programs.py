"""Random and hand-made programs, and what a program computes, as expressions."""

from __future__ import annotations

from itertools import product

from hypothesis import strategies as st

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.plan.program import Op, Program, Value
from lowpeak_compiler.plan.rematerialize import COPY_SUFFIX, LOAD_SUFFIX, LOADED_SUFFIX, STORE_SUFFIX

Expression = tuple[object, ...]


def program(
    values: dict[str, int],
    ops: list[tuple[str, str, str]],
    results: str,
    forward: int,
    in_place: bool = False,
) -> Program:
    """`values`: name -> bytes, in order; those without a writer are batch.

    `ops`: (name, reads, writes) by letter.
    """
    index = {name: i for i, name in enumerate(values)}
    made_here = {name for _, _, writes in ops for name in writes}
    described = [
        Value(name, size, Kind.ACTIVATION if name in made_here else Kind.BATCH)
        for name, size in values.items()
    ]
    result = []
    for position, (name, reads, writes) in enumerate(ops):
        numbers = tuple(index[r] for r in reads)
        written = tuple(index[w] for w in writes)
        result.append(
            Op(
                name,
                numbers,
                written,
                1.0,
                position < forward,
                tuple(product(written, numbers)) if in_place else (),
            )
        )
    return Program(tuple(described), tuple(result), frozenset(index[r] for r in results))


@st.composite
def random_programs(draw: st.DrawFn) -> Program:
    """Forward operations, then backward ones; every value that nothing reads is a result."""
    inputs, count = draw(st.integers(1, 3)), draw(st.integers(2, 14))
    values = [
        Value(f"in{i}", draw(st.integers(1, 64)), Kind.BATCH if i else Kind.ADAPTER) for i in range(inputs)
    ]
    forward = draw(st.integers(1, count))
    ops, unread = [], set[int]()
    for number in range(count):
        reads = draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=3, unique=True))
        writes = tuple(range(len(values), len(values) + draw(st.integers(1, 2))))
        values += [Value(f"v{v}", draw(st.integers(0, 64)), Kind.ACTIVATION) for v in writes]
        in_place = tuple((w, r) for w, r in product(writes, reads) if draw(st.booleans()))
        ops.append(Op(f"op{number}", tuple(reads), writes, 1.0, number < forward, in_place))
        unread = (unread - set(reads)) | set(writes)
    return Program(tuple(values), tuple(ops), frozenset(unread))


def expressions(run: Program) -> dict[int, Expression]:
    """What every value is, running the operations in order; a copy is its original,
    a load gives what was stored.

    Fails for a value that is read before it is written, or written twice.
    """
    known: dict[int, Expression] = {}
    written = {v for op in run.ops for v in op.writes}
    for value, described in enumerate(run.values):
        if value not in written:
            known[value] = (described.name,)
    for op in run.ops:
        operands = tuple(known[v] for v in op.reads)
        for position, value in enumerate(op.writes):
            assert value not in known, f"{op.name} writes {run.values[value].name} again"
            if op.name.endswith(STORE_SUFFIX):
                known[value] = ("stored", *operands)
            elif op.name.endswith(LOAD_SUFFIX):
                assert operands[0][0] == "stored"
                known[value] = operands[0][1]  # type: ignore[assignment]
            elif op.name.endswith(LOADED_SUFFIX):
                known[value] = operands[0]
            else:
                known[value] = (op.name.removesuffix(COPY_SUFFIX), position, *operands)
    return known
